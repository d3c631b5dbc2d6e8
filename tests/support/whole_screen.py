"""A pseudo-terminal with a program in it, and what a person sees there: just what `lorimer.watch` writes to one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence

_TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([HJKhlm])|([\r\n])|([^\x1b\r\n]+)")

_CONTROLLED = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""The terminal is the program's own, so that Ctrl-C in it is a signal."""


class WholeScreen:
    """Runs a command in a terminal of its own.

    Args:
        size: columns and rows.
    """

    def __init__(self, command: Sequence[str], size: tuple[int, int], environment: Mapping[str, str]) -> None:
        self._terminal, inside = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(inside)
        self._inside = inside
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLED, *command],
            stdin=inside,
            stdout=inside,
            stderr=subprocess.PIPE,
            env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
            start_new_session=True,
        )
        self.rows = [""]
        self.alternate = self.hidden = False
        self.said = ""
        self._row, self._column = 0, 0
        self._left = ""

    def resize(self, columns: int, rows: int) -> None:
        """As when somebody drags the window."""
        self.columns = columns
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, seen: Callable[[WholeScreen], bool]) -> None:
        """Read what the program writes until that is so. A test's own time limit ends one that never is."""
        while not seen(self):
            self._read()

    def end(self) -> int:
        """Read all that is left; the exit code."""
        while self.process.poll() is None:
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self._terminal)
        os.close(self._inside)

    @property
    def restored(self) -> bool:
        """Whether keys are echoed and lines edited as before."""
        return termios.tcgetattr(self._inside) == self.before

    def _read(self) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], 0.1)
        if not ready:
            return False
        text = os.read(self._terminal, 65_536).decode(errors="replace")
        self.said += text
        self._show(self._left + text)
        return True

    def _show(self, text: str) -> None:
        # The beginning of a sequence waits for its end.
        whole = re.sub(r"\x1b(\[[\d;?]*)?$", "", text)
        self._left = text[len(whole) :]
        for what, command, control, plain in _TOKEN.findall(whole):
            if plain:
                row = self.rows[self._row].ljust(self._column)
                self.rows[self._row] = row[: self._column] + plain + row[self._column + len(plain) :]
                self._column += len(plain)
            elif control == "\n":
                self._row += 1
                self.rows += [""] * (self._row + 1 - len(self.rows))
            elif control == "\r":
                self._column = 0
            elif command == "H":
                self._row = self._column = 0
            elif command == "K":
                self.rows[self._row] = self.rows[self._row][: self._column]
            elif command == "J" and what == "2":
                self.rows = [""] * len(self.rows)
            elif command == "J":
                self.rows[self._row :] = [self.rows[self._row][: self._column]]
            elif what == "?1049":
                self.alternate = command == "h"
            elif what == "?25":
                self.hidden = command == "l"
