"""A small cache for the price service."""

import time
from collections import OrderedDict


class Cache:
    """Keeps at most `size` entries, each for `ttl` seconds after it was last put.

    - `get` returns the value, or `default` when the key is unknown or its entry has expired. An entry is expired
      once `ttl` seconds have passed since its put, the exact moment included. A get does not prolong its life.
    - When a put of a new key finds the cache full, expired entries go first; if there is none, the entry goes that was
      least recently used. Being used means a successful get, or a put. Putting a known key never evicts another.
    - Any value may be stored, `None` and other false values too.
    - `len(cache)` counts the entries that have not expired.
    - `clock` returns seconds and never goes back.
    """

    def __init__(self, size, ttl, clock=time.monotonic):
        self.size, self.ttl, self.clock = size, ttl, clock
        self._entries = OrderedDict()

    def get(self, key, default=None):
        value, at = self._entries.get(key, (None, 0))
        if not value or self.clock() - at > self.ttl:
            return default
        return value

    def put(self, key, value):
        if len(self._entries) >= self.size:
            self._entries.popitem(last=False)
        self._entries[key] = (value, self.clock())

    def __len__(self):
        return len(self._entries)
