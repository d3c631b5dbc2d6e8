"""What comes over an attached stream: frames, lines, and where a command's output ends. Pure; no I/O."""

from __future__ import annotations

from lorimer.sandbox.base import LineTooLong
from lorimer.sandbox.streams import LINE_LIMIT, HeadTail

STDOUT, STDERR = 1, 2


class NotFramed(Exception):
    """The engine wrote plain text where a frame belongs: its own error message, which `text` begins with."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text.decode(errors="replace").strip())
        self.text = text


class Demux:
    """Splits the engine's multiplexed stream: frames of an 8-byte header (stream, 0, 0, 0, size) and a payload."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (stream, bytes) pieces in `data`; frames may be split over calls anywhere. Raises NotFramed."""
        pieces: list[tuple[int, bytes]] = []
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append((self._stream, piece))
                self._left -= len(piece)
                at += len(piece)
                continue
            take = data[at : at + 8 - len(self._header)]
            self._header += take
            at += len(take)
            if self._header[0] > STDERR or any(self._header[1:4]):
                raise NotFramed(bytes(self._header) + data[at:])
            if len(self._header) == 8:
                self._stream = self._header[0] or STDOUT
                self._left = int.from_bytes(self._header[4:], "big")
                self._header.clear()
        return pieces


class MarkedStream:
    """One stream of a command: its output up to the marker in bounds, and whether another command may follow in it.

    The marker is `<nonce>:<exit code>;`. Bytes that may be the start of one are held back until it is clear. Where another
    command may follow, `<nonce>:again;` comes after it.
    """

    _CODE_BYTES = 8
    """Room for the exit code and the semicolon; at most `255;`."""

    def __init__(self, nonce: bytes, limit: int) -> None:
        self._nonce = nonce
        self._kept = HeadTail(limit)
        self._held = b""
        self.exit_code: int | None = None
        self._word = nonce + b":again;"
        self.again = False

    @property
    def ended(self) -> bool:
        return self.exit_code is not None

    def feed(self, data: bytes) -> None:
        """Take output; anything after the marker but the word `again` is a background process's and is ignored."""
        if self.ended:
            self._listen(data)
            return
        data = self._held + data
        at = 0
        while (found := data.find(self._nonce, at)) >= 0:
            code, semicolon, _ = data[found + len(self._nonce) : found + len(self._nonce) + self._CODE_BYTES].partition(
                b";"
            )
            if semicolon and code[:1] == b":" and code[1:].isdigit():
                self._kept.feed(data[:found])
                self._held = b""
                self.exit_code = int(code[1:])
                self._listen(data[found + len(self._nonce) + len(code) + 1 :])
                return
            if not semicolon and len(data) < found + len(self._nonce) + self._CODE_BYTES:
                break  # not all of it is here yet
            at = found + 1
        keep = len(data) - found if found >= 0 else min(len(data), len(self._nonce) - 1)
        self._kept.feed(data[: len(data) - keep])
        self._held = data[len(data) - keep :]

    def _listen(self, data: bytes) -> None:
        data = self._held + data
        self.again = self.again or self._word in data
        self._held = data[1 - len(self._word) :]

    def finish(self) -> None:
        """The stream has ended: without a marker, what was held back is output after all."""
        if not self.ended:
            self._kept.feed(self._held)
            self._held = b""

    @property
    def dropped(self) -> int:
        return self._kept.dropped

    def value(self) -> bytes:
        return self._kept.value()


class LineBuffer:
    """Bytes in, lines out."""

    def __init__(self, max_line: int = LINE_LIMIT) -> None:
        self._max_line = max_line
        self._data = bytearray()
        self._scanned = 0

    def feed(self, data: bytes) -> None:
        self._data += data

    def pop(self) -> bytes | None:
        """The next whole line without its newline, or `None` if there is none yet. Raises LineTooLong."""
        end = self._data.find(b"\n", self._scanned)
        if end > self._max_line or (end < 0 and len(self._data) > self._max_line):
            raise LineTooLong(f"a line of over {self._max_line} bytes")
        if end < 0:
            self._scanned = len(self._data)
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        self._scanned = 0
        return line

    def rest(self) -> bytes | None:
        """What is left after the end of the stream: a last line without a newline, if there is one."""
        line, self._data, self._scanned = bytes(self._data), bytearray(), 0
        return line or None
