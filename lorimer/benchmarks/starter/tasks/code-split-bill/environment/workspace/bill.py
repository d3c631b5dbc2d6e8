"""Splits an amount of money over several shares."""


def split(cents, weights):
    total = sum(weights)
    return [round(cents * weight / total) for weight in weights]
