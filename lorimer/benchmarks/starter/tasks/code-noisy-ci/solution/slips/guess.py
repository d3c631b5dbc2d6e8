from pathlib import Path

Path('receipt.py').write_text('''\
"""Formats amounts for receipts."""


def format_amount(amount, currency="EUR"):
    """Format an amount with two decimals."""
    return f"{amount:.2f} {currency}"


def format_receipt(items):
    total = sum(price for _, price in items)
    lines = [f"{name}: {format_amount(price)}" for name, price in items]
    return "\\n".join(lines + [f"Total: {format_amount(total)}"])
''')
