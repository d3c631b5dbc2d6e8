"""Uses bill.split; not to be changed."""

from bill import split


def lines(invoice):
    """[(tenant, cents)] of an invoice {"cents": 1200, "shares": {"ann": 2, "bob": 1}}."""
    return list(zip(invoice["shares"], split(invoice["cents"], list(invoice["shares"].values()))))
