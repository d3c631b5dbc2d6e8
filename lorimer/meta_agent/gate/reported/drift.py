"""Whether the world drifts while a study runs: trials of harnesses that did not change, late ones against early ones. Pure.

A provider changes its model, a machine becomes busier: then every harness scores otherwise by now, and an early score is not to
be set beside a late one. Nothing is decided by this; comparisons are of trials side by side, or of trials that are young enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.statistics.estimates import Estimate, mean_known
from lorimer.meta_agent.gate.statistics.scores import Rewards, mean_of, together
from lorimer.wording import count


@dataclass(frozen=True)
class Drift:
    """Late trials of the same harnesses against early ones."""

    change: Estimate
    """How much higher late trials score, in mean reward over tasks."""
    tasks: int
    """Those with scored trials of the same harness at two times."""
    trials: tuple[int, int]
    """Early ones and late ones."""
    harnesses: int

    def __str__(self) -> str:
        early, late = self.trials
        if self.change.low > 0:
            said = "what did not change scores higher late in the study"
        elif self.change.high < 0:
            said = "what did not change scores lower late in the study"
        else:
            said = "it cannot be told from chance"
        whose = "the same harness" if self.harnesses == 1 else f"the same {self.harnesses} harnesses"
        of = f"{late} late trials of {whose} against {early} early ones, on {count(self.tasks, 'task')}"
        return f"{self.change} in {of}: {said}"


def drift(harnesses: Sequence[Sequence[Rewards]]) -> Drift | None:
    """What changed from the early trials of these harnesses to their late ones; `None` where none was scored on the same task
    early and late.

    Of each harness, the first half of the times at which it was run are early. A task's change is the mean over harnesses, each
    weighing as much as its fewer trials tell; the interval is over tasks.

    Args:
        harnesses: of each, its rewards at every time that it was run, in order of these.
    """
    changes: dict[str, list[tuple[float, float]]] = {}
    early_trials = late_trials = 0
    told = 0
    for times in harnesses:
        half = len(times) // 2
        early, late = together(times[:half]), together(times[half:])
        both = [task for task in early if task in late]
        told += bool(both)
        for task in both:
            before, after = early[task], late[task]
            early_trials, late_trials = early_trials + len(before), late_trials + len(after)
            weight = 1 / (1 / len(before) + 1 / len(after))
            changes.setdefault(task, []).append((mean_of(after) - mean_of(before), weight))
    if not changes:
        return None
    each = [
        mean_of([change * weight for change, weight in own]) / mean_of([weight for _, weight in own])
        for own in changes.values()
    ]
    return Drift(mean_known(each).estimate(), len(each), (early_trials, late_trials), told)
