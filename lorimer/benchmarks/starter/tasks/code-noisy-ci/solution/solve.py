from pathlib import Path

Path("receipt.py").write_text('''\
"""Formats and reads amounts for receipts."""


def to_text(cents, currency="EUR"):
    sign = "-" if cents < 0 else ""
    euros, rest = divmod(abs(cents), 100)
    return f"{sign}{euros:,}.{rest:02d} {currency}"


def from_text(text):
    amount, _, currency = text.strip().partition(" ")
    sign = -1 if amount.startswith("-") else 1
    euros, point, rest = amount.lstrip("-").replace(",", "").partition(".")
    if point and len(rest) != 2:
        raise ValueError(f"two decimals expected: {text!r}")
    return sign * (int(euros) * 100 + int(rest or 0)), currency.strip() or "EUR"


def column(amounts, currency="EUR"):
    """All amounts as text, right-aligned to the same width."""
    texts = [to_text(amount, currency) for amount in amounts]
    return [text.rjust(max(len(text) for text in texts)) for text in texts]
''')
