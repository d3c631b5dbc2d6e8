"""What trials say about one harness: its score with an interval, and each task's mean. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lorimer.kinds import NONE_REFUSED, Refused


class Result(NamedTuple):  # a study has 100,000, and a frozen data class takes three times as long to make
    """One finished planned trial, as the gate reads it."""

    task: str
    reward: float | None
    """0 to 1; `None` where the trial errored."""


@dataclass(frozen=True)
class Score:
    """A harness's score: the mean over tasks of each task's mean reward, with a 95% interval."""

    mean: float
    low: float
    high: float
    tasks: int
    trials: int
    """Scored ones."""
    errored: int
    refused: Refused = NONE_REFUSED
    """Those of their model calls that were refused; no part of the score, and known where somebody counted."""

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def doubts(self) -> str:
        """What stands behind a score: what errored, and what of the calls was refused; nothing where there is none of it."""
        errored = f", {self.errored} errored" if self.errored else ""
        return f"{errored} ({self.refused})" if self.refused else errored

    @property
    def with_doubts(self) -> str:
        """The score with its doubts."""
        return f"{self}{self.doubts}"


def score(results: Iterable[Result]) -> Score:
    """Mean over tasks of the task's mean reward, with a task-clustered 95% interval.

    Wilson's interval on the effective number of trials: the variance of the mean is taken between tasks, since trials of
    one task are alike, and n = p(1-p)/variance is capped at the number of tasks from below and of trials from above. It
    stays inside 0..1 and has width where every task came out alike. With nothing scored it is 0..1 around nan.
    """
    tasks = by_task(results)
    scored = [[reward for reward in rewards if reward is not None] for rewards in tasks.values()]
    errored = sum(len(rewards) for rewards in tasks.values()) - sum(map(len, scored))
    means = [mean_of(rewards) for rewards in scored if rewards]
    trials = sum(map(len, scored))
    if not means:
        return Score(math.nan, 0.0, 1.0, 0, 0, errored)
    mean = mean_of(means)
    effective = float(len(means))
    if len(means) > 1:
        variance = sample_variance(means) / len(means)
        spread = mean * (1 - mean)
        if spread > 0:
            effective = min(max(spread / variance if variance else math.inf, effective), float(trials))
    low, high = wilson(mean, effective)
    return Score(mean, low, high, len(means), trials, errored)


def task_means(results: Iterable[Result]) -> dict[str, float]:
    """Each task's mean reward over its scored trials; tasks with none are left out."""
    if isinstance(results, Shared):
        return results.means
    means = {}
    for task, rewards in by_task(results).items():
        scored = [reward for reward in rewards if reward is not None]
        if scored:
            means[task] = mean_of(scored)
    return means


def wilson(mean: float, n: float) -> tuple[float, float]:
    """Wilson's 95% interval of a mean of `n` rewards from 0 to 1; `n` is over 0."""
    z = 1.959963984540054
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


class Scored(NamedTuple):
    """The rewards of a task's scored trials."""

    rewards: tuple[float, ...]
    total: float
    squares: float


def scored(tasks: Mapping[str, Sequence[float | None]]) -> dict[str, Scored]:
    """The tasks that have scored trials."""
    found = {}
    for task, rewards in tasks.items():
        known = tuple(reward for reward in rewards if reward is not None)
        if known:
            found[task] = Scored(known, sum(known), sum(reward * reward for reward in known))
    return found


LEAST_VARIANCE = 1e-6
"""The least variance of a task's rewards: without any, one lucky trial would be certainty."""


def smoothed_variance(total: float, squares: float, n: int) -> float:
    """The variance of `n` rewards with this sum and sum of squares, and of half a success and half a failure."""
    centre = (total + 0.5) / (n + 1)
    return max((squares + 0.5) / (n + 1) - centre * centre, LEAST_VARIANCE)


class Shared(tuple[Result, ...]):
    """Results that many comparisons share, as a champion's: what each needs to know of them is found once."""

    @cached_property
    def by_task(self) -> dict[str, list[float | None]]:
        return by_task(self)

    @cached_property
    def scored(self) -> dict[str, Scored]:
        return scored(self.by_task)

    @cached_property
    def means(self) -> dict[str, float]:
        """Each task's mean reward, as `task_means` gives it."""
        return {task: mean_of(each.rewards) for task, each in self.scored.items()}

    @cached_property
    def values(self) -> frozenset[float]:
        """The rewards that there are."""
        return frozenset(result.reward for result in self if result.reward is not None)

    @cached_property
    def errored(self) -> int:
        return sum(result.reward is None for result in self)

    @classmethod
    def of(cls, results: Iterable[Result]) -> Shared:
        return results if isinstance(results, Shared) else cls(results)


def by_task(results: Iterable[Result]) -> dict[str, list[float | None]]:
    """Rewards by task, tasks in order of their first trial."""
    tasks: dict[str, list[float | None]] = defaultdict(list)
    for result in results:
        tasks[result.task].append(result.reward)
    return dict(tasks)


Rewards = Mapping[str, Sequence[float]]
"""A harness's rewards of each task, errored trials left out."""


def together(runs: Iterable[Rewards]) -> dict[str, list[float]]:
    """The rewards of several runs of a harness as those of one. A task without any is left out."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for task, rewards in run.items():
            if rewards:
                found.setdefault(task, []).extend(rewards)
    return found


def mean_of(values: Sequence[float]) -> float:
    """Exactly rounded, so that the order of trials does not show."""
    return math.fsum(values) / len(values)


def sample_variance(values: Sequence[float]) -> float:
    """The variance of two values or more, with n - 1 degrees of freedom. Sums are exactly rounded, as in `mean_of`."""
    centre = mean_of(values)
    return math.fsum((each - centre) ** 2 for each in values) / (len(values) - 1)
