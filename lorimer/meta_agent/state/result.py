"""Where a study stands: what the loop ends with, and what people ask for at any time.

It imports nothing that runs a study, so that asking is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lorimer.kinds import NONE_REFUSED, Refused
from lorimer.meta_agent.gate.scores import Score
from lorimer.meta_agent.state.world import World, scan, score_of
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Study
from lorimer.wording import quoted


@dataclass(frozen=True)
class StudyResult:
    """Where a study stands when the loop ends."""

    study: str
    state: str
    """`finished` or `paused`."""
    reason: str
    baseline: Score | None
    """`None` where it was not measured to the end."""
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


def result_of(reader: StudyReader, world: World, row: Study) -> StudyResult:
    """Where a study stands, of whose world this is."""
    baseline = world.decided("", Stage.BASELINE)
    final, measured = world.reported, world.reported_by(world.champion_id)
    refused = reader.refused([*measured, *((baseline.id,) if baseline else ())])
    return StudyResult(
        study=row.id,
        state=row.state,
        reason=row.state_reason,
        baseline=replace(score_of(baseline), refused=refused.get(baseline.id, NONE_REFUSED)) if baseline else None,
        final=replace(score_of(final), refused=total(refused, measured)) if final else None,
        champion=world.champion_harness,
        champion_candidate=world.champion.id if world.champion else "",
        candidates=dict(Counter(candidate.state for candidate in world.candidates)),
        refusal=_refusal(
            reader, [name for name in (*measured, *((baseline.id,) if baseline else ())) if name in refused]
        ),
    )


def total(refused: Mapping[str, Refused], evaluations: Iterable[str]) -> Refused:
    """The refused calls of all these evaluations together."""
    return sum((refused.get(name, NONE_REFUSED) for name in evaluations), start=NONE_REFUSED)


def _refusal(reader: StudyReader, evaluations: Sequence[str]) -> str:
    found = reader.refusal(evaluations) if evaluations else None
    if found is None:
        return ""
    trial, words = found
    return f"{quoted(words)} ({trial})"
