from pathlib import Path

path = Path('cache.py')
text = path.read_text()
for old, new in [
    (
        '        value, at = self._entries.get(key, (None, 0))\n        if not value or self.clock() - at > self.ttl:\n            return default\n        return value\n\n',
        '        if key not in self._entries:\n            return default\n        value, at = self._entries[key]\n        if self.clock() - at >= self.ttl:\n            return default\n        self._entries.move_to_end(key)\n        return value\n\n',
    ),
    (
        '        if len(self._entries) >= self.size:\n            self._entries.popitem(last=False)\n        self._entries[key] = (value, self.clock())\n\n',
        '        now = self.clock()\n        if key not in self._entries and len(self._entries) >= self.size:\n            expired = [k for k, (_, at) in self._entries.items() if now - at >= self.ttl]\n            for old in expired:\n                del self._entries[old]\n            if not expired:\n                self._entries.popitem(last=False)\n        self._entries[key] = (value, now)\n        self._entries.move_to_end(key)\n\n',
    ),
    (
        '        return len(self._entries)\n',
        '        now = self.clock()\n        return sum(now - at < self.ttl for _, at in self._entries.values())\n',
    ),
]:
    assert old in text, old
    text = text.replace(old, new)
path.write_text(text)
