"""Formats and reads amounts for receipts."""


def to_text(cents, currency="EUR"):
    sign = "-" if cents < 0 else ""
    euros, rest = divmod(cents, 100)
    return f"{sign}{euros:,}.{rest} {currency}"


def from_text(text):
    amount, _, currency = text.partition(" ")
    euros, rest = amount.split(".")
    return int(euros) * 100 + int(rest), currency or "EUR"


def column(amounts, currency="EUR"):
    """All amounts as text, right-aligned to the same width."""
    texts = [to_text(amount, currency) for amount in amounts]
    return [text.rjust(max(len(text) for text in texts)) for text in texts]
