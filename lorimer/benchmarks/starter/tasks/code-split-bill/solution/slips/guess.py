from pathlib import Path

Path('bill.py').write_text('''\
"""Splits an amount of money over several shares."""


def split(amount, people):
    """Split the amount evenly; the first people pay the odd cents."""
    share, rest = divmod(amount, people)
    return [share + 1 if i < rest else share for i in range(people)]
''')
