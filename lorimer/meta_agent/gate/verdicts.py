"""The gate's smaller verdicts, around the full run: the spot-check, and whether too many trials errored. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lorimer.meta_agent.gate.comparison import Decision, errored
from lorimer.meta_agent.gate.statistics.permutation import TIE
from lorimer.meta_agent.gate.statistics.policies import Policy, Value
from lorimer.meta_agent.gate.statistics.revisions import NEWEST, REVISIONS, Ends
from lorimer.meta_agent.gate.statistics.scores import Result

ENOUGH = 2
"""Broken guards that kill, whatever else a spot-check found."""


@dataclass(frozen=True)
class SpotTrial:
    """A single-task check of a candidate."""

    task: str
    role: Literal["fix", "guard"]
    reward: float | None
    champion_mean: float
    """The champion's mean reward on this task in its standing trials."""


def spot_verdict(trials: Sequence[SpotTrial], ends: Ends = REVISIONS[NEWEST]) -> Decision:
    """Whether single-task checks kill a candidate: `reject` or `pass`. They can never promote.

    Killed when it breaks what worked: two or more guards at less than half the champion's reward. One bad trial never kills
    (two guards that pass 95% of the time kill 1 edit in 400), nor does a wrong prediction of which tasks it fixes: killing
    on failed fixes alone stopped 40% of edits worth 5 points and 28% of those worth 10, on the panel of 58 tasks, and
    spared only what futility spares too. Revision 1 also killed on one broken guard where two or more fix trials came out
    no better than the champion's (`Ends.one_guard_kills`). Errored trials say nothing. One that could not kill does not say that
    it was passed: one without trials, and one whose only guard broke.
    """
    fixes = [trial for trial in trials if trial.role == "fix" and trial.reward is not None]
    guards = [trial for trial in trials if trial.role == "guard" and trial.reward is not None]
    improved = [t for t in fixes if t.reward is not None and t.reward > t.champion_mean + TIE]
    broken = [t for t in guards if t.reward is not None and t.reward < t.champion_mean / 2]
    numbers: dict[str, Value] = {
        "fix_trials": len(fixes),
        "fixed": len(improved),
        "guard_trials": len(guards),
        "broken": len(broken),
        "errored": len(trials) - len(fixes) - len(guards),
    }
    solved = f"it broke {len(broken)} of {len(guards)} tasks that the champion solves"
    if too_broken(numbers, ends):
        if len(broken) < ENOUGH:
            solved += f", and none of {len(fixes)} trials on tasks it should fix did better than the champion"
        return Decision("reject", f"rejected on the spot-check: {solved}", numbers)
    none = "there was no task to try that it should fix"
    if not trials:
        return Decision(
            "pass", f"skipped the spot-check: {none}, and fewer than {ENOUGH} guards reject nothing", numbers
        )
    named = any(trial.role == "fix" for trial in trials)
    better = f"{len(improved)} of {len(fixes)} fix trials better" if named else none
    if broken and len(broken) == len(guards):
        said = f"not rejected on the spot-check: {better}; its only guard broke, and one alone rejects nothing"
        return Decision("pass", f"{said}; the full run decides", numbers)
    return Decision("pass", f"passed the spot-check: {better}, {len(broken)} of {len(guards)} guards broken", numbers)


def too_broken(numbers: Mapping[str, Value], ends: Ends) -> bool:
    """Whether what a spot-check on single tasks found, as its decision's numbers say it, kills a candidate."""
    broken, fixes, fixed = (int(numbers[key] or 0) for key in ("broken", "fix_trials", "fixed"))
    return broken >= ENOUGH or (ends.one_guard_kills and broken > 0 and fixes >= 2 and not fixed)


def too_errored(results: Sequence[Result], policy: Policy) -> bool:
    """Whether an arm errored too often to be compared with anything."""
    return not results or errored(results) > policy.max_errored * len(results)
