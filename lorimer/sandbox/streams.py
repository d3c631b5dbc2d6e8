"""What is kept of what a process says: the limits that hold in every sandbox, and the first and last of what is over them."""

from __future__ import annotations

OUTPUT_LIMIT = 1 << 20
"""Bytes of a command's stdout, and of its stderr, that are kept where nothing else is asked for."""
LINE_LIMIT = 16 << 20
"""The longest line of a jail, in bytes."""
STDERR_LIMIT = 64 << 10
"""Bytes of a jail's stderr that are kept."""


class HeadTail:
    """Keeps the first and the last half of `limit` bytes and counts what was cut from the middle."""

    def __init__(self, limit: int) -> None:
        self._tail_limit = limit // 2
        self._head_limit = limit - self._tail_limit
        self._head = bytearray()
        self._tail = bytearray()
        self._seen = 0

    def feed(self, data: bytes) -> None:
        self._seen += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            # Trimmed at twice its size, so that the cost a byte is constant.
            if len(self._tail) > 2 * self._tail_limit:
                del self._tail[: len(self._tail) - self._tail_limit]

    @property
    def dropped(self) -> int:
        return max(0, self._seen - self._head_limit - self._tail_limit)

    def value(self) -> bytes:
        """Head and tail, joined."""
        over = len(self._tail) - self._tail_limit
        return bytes(self._head + (self._tail[over:] if over > 0 else self._tail))


def cut(data: bytes, limit: int) -> tuple[bytes, int]:
    """What a `HeadTail` keeps of bytes that are there already, and how many it does not."""
    kept = HeadTail(limit)
    kept.feed(data)
    return kept.value(), kept.dropped
