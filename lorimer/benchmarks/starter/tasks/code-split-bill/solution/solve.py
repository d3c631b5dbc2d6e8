from pathlib import Path

Path("bill.py").write_text('''\
"""Splits an amount of money over several shares."""


def split(cents, weights):
    """Shares of `cents` in proportion to `weights`, whole cents that add up exactly (largest remainder)."""
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, and one must be positive")
    if cents < 0:
        return [-share for share in split(-cents, weights)]
    shares = [cents * weight // total for weight in weights]
    by_fraction = sorted(range(len(weights)), key=lambda i: (-(cents * weights[i] % total), i))
    for i in by_fraction[: cents - sum(shares)]:
        shares[i] += 1
    return shares
''')
