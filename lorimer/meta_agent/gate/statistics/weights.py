"""What a success counts, by how rare it has been, and in which order tasks are tried. Pure.

Both are fixed before a candidate's trials are run, from trials that the test does not count, so they cost no validity. They
decide how soon and how surely a gain is found.

Were an edit to turn a share of every task's failures into successes, the locally most powerful statistic would be the sum over
tasks of successes / rate: where a task was seldom solved, one success says much and luck brings few. The plain total weighs all
tasks alike and drowns such news in the coin flips of tasks that are solved half of the time. But the further the weights are from
alike, the oftener an edit passes that gains on hard tasks what it loses on easy ones. The fourth root of 1 / rate is a quarter of
the way, which finds 7 more of 100 edits worth 5 points than the plain total (docs/gate.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain, repeat, starmap

from lorimer.meta_agent.gate.statistics.scores import Result

FINENESS = 8
"""A weight of 1 in units: weights are whole numbers, so that a weighted total lies on a lattice and its p-value is exact."""
RARE = 0.1
"""Added to a task's rate: no task counts over twice another here, and over three and a half times in the pooled test."""


Rates = Mapping[str, float]
"""Each task's mean reward in earlier trials and half of one more: 0 to 1. A task of which nothing is known has none."""


class EarlierTrials:
    """Trials that a test does not count, as the rewards of each task.

    It grows with every candidate and keeps no trial, so a study of 100,000 trials need not be read again for each of them.
    """

    def __init__(self) -> None:
        self._seen: dict[str, dict[float, int]] = {}
        """How often each task had each reward."""
        self._rates: dict[str, float] = {}
        """The rates of those tasks to which nothing was added since they were asked for."""

    def add(self, trials: Iterable[Result]) -> None:
        """Count these trials as well. Errored ones say nothing."""
        known: dict[str, list[float]] = {}
        for task, reward in trials:
            if reward is not None:
                known.setdefault(task, []).append(reward)
        self.add_rewards(known)

    def add_rewards(self, rewards: Mapping[str, Iterable[float]]) -> None:
        """Count trials that were scored as well, given as the rewards of each task."""
        for task, own in rewards.items():
            seen = self._seen.setdefault(task, {})
            for reward in own:
                seen[reward] = seen.get(reward, 0) + 1
            self._rates.pop(task, None)

    def rates(self) -> dict[str, float]:
        """Exactly rounded, so that the order of trials does not show."""
        for task, seen in self._seen.items():
            if task not in self._rates:
                total = math.fsum(chain.from_iterable(starmap(_times, seen.items())))
                self._rates[task] = (total + 0.5) / (sum(seen.values()) + 1)
        return {task: self._rates[task] for task in self._seen}


def _times(reward: float, count: int) -> Iterable[float]:
    """Floats whose exact sum is that of so many equal rewards: one of them where their sum is a float."""
    whole = reward.as_integer_ratio()[0] * count
    return (reward * count,) if whole < 1 << 53 else repeat(reward, count)


def rates(trials: Iterable[Result]) -> dict[str, float]:
    """The rates of these trials alone."""
    earlier = EarlierTrials()
    earlier.add(trials)
    return earlier.rates()


def weight(rate: float) -> int:
    """What a reward counts on a task with this rate: 8 where it is always solved, 14 where it never is."""
    return round(FINENESS / math.sqrt(math.sqrt(rate + RARE)))


UNKNOWN = weight(0.5)
"""The weight of a task without earlier trials."""


def weights(known: Rates) -> dict[str, int]:
    """Each task's weight."""
    return {task: weight(rate) for task, rate in known.items()}
