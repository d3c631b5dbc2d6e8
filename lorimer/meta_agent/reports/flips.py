"""The tasks that two harnesses do not solve alike, and how many such there would be by chance. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from lorimer.kinds import SOLVED


@dataclass(frozen=True)
class TaskPair:
    """A task under two harnesses."""

    task: str
    before: float
    """The mean reward of the first harness's trials."""
    after: float
    trials: tuple[int, int]
    flip: str
    """`fixed`, `broke`, or empty. A task counts as solved where more than half of its trials are."""


@dataclass(frozen=True)
class Flips:
    """Two harnesses, task by task."""

    tasks: tuple[TaskPair, ...]
    expected: float
    """The tasks that would flip either way if both harnesses were the same: in each task its trials are dealt out anew to the
    two in every way."""

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(each.task for each in self.tasks if each.flip == "fixed")

    @property
    def broke(self) -> tuple[str, ...]:
        return tuple(each.task for each in self.tasks if each.flip == "broke")

    def __str__(self) -> str:
        said = f"{len(self.fixed)} tasks fixed and {len(self.broke)} broken of {len(self.tasks)}"
        return f"{said}; by chance alone {self.expected:.1f} would flip"


def flips(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], order: Sequence[str]) -> Flips:
    """The tasks in `order` that both harnesses have rewards on."""
    pairs, expected = [], 0.0
    for task in order:
        a, b = before.get(task, ()), after.get(task, ())
        if not a or not b:
            continue
        flip = "" if _solved(a) == _solved(b) else "broke" if _solved(a) else "fixed"
        pairs.append(TaskPair(task, sum(a) / len(a), sum(b) / len(b), (len(a), len(b)), flip))
        expected += chance(a, b)
    return Flips(tuple(pairs), expected)


def _solved(rewards: Sequence[float]) -> bool:
    return _most(_solves(rewards), len(rewards))


def _solves(rewards: Sequence[float]) -> int:
    return sum(reward >= SOLVED for reward in rewards)


def _most(solved: int, trials: int) -> bool:
    return 2 * solved > trials


def chance(a: Sequence[float], b: Sequence[float]) -> float:
    """The share of all ways to deal out both harnesses' trials of a task in which it flips. Each has some."""
    solved, trials = _solves(a) + _solves(b), len(a) + len(b)
    flipped = sum(
        comb(solved, mine) * comb(trials - solved, len(a) - mine)
        for mine in range(min(solved, len(a)) + 1)
        if _most(mine, len(a)) != _most(solved - mine, len(b))
    )
    return flipped / comb(trials, len(a))
