"""The log of earlier experiments as the meta-agent reads it: text, cut to the room that there is.

The newest experiments say what the champion is up against now, so they stay whole; the oldest are shortened first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from lorimer.meta_agent.proposer.cases import CUT_MARK_CHARS, cut

LINES_SHARE = 0.25
"""Of the room, for the first lines of experiments that are not told whole. They keep titles in sight, so that an idea is not
had twice; a quarter of 20,000 characters is some 25 of them."""

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

    def within(self, room: int) -> str:
        """The log in at most `room` characters: all of it where it fits; else the newest experiments whole, those before
        them by their first lines, and how many are left out. The newest alone is cut where not even it fits.
        """
        if not self.experiments:
            return _within(f"{self.head}\n\nNo experiment has been made yet.", room)
        everything = "\n".join([self.head, "", *self.experiments])
        if len(everything) <= room:
            return everything
        left = room - len(self.head) - MARK_CHARS
        newest_first = list(self.experiments[::-1])
        lines = [text.split("\n", 1)[0] for text in newest_first]
        if left < len(lines[0]):
            return _within(lines[0], room)  # of so little room, the last thing that was tried makes the best use
        newest_first[0] = _within(newest_first[0], max(left, 2 * len(lines[0])))
        reserved = min(sum(len(line) + 1 for line in lines), int(left * LINES_SHARE))
        whole = max(1, _fitting(newest_first, left - reserved))
        left -= sum(len(text) + 1 for text in newest_first[:whole])
        short = _fitting(lines[whole:], left)
        told = [*newest_first[:whole], *lines[whole : whole + short]][::-1]
        left_out = len(self.experiments) - whole - short
        older = "Older experiments are told by their first line alone" + (f"; left out: {left_out}" if left_out else "")
        mark = [f"[{older}.]"] if len(self.experiments) > whole else []
        return _within("\n".join([self.head, "", *mark, *told]), room)


def _within(text: str, room: int) -> str:
    return text if len(text) <= room else cut(text, room - CUT_MARK_CHARS)


def _fitting(texts: Sequence[str], room: int) -> int:
    """How many of the first texts fit into `room`, a line break after each."""
    return sum(1 for used in accumulate(len(text) + 1 for text in texts) if used <= room)
