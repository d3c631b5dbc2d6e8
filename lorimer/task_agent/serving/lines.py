"""What a jail says of the lines that ran, taken with a grain of salt.

It is said by the harness's own process, so all of it may be made up. It is read only as far as it can be true of the file, at a
bounded cost, and what does not fit is passed over: none of it can fail a trial or decide anything.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from lorimer.traces.schema import LinesRan

MAX_BYTES = 256 << 10
"""The longest message. A file of 20,000 lines, every other of which ran, takes 200 kB; a harness has some hundred."""
_BREAK = re.compile(r"\r\n|\r|\n")


def is_told(line: bytes) -> bool:
    """Whether a line of the jail tells of lines, and so is no call."""
    return line.startswith(b'{"ran"')


class LinesTold:
    """What has been said of one start of a harness.

    Args:
        text: the harness's.
    """

    def __init__(self, text: str) -> None:
        self._lines = 1 + len(_BREAK.findall(text))  # as Python counts them
        self._heard = 0
        self._ran: LinesRan | None = None

    def hear(self, line: bytes, call: int) -> None:
        """Take in a message, if it can be true.

        Args:
            call: the number of the call that comes next, to which these lines led.
        """
        self._heard += 1
        # An honest jail speaks only where another line has run.
        if self._heard > self._lines or len(line) > MAX_BYTES:
            return
        try:
            said = json.loads(line)["ran"]
            ranges, last = list[tuple[int, int]](), 0
            for begin, end in said:
                if type(begin) is not int or type(end) is not int or not last < begin <= end <= self._lines:
                    return
                ranges.append((begin, end))
                last = end
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        led_to = tuple((begin, end, call) for begin, end in ranges)
        heard = LinesRan(tuple(ranges), True, led_to)
        self._ran = heard if self._ran is None else self._ran + heard

    def lines(self, *, whole: bool) -> LinesRan | None:
        """What ran; `None` where nothing was told.

        Args:
            whole: the harness came to its own end.
        """
        return None if self._ran is None or not self._ran.ranges else replace(self._ran, whole=whole)
