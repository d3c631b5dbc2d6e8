from pathlib import Path

Path("receipt.py").write_text('''\
"""Formats and reads amounts for receipts."""


def to_text(cents, currency="EUR"):
    sign = "-" if cents < 0 else ""
    euros, rest = divmod(abs(cents), 100)
    return f"{sign}{euros:,}.{rest:02d} {currency}"


def from_text(text):
    amount, _, currency = text.partition(" ")
    euros, _, rest = amount.replace(",", "").partition(".")
    return int(euros) * 100 + int(rest), currency.strip() or "EUR"


def column(amounts, currency="EUR"):
    """All amounts as text, right-aligned to the same width."""
    texts = [to_text(amount, currency) for amount in amounts]
    return [text.rjust(max(len(text) for text in texts)) for text in texts]
''')
