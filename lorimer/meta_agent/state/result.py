"""Where a study stands: what the loop ends with, and what people ask for at any time.

It imports nothing that runs a study, so that asking is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lorimer.kinds import NONE_REFUSED, Refused
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.world import World, scan, score_of
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow
from lorimer.wording import quoted


@dataclass(frozen=True)
class StudyResult:
    """Where a study stands when the loop ends."""

    study: str
    state: str
    """`finished` or `paused`."""
    reason: str
    baseline: Score | None
    """The seed harness's, over all trials that stand for it; `None` where it was not measured to the end."""
    baseline_first: Score | None
    """Over the trials that it began with alone; `None` where no others stand for it."""
    final: Score | None
    """The champion's audit; the baseline where nothing was promoted."""
    champion: str
    """SHA-256 of the champion's text."""
    champion_candidate: str
    """Its candidate id; empty for the seed harness."""
    candidates: Mapping[str, int]
    """How many are in each state."""
    refusal: str = ""
    """What the provider said to a call of the champion or of the baseline that it refused, and in which trial; "" where it
    refused none."""


def result(reader: StudyReader, study: str) -> StudyResult:
    """Where a study stands, from the store alone. Raises UserError for an unknown one."""
    return result_of(reader, scan(reader, study), reader.study(study))


def result_of(reader: StudyReader, world: World, row: StudyRow) -> StudyResult:
    """Where a study stands, of whose world this is."""
    baseline, first, final = world.reported_of(""), world.seed_at_first, world.reported
    seed, measured = world.reported_by(""), world.reported_by(world.champion_id)
    both = list(dict.fromkeys((*measured, *seed)))
    refused = reader.refused([*both, first.id] if first else both)
    return StudyResult(
        study=row.id,
        state=row.state,
        reason=row.state_reason,
        baseline=replace(score_of(baseline), refused=total(refused, seed)) if baseline else None,
        baseline_first=replace(score_of(first), refused=total(refused, [first.id])) if first else None,
        final=replace(score_of(final), refused=total(refused, measured)) if final else None,
        champion=world.champion_harness,
        champion_candidate=world.champion.id if world.champion else "",
        candidates=dict(Counter(candidate.state for candidate in world.candidates)),
        refusal=_refusal(reader, [name for name in both if name in refused]),
    )


def sealed_scores(reader: StudyReader, world: World) -> tuple[Score, Score] | None:
    """What the champion and the seed harness scored on the sealed tasks when the study ended, and what of their calls was
    refused; `None` where they were not run there once more."""
    final = world.sealed_score
    if final is None:
        return None
    seed, champion = world.sealed_by
    refused = reader.refused([seed, champion])
    return (
        replace(score_of(final), refused=total(refused, [champion])),
        replace(score_of(final, "seed_"), refused=total(refused, [seed])),
    )


def at_first(trials: int | None, mean: float | None) -> str:
    """`; the first 56: 0.393`, beside the seed harness's score where it is of more trials by now; nothing without these."""
    return "" if not trials or mean is None else f"; the first {trials:,}: {mean:.3f}"


def total(refused: Mapping[str, Refused], evaluations: Iterable[str]) -> Refused:
    """The refused calls of all these evaluations together."""
    return sum((refused.get(name, NONE_REFUSED) for name in evaluations), start=NONE_REFUSED)


def _refusal(reader: StudyReader, evaluations: Sequence[str]) -> str:
    found = reader.refusal(evaluations) if evaluations else None
    if found is None:
        return ""
    trial, words = found
    return f"{quoted(words)} ({trial})"
