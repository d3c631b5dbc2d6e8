"""What the sealed tasks say of a candidate: whether it is worse there, and whether its gain carries over. Pure.

An edit may gain on the tasks that it was made for and nothing elsewhere. A bound on how much worse it may be on the sealed tasks
lets that pass, and a row of such edits sinks by a little each time. So the gain on the train tasks is compared with the gain on
the sealed ones, once against the champion and once, over all that was promoted since, against the seed harness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.comparison import Arms, Decision, Evidence, errored, too_many_errors, versus
from lorimer.meta_agent.gate.statistics.permutation import TIE
from lorimer.meta_agent.gate.statistics.policies import Policy, Value, means
from lorimer.meta_agent.gate.statistics.scores import Result, mean_of, sample_variance, task_means

VETO = 1.645
"""Standard errors by which a gain on the train tasks may exceed that on the sealed ones: an honest edit is vetoed by either
comparison in at most 5 of 100 cases. Together it is 4 of 100 (12 sealed tasks, +5 points on both), and +20 points on train alone
are vetoed in 92 of 100 (98 with 25): `bench/gate_suites.py`."""
STEP, SINCE_SEED = "step", "since_seed"
"""The two gains that are compared."""
WHOSE = {STEP: "the champion", SINCE_SEED: "the seed harness"}
FLOOR = 0.5
"""The sealed tasks' variance counts as at least this share of the train tasks': a dozen tasks that happen to agree are no proof
that all would."""


@dataclass(frozen=True)
class Met:
    """The trials of two harnesses on both sides of the split."""

    train: tuple[Sequence[Result], Sequence[Result]]
    """The later one's and the earlier one's."""
    sealed: tuple[Sequence[Result], Sequence[Result]]


@dataclass(frozen=True)
class GainTransfer:
    """How much of a gain carried over. All in mean reward."""

    train: float
    sealed: float
    lost: float
    """What is missing on the sealed tasks, as far as they had room for it."""
    error: float
    """The standard error of the difference of the gains, over tasks."""

    def numbers(self, prefix: str) -> dict[str, Value]:
        """The form in which a decision's numbers hold it."""
        named = {"train": self.train, "sealed": self.sealed, "lost": self.lost, "error": self.error}
        return {f"{prefix}_{key}": value for key, value in named.items()}


def carried(met: Met) -> GainTransfer | None:
    """How much of the later harness's gain on the train tasks is there on the sealed ones; `None` where fewer than two tasks of
    either side were scored for both.

    Sealed tasks that the earlier harness solves anyway leave no room for a gain, so no more than their room is missed.
    """
    train, sealed = (_differences(*arms) for arms in (met.train, met.sealed))
    if min(len(train), len(sealed)) < 2:
        return None
    room = 1 - mean_of(list(task_means(met.sealed[1]).values()))
    gained, there = mean_of(train), mean_of(sealed)
    spread = sample_variance(train)
    error = math.sqrt(spread / len(train) + max(sample_variance(sealed), FLOOR * spread) / len(sealed))
    return GainTransfer(gained, there, min(gained, room) - there, error)


def sealed_verdict(evidence: Evidence, policy: Policy, step: Met, since_seed: Met, query: int) -> Decision:
    """Whether the sealed tasks veto a candidate: `pass`, `reject` or `undecided`.

    Args:
        evidence: the candidate's and the champion's trials of the sealed tasks, side by side.
        step: both harnesses' trials. The gain on the train tasks is by trials that did not pass its full run.
        since_seed: the candidate's trials and the seed harness's.
        query: how often the sealed tasks have been asked in this study, this time included; each answer leaks a little of them.
    """
    arms = Arms(evidence)
    for name, outcomes in (("champion", evidence.champion), ("candidate", evidence.candidate)):
        planned = len(evidence.planned)
        errors = errored(outcomes) + (planned - len(outcomes))
        if errors > policy.max_errored * planned:
            return too_many_errors(name, errors, planned, policy, arms, " on the holdout")
    pairs = arms.pairs()
    if not pairs:
        return Decision("undecided", "undecided: no holdout task was scored for both harnesses", arms.numbers())
    candidate, champion = means(pairs)
    difference, margin = candidate - champion, policy.holdout_margin
    numbers: dict[str, Value] = arms.numbers() | {"difference": difference, "margin": margin, "query": query}
    said = f"{versus(pairs)} on the holdout, a difference of {difference:+.3f}, allowed down to {-margin:+.3f}"
    found = {over: gain for over, met in ((STEP, step), (SINCE_SEED, since_seed)) if (gain := carried(met)) is not None}
    for over, gain in found.items():
        numbers |= gain.numbers(over)
    if difference < -margin - TIE:
        return Decision("reject", f"vetoed: {said}", numbers)
    lost = not_carried(numbers)
    if lost:
        return Decision("reject", f"vetoed: {_said(found[lost], WHOSE[lost])}", numbers | {"vetoed_by": lost})
    if arms.excess_errors:
        failed, before = means(arms.pairs_with_failed(arms.excess_errors))
        if failed - before < -margin - TIE:
            why = f"the candidate errored more often than the champion: with {arms.excess_errors} of its errored trials"
            return Decision("undecided", f"undecided: {said}; but {why} counted as failed it would be vetoed", numbers)
    return Decision("pass", f"not vetoed: {said}", numbers)


def not_carried(numbers: Mapping[str, Value]) -> str:
    """Which of a decision's gains is not there on the sealed tasks: `STEP`, `SINCE_SEED`, or "" where both are."""
    for over in WHOSE:
        lost, error = numbers.get(f"{over}_lost"), numbers.get(f"{over}_error")
        if isinstance(lost, float) and isinstance(error, float) and lost > max(TIE, VETO * error):
            return over
    return ""


def sentence(decision: Decision, query: int) -> str:
    """A decision of the sealed tasks as people read it while a study goes on: a veto or none, and no score.

    Its numbers keep what was measured.
    """
    if decision.kind == "undecided":
        return decision.reason
    by = decision.numbers.get("vetoed_by")
    if by is not None:
        said = f"vetoed by the sealed holdout: what it gains over {WHOSE[str(by)]} on train tasks is not there"
    elif decision.kind == "reject":
        margin = f"{decision.numbers.get('margin'):g}"
        said = f"vetoed by the sealed holdout: worse than the champion by more than the {margin} that is allowed"
    else:
        said = "not vetoed by the sealed holdout: no worse than the champion, and the gain is there"
    return f"{said} (query {query} of the holdout)"


def _said(gain: GainTransfer, whose: str) -> str:
    return (
        f"{gain.train:+.3f} over {whose} on train tasks and {gain.sealed:+.3f} on the holdout: {gain.lost:.3f} did not "
        f"carry over, which is more than {VETO:g} standard errors of {gain.error:.3f}"
    )


def _differences(later: Sequence[Result], earlier: Sequence[Result]) -> list[float]:
    mine, theirs = task_means(later), task_means(earlier)
    return [mine[task] - theirs[task] for task in sorted(mine.keys() & theirs.keys())]
