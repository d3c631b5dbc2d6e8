"""What is known of a champion, as dice: how its trials would come out if they were run again, and with an edit. Pure.

A task's few trials do not tell its true rate. So each simulated study draws every task's rewards from what its trials leave
possible: the rewards seen, and beside them all tasks' rewards together, which count as much as `weight` trials (a Dirichlet
process with that base; for pass/fail rewards a beta distribution). The weight is read off how alike the trials of one task
are, so a suite whose tasks are always or never solved is not taken for a flaky one, nor the reverse.
"""

from __future__ import annotations

import math
import random
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from lorimer.errors import UserError
from lorimer.meta_agent.gate.statistics.scores import Result, by_task, mean_of

UNKNOWN_WEIGHT = 0.7
"""Where no task has two trials, their likeness is unknown. Between 0.6 and 0.8 on the benchmarks measured so far."""
WEIGHTS = (0.05, 20.0)
"""Bounds of an estimated weight: below, one trial would tell all of its task; above, it would tell next to nothing."""
STEP = 0.5
"""The most by which an edit changes one task's mean reward."""
CEILING = 0.95
"""The highest mean reward to which an edit lifts a task."""
_ATOMS = 16
"""Different rewards of the pool that are told apart; graded rewards beyond are told by their quantiles."""
MOST_TASKS = 2_000
"""Tasks that an assumption may have: simulating more takes minutes."""


@dataclass(frozen=True)
class TaskRewards:
    """One task's distribution of rewards."""

    values: tuple[float, ...]
    shares: tuple[float, ...]
    """Cumulative, up to 1."""

    @classmethod
    def of(cls, masses: Mapping[float, float]) -> TaskRewards:
        """Values with masses that need not add up to 1; one of them must be over 0."""
        values = tuple(sorted(value for value, mass in masses.items() if mass > 0))
        sums = list(accumulate(masses[value] for value in values))
        return cls(values, tuple(each / sums[-1] for each in sums))

    @property
    def mean(self) -> float:
        before = (0.0, *self.shares)
        return math.fsum(
            value * (to - since) for value, since, to in zip(self.values, before, self.shares, strict=False)
        )

    def draw(self, dice: random.Random) -> float:
        # As `dice.choices(self.values, cum_weights=self.shares)[0]`, in a third of the time.
        return self.values[bisect_right(self.shares, dice.random(), 0, len(self.values) - 1)]

    def moved(self, towards: float, share: float) -> TaskRewards:
        """These rewards with `share` of all trials turned into the reward `towards`."""
        before = (0.0, *self.shares)
        masses = {
            value: (to - since) * (1 - share)
            for value, since, to in zip(self.values, before, self.shares, strict=False)
        }
        masses[towards] = masses.get(towards, 0.0) + share
        return TaskRewards.of(masses)


RewardsByTask = Mapping[str, TaskRewards]
"""How a harness does on each task."""


@dataclass(frozen=True)
class Panel:
    """What is known of a harness on a suite."""

    seen: Mapping[str, tuple[float, ...]]
    """Scored rewards by task; a task may have none."""
    pool: Mapping[float, float]
    """All tasks' rewards together, with their shares."""
    weight: float
    """How many trials the pool counts for on each task; 0 where the shares are known exactly."""
    assumed: Mapping[str, float] | None = None
    """Pass rates by task that are taken for true, instead of trials."""
    weight_known: bool = True
    """Whether the weight was estimated, or is `UNKNOWN_WEIGHT`."""

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.seen)

    @property
    def mean(self) -> float:
        """The harness's expected score."""
        if self.assumed is not None:
            return mean_of(list(self.assumed.values()))
        base = math.fsum(value * share for value, share in self.pool.items())
        return mean_of(
            [
                (math.fsum(seen) + self.weight * base) / (len(seen) + self.weight) if seen or self.weight else base
                for seen in self.seen.values()
            ]
        )

    def draw(self, dice: random.Random) -> dict[str, TaskRewards]:
        """One suite that the trials leave possible."""
        if self.assumed is not None:
            return {task: TaskRewards.of({1.0: rate, 0.0: 1 - rate}) for task, rate in self.assumed.items()}
        return {task: self._draw(masses, dice) for task, masses in self._masses.items()}

    @cached_property
    def _masses(self) -> dict[str, dict[float, float]]:
        """What each reward counts on each task, in trials."""
        found = {}
        for task, seen in self.seen.items():
            masses = found[task] = {value: self.weight * share for value, share in self.pool.items()}
            for reward in seen:
                masses[reward] = masses.get(reward, 0.0) + 1.0
        return found

    def _draw(self, masses: Mapping[float, float], dice: random.Random) -> TaskRewards:
        # A Dirichlet draw is gamma draws, scaled; a tiny mass may underflow to none.
        drawn = {value: dice.gammavariate(mass, 1.0) if mass > 1e-9 else 0.0 for value, mass in masses.items()}
        return TaskRewards.of(drawn if sum(drawn.values()) > 0 else masses)


def from_trials(trials: Iterable[Result]) -> Panel:
    """The panel that finished trials of one harness tell. Errored ones say nothing. Needs a scored one."""
    seen = {
        task: tuple(reward for reward in rewards if reward is not None) for task, rewards in by_task(trials).items()
    }
    everything = [reward for rewards in seen.values() for reward in rewards]
    weight = _weight([rewards for rewards in seen.values() if len(rewards) > 1])
    return Panel(seen, _pool(everything), weight or UNKNOWN_WEIGHT, weight_known=weight is not None)


def from_rates(rates: Sequence[float]) -> Panel:
    """The panel of tasks with these pass rates."""
    assumed = {f"t{number:04}": rate for number, rate in enumerate(rates)}
    return Panel(dict.fromkeys(assumed, ()), {1.0: mean_of(rates)}, 0.0, assumed)


def spread(tasks: int) -> Panel:
    """The panel of `tasks` tasks of which nothing is known: half of them succeed or fail nearly always, at any rate."""
    names = [f"t{number:04}" for number in range(tasks)]
    return Panel(dict.fromkeys(names, ()), {0.0: 0.5, 1.0: 0.5}, UNKNOWN_WEIGHT, weight_known=False)


def parse_rates(text: str) -> list[float]:
    """Rates of `0.95x28,0.1-0.9x20,0x10`: a rate, or a range of evenly spaced ones, and for how many tasks.

    Raises UserError.
    """
    rates: list[float] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d*\.?\d+)(?:-(\d*\.?\d+))?(?:x(\d+))?\s*", part)
        if found is None:
            raise UserError(f"--assume {text}: write rates such as 0.95x28,0.1-0.9x20,0x10; '{part.strip()}' is none")
        low, count = float(found[1]), int(found[3] or 1)
        high = float(found[2] or found[1])
        if max(low, high) > 1:
            raise UserError(f"--assume {text}: {max(low, high):g} is no pass rate; rates lie between 0 and 1")
        if count + len(rates) > MOST_TASKS:
            raise UserError(f"--assume {text}: that is over {MOST_TASKS} tasks")
        rates += [low + (high - low) * step / max(1, count - 1) for step in range(count)]
    if not rates:
        raise UserError(f"--assume {text}: these are no tasks; write rates such as 0.95x28,0.5x20")
    return rates


def edited(suite: RewardsByTask, gain: float, dice: random.Random) -> tuple[dict[str, TaskRewards], list[str]]:
    """The suite after an edit that changes the mean reward by `gain`, and the tasks that it changes.

    Tasks in random order, each by at most `STEP`, upwards to at most `CEILING`, until the gain is reached or there is no
    more room.
    """
    changed, touched = dict(suite), []
    left = abs(gain) * len(suite)
    for task in dice.sample(list(suite), len(suite)):
        if left <= 1e-12:
            break
        mean = suite[task].mean
        room = max(0.0, CEILING - mean) if gain > 0 else mean
        step = min(STEP, room, left)
        if step <= 0:
            continue
        changed[task] = suite[task].moved(1.0, step / (1 - mean)) if gain > 0 else suite[task].moved(0.0, step / mean)
        touched.append(task)
        left -= step
    return changed, touched


def room(suite: RewardsByTask) -> float:
    """The largest gain that `edited` can give."""
    return math.fsum(min(STEP, max(0.0, CEILING - rewards.mean)) for rewards in suite.values()) / len(suite)


def run(suite: RewardsByTask, plan: Iterable[str], dice: random.Random) -> list[Result]:
    """Trials of a plan, each drawn as `TaskRewards.draw` does."""
    tasks = list(plan)
    # Forecasts draw hundreds of thousands: what may come of a task is laid out once, and each trial looks it up.
    laid = {
        task: (suite[task].shares, len(suite[task].values) - 1, [Result(task, value) for value in suite[task].values])
        for task in dict.fromkeys(tasks)
    }
    luck = dice.random
    return [found[bisect_right(shares, luck(), 0, last)] for shares, last, found in map(laid.__getitem__, tasks)]


def noise(suite: RewardsByTask) -> float:
    """The standard deviation of the score of one run, each task once."""
    total = 0.0
    for rewards in suite.values():
        mean, before = rewards.mean, (0.0, *rewards.shares)
        total += math.fsum(
            (value - mean) ** 2 * (to - since)
            for value, since, to in zip(rewards.values, before, rewards.shares, strict=False)
        )
    return math.sqrt(total) / len(suite)


def _pool(rewards: Sequence[float]) -> dict[float, float]:
    """The rewards' distribution, on at most `_ATOMS` values."""
    if len(set(rewards)) > _ATOMS:
        ordered = sorted(rewards)
        rewards = [ordered[(2 * step + 1) * len(ordered) // (2 * _ATOMS)] for step in range(_ATOMS)]
    return {value: count / len(rewards) for value, count in Counter(rewards).items()}


def _weight(groups: Sequence[tuple[float, ...]]) -> float | None:
    """The pool's weight from the likeness of each task's trials: with weight w, two trials of a task have the correlation
    1 / (1 + w). Estimated by one-way analysis of variance; `None` where there is nothing to go by.
    """
    trials = sum(map(len, groups))
    if len(groups) < 2:
        return None
    grand = math.fsum(reward for group in groups for reward in group) / trials
    between = math.fsum(len(group) * (mean_of(group) - grand) ** 2 for group in groups) / (len(groups) - 1)
    within = math.fsum((reward - mean_of(group)) ** 2 for group in groups for reward in group) / (trials - len(groups))
    if between + within <= 0:
        return WEIGHTS[0]
    size = (trials - sum(len(group) ** 2 for group in groups) / trials) / (len(groups) - 1)
    likeness = (between - within) / (between + (size - 1) * within)
    lowest, highest = WEIGHTS
    return min(highest, max(lowest, 1 / likeness - 1)) if likeness > 0 else highest
