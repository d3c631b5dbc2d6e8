"""Who was champion after whom, and why: promotions, settings and pauses from the chain, reviews and reverts from decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lorimer.dashboard.shelf import Opened
from lorimer.meta_agent.gate.comparison import told_reason
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.descent import line as line_of
from lorimer.meta_agent.state.names import About
from lorimer.meta_agent.state.world import score_of
from lorimer.meta_agent.study.people.hand import Person
from lorimer.traces.base import StudyReader
from lorimer.traces.chain import ChainEntry
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.settings import shown
from lorimer.traces.tables import Candidate, DecisionRow
from lorimer.wording import minute


@dataclass(frozen=True)
class LineageEvent:
    """Something that made a champion, kept one, changed by what rules the next is found, or stopped the search for it."""

    made: str
    """UTC, and said to be; to the minute."""
    kind: str
    """`promoted`, `reverted`, `approved`, `refused`, `settings` or `pause`."""
    number: int | None
    """The candidate's; `None` of the seed harness, of settings and of a pause."""
    title: str = ""
    hypothesis: str = ""
    said: str = ""
    """What was decided, or who did it and why, in words."""
    score: Score | None = None
    """The score of a champion, in the trials that stand for it."""
    commit: str = ""
    entry: int | None = None
    """The number of its entry in the chain, where that is an entry of its own."""
    seal: str = ""
    stands: bool = False
    """Whether today's champion rests on it."""


@dataclass(frozen=True)
class Lineage:
    """The page."""

    seed: Score | None
    begun: str
    events: tuple[LineageEvent, ...]
    """What happened, in the order in which it happened."""
    line: tuple[tuple[int, float | None], ...]
    """Number and score of each harness from the seed to the champion of today, each an edit of the one before."""


def read(reader: StudyReader, opened: Opened) -> Lineage:
    """Read the page."""
    world, line = opened.world, line_of(opened.world, opened.world.champion_harness)
    own, known = {view.id for view in line}, {row.id: row for row in opened.candidates}
    baseline = world.reported_of("")
    events = [
        *(
            _promotion(opened, known[row.subject], row, row.subject in own)
            for row in reader.chain(opened.id, "promotion")
            if row.subject in known  # one that has come since the study was opened is told next time
        ),
        *_people(opened),
        *(_settings(row) for row in reader.chain(opened.id, "settings")),
        *(_pause(row) for row in reader.chain(opened.id, "pause")),
    ]
    return Lineage(
        score_of(baseline) if baseline else None,
        minute(opened.row.created),
        tuple(event for _, event in sorted(events, key=lambda each: each[0])),
        tuple((view.number, found.mean if (found := _score(opened, view.id)) else None) for view in line),
    )


def _promotion(opened: Opened, candidate: Candidate, row: ChainEntry, stands: bool) -> tuple[datetime, LineageEvent]:
    decided = opened.world.decided(candidate.id, Stage.FULL)
    return _at(row.made), LineageEvent(
        made=minute(row.made),
        kind="promoted",
        number=candidate.number,
        title=candidate.title,
        hypothesis=candidate.hypothesis,
        said=told_reason(decided.reason) if decided else "",
        score=_score(opened, candidate.id),
        commit=candidate.commit,
        entry=row.number,
        seal=row.hash[:12],
        stands=stands,
    )


def _people(opened: Opened) -> Iterator[tuple[datetime, LineageEvent]]:
    """Reviews and reverts."""
    for about, row in opened.world.decisions.items():
        if about.stage is Stage.REVIEW:
            yield _at(row.made), _person(opened, about, row)


def _person(opened: Opened, about: About, row: DecisionRow) -> LineageEvent:
    view = opened.world.candidate(about.subject)
    kind = "reverted" if about.purpose is Purpose.REVERTED else "approved" if row.kind == "pass" else "refused"
    return LineageEvent(
        minute(row.made), kind, view.number if view else None, view.title if view else "", said=row.reason
    )


def _settings(row: ChainEntry) -> tuple[datetime, LineageEvent]:
    said = "; ".join(f"{each['key']} from {shown(each['from'])} to {shown(each['to'])}" for each in row.body["changes"])
    return _at(row.made), _chained(row, "settings", said)


def _pause(row: ChainEntry) -> tuple[datetime, LineageEvent]:
    return _at(row.made), _chained(row, "pause", str(Person(row.body["by"], row.body["why"])))


def _chained(row: ChainEntry, kind: str, said: str) -> LineageEvent:
    """Something that is no candidate's and has an entry of its own in the chain."""
    return LineageEvent(minute(row.made), kind, None, said=said, entry=row.number, seal=row.hash[:12], stands=True)


def _score(opened: Opened, candidate: str) -> Score | None:
    found = opened.world.reported_of(candidate)
    return score_of(found) if found is not None and found.numbers.get("score") is not None else None


def _at(made: str) -> datetime:
    found = datetime.fromisoformat(made)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
