from pathlib import Path

Path('cache.py').write_text('''\
import time
from collections import OrderedDict


class LRUCache:
    def __init__(self, capacity, ttl):
        self.capacity = capacity
        self.ttl = ttl
        self.data = OrderedDict()

    def get(self, key):
        if key not in self.data:
            return None
        value, expires = self.data[key]
        if time.time() >= expires:
            del self.data[key]
            return None
        self.data.move_to_end(key)
        return value

    def set(self, key, value):
        self.data[key] = (value, time.time() + self.ttl)
        self.data.move_to_end(key)
        if len(self.data) > self.capacity:
            self.data.popitem(last=False)
''')
