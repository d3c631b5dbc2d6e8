"""Which lines of agent.py ran in a trial, as a value and as a text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter


@dataclass(frozen=True)
class LinesRan:
    """Which lines of agent.py ran in a trial, as the jail tells. That is the harness's own process: advice, and no decision's."""

    ranges: tuple[tuple[int, int], ...]
    """First and last line of each range, from 1, in order and apart from each other."""
    whole: bool
    """Whether the harness came to its own end. Otherwise more lines may have run than are told here."""
    led_to: tuple[tuple[int, int, int], ...] = ()
    """First and last line of what ran for the first time, and the number of the harness's call that came next. The text has none
    of it: a store keeps the steps of these calls (`FirstRan`)."""

    def __add__(self, more: LinesRan) -> LinesRan:
        fresh = tuple((*piece, call) for first, last, call in more.led_to for piece in self._without(first, last))
        joined: list[tuple[int, int]] = []
        for first, last in sorted((*self.ranges, *more.ranges)):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = joined[-1][0], max(joined[-1][1], last)
            else:
                joined.append((first, last))
        return LinesRan(tuple(joined), self.whole and more.whole, self.led_to + fresh)

    def __str__(self) -> str:
        """`1-3,7`."""
        return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in self.ranges)

    @classmethod
    def of(cls, text: str, whole: bool) -> LinesRan:
        """What `str` made."""
        return cls(_ranges(text), whole)

    def any_of(self, lines: Collection[int]) -> bool:
        """Whether one of these lines ran."""
        return any(first <= line <= last for line in lines for first, last in self.ranges)

    def _without(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of a range had not run."""
        # A hostile harness may tell of thousands of ranges at once: only those that meet this one are looked at.
        at = bisect_left(self.ranges, first, key=itemgetter(1))
        while at < len(self.ranges) and self.ranges[at][0] <= last:
            begin, end = self.ranges[at]
            if first < begin:
                yield first, begin - 1
            first, at = end + 1, at + 1
        if first <= last:
            yield first, last


@lru_cache(maxsize=1024)  # a store has them of 100,000 trials, and the trials of one harness run much the same lines
def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    parts = [each.partition("-") for each in text.split(",") if each]
    return tuple((int(first), int(last or first)) for first, _, last in parts)


@dataclass(frozen=True)
class FirstRan:
    """Lines of agent.py that ran in a trial for the first time just before a step, and led to it."""

    first: int
    last: int
    step: int
    """The index of the step."""


@dataclass(frozen=True)
class LinesOfTrial:
    """What a store keeps of the lines that ran in a trial."""

    ran: LinesRan
    first: tuple[FirstRan, ...]
    """They stand in the order in which they ran; there are none where an older lorimer ran the trial."""
