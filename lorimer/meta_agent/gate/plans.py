"""Which trials a stage runs, and in which order. Pure: train tasks, results and a seed in, a plan out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorimer.kinds import SOLVED
from lorimer.meta_agent.gate.comparison import Arms, Evidence
from lorimer.meta_agent.gate.statistics.scores import Result, task_means
from lorimer.meta_agent.gate.statistics.weights import Rates
from lorimer.meta_agent.gate.verdicts import ENOUGH, SpotTrial

STRETCH = 6
"""Repeats by which a task that is always solved comes later in a full run than one that never is. From 0 to 3 the trials of a
null candidate fall by a tenth and the power rises by 5 points (58 tasks, 3 repeats); beyond 6 little changes."""


@dataclass(frozen=True)
class Luck:
    """Breaks ties between tasks: the same for the same study and candidate, unlike between candidates."""

    seed: int
    """The study's."""
    number: int
    """The candidate's."""

    def place(self, task: str) -> str:
        """A task's place in the shuffle."""
        return hashlib.sha256(f"{self.seed}/c{self.number:03}/{task}".encode()).hexdigest()


def rounds(planned: Sequence[str]) -> list[int]:
    """Where in a plan, short of its end, every task has been run equally often."""
    return Arms(Evidence((), (), planned)).rounds()


def by_task_and_repeat(tasks: Iterable[str], repeats: int) -> list[tuple[str, int]]:
    """All tasks once, then all tasks again: a study cut short has looked at everything."""
    names = list(tasks)
    return [(task, repeat) for repeat in range(repeats) for task in names]


def full_plan(
    train: Sequence[str], luck: Luck, repeats: int, known: Rates, *, in_rounds: bool = False
) -> list[tuple[str, int]]:
    """Every train task `repeats` times, the tasks that were seldom solved first: there a gain shows soonest, and luck least.

    A task's repeats come one after another where its rate is unlike the others', else in turn.

    Args:
        known: rates that order the tasks. They must follow from no trial that the test will count: neither from the champion's
            standing ones nor from this candidate's (`state.trials.EarlierRates`).
        in_rounds: every task once, then every task again, for a run that is looked at when all tasks have been run equally
            often.
    """
    stretch = 0 if in_rounds else STRETCH
    placed = {task: (round(known.get(task, 0.5), 1), luck.place(task)) for task in train}

    def key(item: tuple[str, int]) -> tuple[float, float, str]:
        task, repeat = item
        rate, place = placed[task]
        return repeat + stretch * rate, rate, place

    return sorted(by_task_and_repeat(train, repeats), key=key)


def spot_plan(
    named: Sequence[str],
    luck: Luck,
    champion: Sequence[Result],
    fixes: int,
    guards: int,
    touched: Sequence[str] = (),
) -> list[tuple[str, int]]:
    """Trials for the spot-check; none where whatever came of them could reject nothing and tell of no fix.

    `fixes` trials run over the `named` tasks, which the edit should fix and the champion does not solve, worst first, in
    turn: a single one gets them all. `guards` single trials are of tasks that the champion always solves, drawn by `luck`.

    Args:
        touched: tasks of which the edit touches a failed trial. They are taken where the champion solves all that are named, or
            none is: a person's edit often names none.
    """
    means = task_means(champion)

    def failing(tasks: Sequence[str]) -> list[str]:
        return sorted(
            (task for task in dict.fromkeys(tasks) if task in means and means[task] < SOLVED),
            key=lambda task: (means[task], luck.place(task)),
        )

    broken = (failing(named) or failing(touched))[:fixes]
    rounds = [(broken[index % len(broken)], index // len(broken)) for index in range(fixes)] if broken else []
    solved = sorted((task for task, mean in means.items() if mean >= SOLVED), key=luck.place)[:guards]
    if not rounds and len(solved) < ENOUGH:
        return []
    return rounds + [(task, 0) for task in solved]


def spot_trials(found: Sequence[Result], champion: Sequence[Result]) -> list[SpotTrial]:
    """What a spot-check found, with what the champion does on the same tasks."""
    means = task_means(champion)
    return [
        SpotTrial(each.task, "guard" if means[each.task] >= SOLVED else "fix", each.reward, means[each.task])
        for each in found
        if each.task in means
    ]
