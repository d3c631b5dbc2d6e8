"""The log of earlier experiments as the meta-agent reads it: text, cut to the room that there is.

The newest experiments say what the champion is up against now, so they stay whole; the oldest are shortened first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from lorimer.meta_agent.proposer.cases import CUT_MARK_CHARS, cut

LINES_SHARE = 0.25
"""Of the room, for the first lines of experiments that are not told whole. They keep titles in sight, so that an idea is not
had twice; a quarter of 20,000 characters is some 25 of them."""

MOST_WHOLE = 12
"""Experiments told whole where not all fit. They are some 6,000 characters; a hundred in full would be read by nobody."""

MARK_CHARS = 120
"""Kept for the line that says what was left out."""


@dataclass(frozen=True)
class Log:
    """What was tried, predicted, decided and why."""

    head: str
    """Where the study stands."""
    experiments: tuple[str, ...] = ()
    """Each as lines, of which the first says what was tried, what happened and what it means. In order."""

    def after(self, before: Log | None) -> Log:
        """This log with another one before it, which is shortened first."""
        if before is None:
            return self
        return Log(f"{before.head}\n{self.head}", (*before.experiments, *self.experiments))

    def within(self, room: int, about: str = "") -> str:
        """The log in at most `room` characters: all of it where it fits; else the newest experiments whole, the others by their
        first lines, and how many are left out. The newest alone is cut where not even it fits.

        Args:
            about: words; the experiments that share most of them are told whole before newer ones.
        """
        if not self.experiments:
            return _within(f"{self.head}\n\nNo experiment has been made yet.", room)
        everything = "\n".join([self.head, "", *self.experiments])
        if len(everything) <= room:
            return everything
        left = room - len(self.head) - MARK_CHARS
        newest = len(self.experiments) - 1
        lines = [text.split("\n", 1)[0] for text in self.experiments]
        if left < len(lines[newest]):
            return _within(lines[newest], room)  # of so little room, the last thing that was tried makes the best use
        last = _within(self.experiments[newest], max(left, 2 * len(lines[newest])))
        told = {newest: last}
        reserved = min(sum(len(line) + 1 for line in lines), int(left * LINES_SHARE))
        for place in self._order(about)[: MOST_WHOLE - 1]:
            if sum(len(text) + 1 for text in told.values()) + len(self.experiments[place]) + 1 > left - reserved:
                break
            told[place] = self.experiments[place]
        left -= sum(len(text) + 1 for text in told.values())
        whole = len(told)
        rest = [place for place in range(newest, -1, -1) if place not in told]
        for place in rest[: _fitting([lines[place] for place in rest], left)]:
            told[place] = lines[place]
        left_out = len(self.experiments) - len(told)
        older = "Other experiments are told by their first line alone" + (f"; left out: {left_out}" if left_out else "")
        mark = [f"[{older}.]"] if len(self.experiments) > whole else []
        return _within("\n".join([self.head, "", *mark, *(told[place] for place in sorted(told))]), room)

    def _order(self, about: str) -> list[int]:
        """The experiments but the newest, in the order in which they are told whole: those that share most words with `about`,
        of as many words the newer one."""
        wanted = set(re.findall(r"\w{3,}", about.lower()))
        shared = [len(wanted & set(re.findall(r"\w{3,}", text.lower()))) if wanted else 0 for text in self.experiments]
        return sorted(range(len(self.experiments) - 1), key=lambda place: (-shared[place], -place))


def _within(text: str, room: int) -> str:
    return text if len(text) <= room else cut(text, room - CUT_MARK_CHARS)


def _fitting(texts: Sequence[str], room: int) -> int:
    """How many of the first texts fit into `room`, a line break after each."""
    return sum(1 for used in accumulate(len(text) + 1 for text in texts) if used <= room)
