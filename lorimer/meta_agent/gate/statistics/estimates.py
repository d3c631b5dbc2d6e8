"""Differences of scores, with intervals over tasks. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.statistics.scores import mean_of


@dataclass(frozen=True)
class Estimate:
    """A difference of scores with its 95% interval, for people."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class MeasuredDifference:
    """A difference of scores, how far it may be off, and how well that is known."""

    value: float
    error: float
    """Standard error over tasks; infinite where there is one task alone."""
    freedom: float
    """Degrees of freedom of the error: at least 1."""

    def estimate(self) -> Estimate:
        """The mean with its 95% interval, by Student's t, within -1 and 1."""
        if math.isinf(self.error):
            return Estimate(self.value, -1.0, 1.0)
        half = student(self.freedom) * self.error
        return Estimate(self.value, max(-1.0, self.value - half), min(1.0, self.value + half))

    def less(self, other: MeasuredDifference) -> MeasuredDifference:
        """The difference to one that rests on other tasks. Its freedom is Welch's and Satterthwaite's."""
        mine, theirs = self.error**2, other.error**2
        if math.isinf(mine + theirs):
            return MeasuredDifference(self.value - other.value, math.inf, 1)
        freedom = (mine + theirs) ** 2 / (mine**2 / self.freedom + theirs**2 / other.freedom)
        return MeasuredDifference(self.value - other.value, math.sqrt(mine + theirs), freedom)


def mean_known(values: Sequence[float]) -> MeasuredDifference:
    """The mean of one value per task."""
    centre, tasks = mean_of(values), len(values)
    without = [(centre * tasks - value) / (tasks - 1) for value in values] if tasks > 1 else []
    return jackknife(centre, without)


def jackknife(value: float, without: Sequence[float]) -> MeasuredDifference:
    """An estimate whose error is told by its values with each task left out in turn.

    The error is at least that of half a task more that came out otherwise: where few tasks came out all alike, another may not.
    """
    tasks = len(without)
    if tasks < 2:
        return MeasuredDifference(value, math.inf, 1)
    centre = mean_of(without)
    variance = (tasks - 1) / tasks * math.fsum((each - centre) ** 2 for each in without)
    return MeasuredDifference(value, max(math.sqrt(variance), 0.5 / (tasks + 1)), tasks - 1)


Z95, Z975 = 1.6448536269514722, 1.959963984540054
"""Quantiles of the normal distribution: of a two-sided interval of 90% and of 95%."""


def student(freedom: float, z: float = Z975) -> float:
    """The quantile of Student's t that is `z` of the normal, by its expansion around that: at 97.5% 2.446 for 6 degrees (2.447),
    4.2 for 2 (4.3)."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
