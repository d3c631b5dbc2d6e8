"""Server-sent events out of bytes, however the network cut them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""A carriage return that is the last byte so far may be half of a line's end."""
_START = (b"data:", b"event:", b"id:", b"retry:", b":", b"error:")

OVER = "[DONE]"
"""What stands in the last event of a Chat Completions stream."""


@dataclass(frozen=True)
class ServerEvent:
    """What a server sent at once."""

    name: str
    """Empty where it gave none."""
    data: str


class EventReader:
    """Reads a stream piece by piece.

    Comments are passed over. Lenient in what servers get wrong: an event at the end without an empty line after it, a bare JSON
    object (vLLM, gateways), and llama.cpp's `error:` in place of `data:`.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        """The pieces of a line whose end has not come."""
        self._name, self._data = "", list[str]()

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that this piece ends."""
        after_return = bool(self._held) and self._held[-1].endswith(b"\r")
        self._held += [piece] if piece else []
        if not after_return and b"\n" not in piece and b"\r" not in piece:
            return
        *lines, rest = _LINE_END.split(b"".join(self._held))
        self._held = [rest] if rest else []
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[ServerEvent]:
        """What the end of the stream ends."""
        for line in (b"".join(self._held).rstrip(b"\r"), b""):
            yield from self._line(line)
        self._held = []

    def _line(self, line: bytes) -> Iterator[ServerEvent]:
        text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        if not text:
            if self._data:
                yield ServerEvent(self._name, "\n".join(self._data))
            self._name, self._data = "", []
            return
        if text.startswith("{"):
            self._data.append(text)
            return
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "error":
            self._name = "error"
            self._data.append(value)


def is_stream(body: bytes) -> bool:
    """Whether a body is a stream of events, whatever its content type says."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:6].startswith(_START)
