"""What a champion's score rests on, as values: the evidence card for programs, and its table of tasks for people."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import lorimer
from lorimer.errors import UserError
from lorimer.meta_agent.gate.comparison import told_reason
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.reports.between import compared as compared
from lorimer.meta_agent.reports.flips import Flips
from lorimer.meta_agent.state.descent import line
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import DecisionRow

FORMAT = "lorimer-evidence/1"


@dataclass(frozen=True)
class Measured:
    """A score with its 95% interval, clustered by task; `None` where it was not measured."""

    score: float | None
    low: float | None
    high: float | None
    trials: int | None
    errored: int | None

    def __str__(self) -> str:
        """`0.631 [0.524, 0.738]`, without the interval where there is none."""
        if self.score is None:
            return "not measured"
        between = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.score:.3f}{between}"


@dataclass(frozen=True)
class PromotedEdit:
    """One step from the seed harness to the winner, each an edit of the one before."""

    candidate: str
    title: str
    hypothesis: str
    harness: str
    """SHA-256."""
    commit: str
    reasons: dict[str, str]
    """What the gate said, by stage."""
    decided: str
    """When; UTC, ISO 8601."""
    promoted: bool
    """Whether it was the champion once; else what follows is an edit of it, and was compared with the champion all the same."""


@dataclass(frozen=True)
class EvidenceCard:
    """The evidence card as values."""

    format: str
    lorimer: str
    """The version that wrote it."""
    study: str
    state: str
    begun: str
    simulated: bool
    """No language model was asked: the scores say nothing about any."""
    winner: str
    """`seed`, or a candidate's name."""
    harness: str
    """SHA-256, as all the others."""
    seed_harness: str
    benchmark: str
    benchmark_digest: str
    task_model: str
    meta_model: str
    seed: int
    baseline: Measured
    """The seed harness's score, over all trials that stand for it."""
    baseline_first: Measured | None
    """Over the trials that it began with alone; `None` where no others stand for it."""
    audit: Measured
    """The winner's score, on trials that it did not win by, unless `audit_won`."""
    audit_won: bool
    """Whether it did: under `pooled` a champion's score is that of its confirmation until the study's end measures it anew."""
    holdout_baseline: Measured
    """Not told, like `holdout_final`, while the study goes on."""
    holdout_final: dict[str, Any]
    """Seed harness and last champion side by side on the sealed tasks, at the study's end; empty where that was not run."""
    tasks: Flips
    """Train tasks, seed harness against winner."""
    gain: MadeOf | None
    """What the last champion's gain is made of."""
    lineage: tuple[PromotedEdit, ...]
    candidates: int
    """How many were tried."""
    holdout_queries: int
    false_promotions: str
    """How many are to be expected."""
    gate: dict[str, Any]
    trials: int
    model_calls: int
    tokens: int
    usd: float
    calls_of_unknown_price: int
    replay: str

    def to_json(self) -> str:
        """JSON that every parser reads: a number that is not known is null."""
        return json.dumps(_known(asdict(self)), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def in_short(card: EvidenceCard) -> tuple[str, ...]:
    """What the evidence says of the exported harness first of all, a line each: its score, how sure that is, what it wants."""
    lines = [f"score: {_words(card.audit)}" + (", by which it won, so rather too high" if card.audit_won else "")]
    if card.winner == "seed":
        lines[0] += "; it is the seed harness"
    else:
        lines[0] += f"; the seed harness: {_words(card.baseline)}"
    if card.gain is not None and card.winner != "seed":
        lines += [f"{word}: {said}" for word, said in card.gain.lines() if word == "gain"]
    if card.state != "finished":
        lines.append(
            f"unfinished: study {card.study} is {card.state}, so this is what it has come to so far; at its end the champion is "
            f"measured once more, and `lorimer status --study {card.study}` says how it goes on"
        )
    if card.simulated:
        lines.append("simulated: no language model was asked, so the scores say nothing about any")
    return tuple(lines)


def _known(value: Any) -> Any:
    """A value with `None` in place of each nan and infinity, for which JSON has no word."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _words(found: Measured) -> str:
    if found.score is None:
        return f"{found} to the end"
    return f"{found} in {found.trials:,} trials"


def chosen(world: World, at: str | None) -> CandidateView | None:
    """The champion, or the earlier one that is named; `None` for the seed harness. Raises UserError for any other."""
    if at is None:
        return world.champion
    if at == "seed":
        return None
    for each in world.promoted:
        if at in (each.id, short(each.number)):
            return each
    names = ", ".join(["seed", *(short(each.number) for each in world.promoted)])
    tried = any(at in (each.id, short(each.number)) for each in world.candidates)
    other = f"; `lorimer harness {at}` prints this candidate's harness" if tried else ""
    raise UserError(f"{at} was never a champion of {world.study}", f"name one of: {names}{other}")


def evidence(reader: StudyReader, world: World, gain: MadeOf | None, at: str | None = None) -> EvidenceCard:
    """The evidence for the champion of a study, of whose world this is, or for an earlier one.

    Args:
        gain: what the champion's gain is made of (`reports.gain.gain_of`).

    Raises UserError.
    """
    study, row = world.study, reader.study(world.study)
    winner = chosen(world, at)
    subject = winner.id if winner else ""
    spent, sealed = reader.spent(study), world.sealed_score
    return EvidenceCard(
        format=FORMAT,
        lorimer=lorimer.__version__,
        study=study,
        state=row.state,
        begun=row.created,
        simulated=any(model.startswith("simulated/") for model in (row.task_model, row.meta_model)),
        winner=short(winner.number) if winner else "seed",
        harness=(winner.harness if winner else None) or row.seed_harness,
        seed_harness=row.seed_harness,
        benchmark=row.benchmark,
        benchmark_digest=row.suite_digest,
        task_model=row.task_model,
        meta_model=row.meta_model,
        seed=row.seed,
        baseline=_measured(world.reported_of("")),
        baseline_first=_measured(first) if (first := world.seed_at_first) else None,
        audit=_measured(world.reported_of(subject)),
        audit_won=won_by(world, subject),
        holdout_baseline=_measured(world.decided("", Stage.HOLDOUT) if told(row) else None),
        holdout_final=dict(sealed.numbers) if sealed and told(row) and subject == world.champion_id else {},
        tasks=compared(reader, world, "", subject),
        gain=gain if subject == world.champion_id else None,
        lineage=tuple(_promotion(reader, world, each) for each in _line(world, winner)),
        candidates=len(world.candidates),
        holdout_queries=world.holdout_queries,
        false_promotions=str(experiments.luck(reader, world)),
        gate=dict(row.config.get("gate", {})),
        trials=spent.trials,
        model_calls=spent.calls,
        tokens=spent.tokens,
        usd=spent.known_usd,
        calls_of_unknown_price=spent.unknown,
        replay="lorimer optimize" if row.task_model.startswith("simulated/") else "lorimer gate replay; lorimer run",
    )


def won_by(world: World, champion: str) -> bool:
    """Whether a champion's score is of trials by which it was promoted: those of its confirmation, under `pooled`."""
    audit = world.decided(champion, Stage.AUDIT)
    return audit is not None and "difference" in audit.numbers and audit.id in world.reported_by(champion)


def _line(world: World, winner: CandidateView | None) -> list[CandidateView]:
    return line(world, winner.harness) if winner is not None and winner.harness else []


def table(found: Flips) -> str:
    """Markdown: every task under both, and how many flips there would be by chance."""
    lines = ["## Task by task", "", f"Seed harness against winner on the train tasks: {found}.", ""]
    lines += ["| task | before | after | trials | |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.task} | {each.before:.2f} | {each.after:.2f} | {each.trials[0]}, {each.trials[1]} | {each.flip} |"
        for each in found.tasks
    ]
    return "\n".join([*lines, "", "A task counts as solved where more than half of its trials are.", ""])


def _promotion(reader: StudyReader, world: World, view: CandidateView) -> PromotedEdit:
    row = reader.candidate(view.id)
    assert row is not None
    decided = [each for stage in Stage if (each := world.decided(view.id, stage)) is not None]
    reasons = {each.stage: told_reason(each.reason) for each in decided}
    made = max((each.made for each in decided), default="")
    return PromotedEdit(
        short(row.number),
        row.title,
        row.hypothesis,
        row.harness or "",
        row.commit,
        reasons,
        made,
        row.state == "promoted",
    )


def _measured(decision: DecisionRow | None) -> Measured:
    numbers = decision.numbers if decision else {}
    return Measured(*(numbers.get(name) for name in ("score", "low", "high", "trials", "errored")))
