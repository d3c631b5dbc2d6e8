"""Uses the cache; not to be changed."""

from cache import Cache

prices = Cache(size=500, ttl=60)


def price(article, fetch):
    """The article's price in cents, from the cache if it is there."""
    found = prices.get(article, default="unknown")
    if found == "unknown":
        found = fetch(article)
        prices.put(article, found)
    return found
