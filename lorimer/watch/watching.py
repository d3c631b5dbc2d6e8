"""Shows a study in a terminal until q or Ctrl-C, and leaves the terminal as it was; elsewhere prints it once.

The whole screen is the alternate one, and is drawn anew wherever its size has changed: no wrapped row of an old size stays.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from lorimer.dashboard.shelf import Shelf
from lorimer.dashboard.views.overview import overview
from lorimer.terminal.here import from_here
from lorimer.terminal.listing import requests_of
from lorimer.terminal.screen import width_of
from lorimer.traces.base import StudyReader
from lorimer.watch.cells import Row, written
from lorimer.watch.frame import frame

LOOK_SECONDS = 1.0
"""How often the store is asked whether the study's rows have changed: five questions to indices."""
ANEW_SECONDS = 10.0
"""After so long it is drawn anew though no row has changed: a process that died changes none."""
KEY_SECONDS = 0.2
"""How long a key and a new size of the terminal wait at most."""
ONCE = 40
"""Rows that are printed where nobody watches."""

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR, _ERASE_LINE, _ERASE_DOWN = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"


def watch(reader: StudyReader, root: Path, study: str, stream: TextIO, keys: TextIO) -> None:
    """Show a study until somebody ends it; print it once where `stream` or `keys` is no terminal.

    Raises UserError for an unknown study.
    """
    shelf = Shelf(reader, root)

    def rows(width: int, height: int, foot: str) -> Sequence[Row]:
        return frame(overview(shelf, shelf.open(study)), width, height, foot, requests_of(reader.study(study)))

    if not (stream.isatty() and keys.isatty()) or os.environ.get("TERM") == "dumb":
        for row in rows(width_of(stream) if stream.isatty() else 80, ONCE, ""):
            line = written(row, colour=False)
            if line:
                stream.write(_sendable(from_here(line, root), stream) + "\n")
        return
    colour = not os.environ.get("NO_COLOR")
    with _whole_screen(stream, keys):
        _follow(rows, lambda: reader.mark(study).word, stream, keys, colour=colour)


def _follow(
    rows: Callable[[int, int, str], Sequence[Row]],
    mark: Callable[[], str],
    stream: TextIO,
    keys: TextIO,
    *,
    colour: bool,
) -> None:
    """Draw, look, wait for a key; until q, Ctrl-C, or the end of the keys."""
    drawn: tuple[str, os.terminal_size] | None = None
    looked, now = float("-inf"), ""
    size = os.get_terminal_size(stream.fileno())
    while True:
        if time.monotonic() - looked >= LOOK_SECONDS:
            looked = time.monotonic()
            now = f"{mark()} {looked // ANEW_SECONDS}"
        before, size = size, os.get_terminal_size(stream.fileno())
        if drawn != (now, size):
            # A row as wide as the terminal would leave the cursor where terminals do not agree.
            found = rows(max(1, size.columns - 1), max(1, size.lines), "q ends; the study goes on")
            text = f"{_ERASE_LINE}\r\n".join(_sendable(written(row, colour=colour), stream) for row in found)
            clear = _CLEAR if before != size else ""
            stream.write(f"{clear}{_HOME}{text}{_ERASE_LINE}{_ERASE_DOWN}")
            stream.flush()
            drawn = now, size
        ready, _, _ = select.select([keys], [], [], KEY_SECONDS)
        if ready and os.read(keys.fileno(), 64)[:1] in (b"q", b"Q", b"\x03", b"\x04", b""):
            return


def _sendable(text: str, stream: TextIO) -> str:
    """The text with what the terminal's encoding lacks as question marks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


@contextmanager
def _whole_screen(stream: TextIO, keys: TextIO) -> Iterator[None]:
    """The alternate screen, with keys that come at once. Ctrl-C ends it like q; a signal that ends the process leaves no mess."""
    before = termios.tcgetattr(keys.fileno())

    def ended(number: int, at: FrameType | None) -> None:
        raise SystemExit(128 + number)

    handlers: dict[signal.Signals, Any] = {each: signal.signal(each, ended) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(keys.fileno())
        stream.write(_ENTER)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        try:
            stream.write(_LEAVE)
            stream.flush()
            termios.tcsetattr(keys.fileno(), termios.TCSADRAIN, before)
        except (OSError, termios.error):  # the terminal is gone, and needs nothing
            sys.exit(128 + signal.SIGHUP)
