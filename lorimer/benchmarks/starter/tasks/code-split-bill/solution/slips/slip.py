from pathlib import Path

Path('bill.py').write_text('''\
"""Splits an amount of money over several shares."""


def split(cents, weights):
    if not weights or sum(weights) == 0 or any(w < 0 for w in weights):
        raise ValueError("bad weights")
    total = sum(weights)
    exact = [cents * w / total for w in weights]
    shares = [int(x) for x in exact]
    left = cents - sum(shares)
    order = sorted(range(len(weights)), key=lambda i: exact[i] - shares[i], reverse=True)
    for i in order[:left]:
        shares[i] += 1
    return shares
''')
