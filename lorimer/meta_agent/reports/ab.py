"""What a comparison of two files came to: the gate's answer, the difference with its interval, flips, and what each cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lorimer.errors import UserError
from lorimer.kinds import NONE_REFUSED, Refused, Stage
from lorimer.meta_agent.gate.cost import held_back
from lorimer.meta_agent.gate.statistics.estimates import Estimate, mean_known
from lorimer.meta_agent.gate.statistics.scores import Score, score
from lorimer.meta_agent.ledger.trust import Trust, trust
from lorimer.meta_agent.reports.flips import Flips, flips
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.trials import results, settled_trials
from lorimer.meta_agent.state.world import scan
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.base import StudyReader

AbVerdict = Literal["better", "too dear", "cannot tell", "worse", "undecided"]
"""What holds of the second file: the gate would promote it; it would but for its cost; it is neither shown to be better nor
surely worse; it is worse, by the interval; too many trials errored."""


@dataclass(frozen=True)
class Arm:
    """One of the files."""

    file: str
    harness: str
    """SHA-256 of its text."""
    score: Score
    """Over all its trials, with what of its calls was refused."""
    trials: int
    usd: float | None
    """`None` where a price is unknown."""
    tokens: int
    seconds: float
    """The time of all its trials, one after another."""


@dataclass(frozen=True)
class AbReport:
    """What `lorimer ab` found."""

    study: str
    state: str
    state_reason: str
    a: Arm
    b: Arm
    verdict: AbVerdict | None
    """`None` where it was stopped before the gate answered."""
    difference: Estimate | None
    """The difference of mean rewards, b - a, over tasks; `None` where no task has trials of both."""
    p: float | None
    """The gate's: that such a difference, or a larger one, comes of chance."""
    alpha: float
    early: bool
    """Whether it ended before all trials that were planned, as the rest could not change the answer."""
    reason: str
    """The gate's, in its words."""
    flips: Flips
    trust: Trust


def ab(reader: StudyReader, study: str) -> AbReport:
    """Read it from the store. Raises UserError for a study that compares no two files."""
    row = reader.study(study)
    if row.kind != "ab":
        raise UserError(f"{study} compares no two files; `lorimer ab A B` does")
    world = scan(reader, study)
    (candidate,) = world.candidates
    decision = world.decided(candidate.id, Stage.FULL)
    retries = int(row.config["retries"]["errored"])
    own, other = evaluation_id(study, About(candidate.id, Stage.FULL)), world.beside(candidate.number, Stage.FULL)
    mine, theirs = (settled_trials(reader, name, row.seed, retries) for name in (own, other))
    refused = reader.refused([own, other])
    before, after = _by_task(theirs), _by_task(mine)
    tasks = [task for task in world.train if task in before and task in after]
    changed = [sum(after[task]) / len(after[task]) - sum(before[task]) / len(before[task]) for task in tasks]
    difference = mean_known(changed).estimate() if changed else None
    numbers = {} if decision is None else decision.numbers
    p = numbers.get("p")
    return AbReport(
        study=study,
        state=row.state,
        state_reason=row.state_reason,
        a=_arm(
            _named(str(row.config["study"]["harness"])), world.seed_harness, theirs, refused.get(other, NONE_REFUSED)
        ),
        b=_arm(candidate.title, candidate.harness or "", mine, refused.get(own, NONE_REFUSED)),
        verdict=None if decision is None else _verdict(decision.kind, held_back(decision.kind, numbers), difference),
        difference=difference,
        p=None if p is None else float(p),
        alpha=float((decision.policy if decision is not None else row.config["gate"])["alpha"]),
        early=bool(numbers.get("early")),
        reason="" if decision is None else decision.reason,
        flips=flips(before, after, world.train),
        trust=trust(reader, study),
    )


def _verdict(kind: str, dear: bool, difference: Estimate | None) -> AbVerdict:
    if kind == "promote":
        return "better"
    if kind == "undecided":
        return "undecided"
    if dear:
        return "too dear"
    return "worse" if difference is not None and difference.high < 0 else "cannot tell"


def _named(path: str) -> str:
    """A path as somebody here would type it."""
    found = Path(path)
    return str(found.relative_to(Path.cwd())) if found.is_relative_to(Path.cwd()) else path


def _by_task(found: Sequence[TrialOutcome]) -> dict[str, list[float]]:
    rewards: dict[str, list[float]] = {}
    for each in found:
        if each.reward is not None:
            rewards.setdefault(each.planned.task, []).append(each.reward)
    return rewards


def _arm(file: str, harness: str, found: Sequence[TrialOutcome], refused: Refused) -> Arm:
    paid = [each.used.usd for each in found]
    return Arm(
        file=file,
        harness=harness,
        score=replace(score(results(found)), refused=refused),
        trials=len(found),
        usd=None if None in paid else sum(each for each in paid if each is not None),
        tokens=sum(each.used.tokens for each in found),
        seconds=sum(each.seconds for each in found),
    )
