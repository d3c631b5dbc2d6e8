"""The table of candidates and one candidate's page."""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.dashboard.shelf import Opened
from lorimer.dashboard.views.compared import EditRow, rows
from lorimer.dashboard.views.diffs import Beside, side_by_side, size
from lorimer.dashboard.views.overview import ToldCandidate, tell
from lorimer.meta_agent.state.descent import edit_of
from lorimer.meta_agent.state.names import STAGES, About, evaluation_id
from lorimer.traces.base import StudyReader
from lorimer.traces.previews import Touches
from lorimer.traces.schema import Share, Stage
from lorimer.traces.tables import Candidate, DecisionRow

PAGE = 60
"""Candidates on a page of the table."""

SPOT = {"pass": "passed", "promote": "passed", "reject": "failed"}
"""What a spot-check's decision is in the table of candidates."""


@dataclass(frozen=True)
class CandidateLine:
    """A candidate in the table."""

    told: ToldCandidate
    kind: str
    origin: str
    hypothesis: str
    removed: int
    added: int
    spot: str
    """What the spot-check said; empty where there was none."""
    pairs: str
    """Trials of the full run that the gate read, of those planned."""
    score: float | None
    against: float | None
    p: float | None
    cost: Share
    """What all its trials were paid."""


def entries(reader: StudyReader, opened: Opened, first: int, most: int = PAGE) -> list[CandidateLine]:
    """The candidates from place `first` on, `most` of them, the newest first."""
    shown = list(reversed(opened.candidates))[first : first + most]
    own = {row.id: [evaluation_id(opened.id, About(row.id, stage)) for stage in STAGES] for row in shown}
    took = reader.took([name for names in own.values() for name in names])
    return [_entry(opened, row, sum((took.get(name, Share()) for name in own[row.id]), start=Share())) for row in shown]


def _entry(opened: Opened, row: Candidate, cost: Share) -> CandidateLine:
    spot, full = (opened.world.decided(row.id, stage) for stage in (Stage.SPOT, Stage.FULL))
    numbers = full.numbers if full else {}
    removed, added = size(row.edit)
    return CandidateLine(
        told=tell(opened, row.number),
        kind=row.kind,
        origin=row.origin,
        hypothesis=row.hypothesis,
        removed=removed,
        added=added,
        spot="" if spot is None else SPOT.get(spot.kind, spot.kind),
        pairs=f"{numbers['run']} of {numbers['planned']}" if "planned" in numbers and "run" in numbers else "",
        score=numbers.get("candidate_mean"),
        against=numbers.get("champion_mean"),
        p=numbers.get("p"),
        cost=cost,
    )


@dataclass(frozen=True)
class Foreseen:
    """A task of which the proposal said what would become of it, or on which something changed."""

    task: str
    predicted: str
    """`should be fixed`, `at risk`, or empty."""
    before: str
    after: str
    came: str
    """`better`, `worse`, `the same`, or `not run`."""
    fired: str


@dataclass(frozen=True)
class Shown:
    """A candidate's page."""

    row: Candidate
    told: ToldCandidate
    verdicts: tuple[DecisionRow, ...]
    edit_of: str
    """Which harness its edit is one of, where that is not the champion that it met."""
    touches: Touches | None
    diff: tuple[Beside, ...]
    removed: int
    added: int
    foreseen: tuple[Foreseen, ...]
    compared: EditRow | None
    session: int
    """Steps of the session that proposed it."""
    before: int | None
    after: int | None
    """The candidates beside it, by number."""


def shown(reader: StudyReader, opened: Opened, number: int) -> Shown:
    """Read a candidate's page. Raises UserError."""
    row = opened.candidate(number)
    texts = reader.harness_texts([sha for sha in (row.parent, row.harness) if sha])
    compared = next(iter(rows(reader, opened, [row])), None)
    diff = side_by_side(texts.get(row.parent, ""), texts[row.harness]) if row.harness in texts else []
    decided = (opened.world.decided(row.id, stage) for stage in (*STAGES, Stage.REVIEW))
    removed, added = size(row.edit)
    return Shown(
        row=row,
        told=tell(opened, number),
        verdicts=tuple(each for each in decided if each is not None),
        edit_of=edit_of(opened.world, row.number, row.parent),
        touches=None if row.touches is None else Touches.of_json(row.touches),
        diff=tuple(diff),
        removed=removed,
        added=added,
        foreseen=tuple(_foreseen(row, compared)),
        compared=compared,
        session=reader.step_count(row.id),
        before=number - 1 if number > 1 else None,
        after=number + 1 if number < len(opened.candidates) else None,
    )


def _foreseen(row: Candidate, compared: EditRow | None) -> list[Foreseen]:
    cells = compared.cells if compared else {}
    words = dict.fromkeys(row.fixes, "should be fixed") | dict.fromkeys(row.at_risk, "at risk")
    changed = [task for task, cell in cells.items() if abs(cell.after.mean - cell.before.mean) > 1e-9]
    found = []
    for task in dict.fromkeys([*words, *changed]):
        cell = cells.get(task)
        if cell is None:
            found.append(Foreseen(task, words.get(task, ""), "", "", "not run", ""))
            continue
        ahead = cell.after.mean - cell.before.mean
        came = "better" if ahead > 1e-9 else "worse" if ahead < -1e-9 else "the same"
        fired = f"{cell.fired} of {cell.told}" if cell.told else ""
        found.append(Foreseen(task, words.get(task, ""), str(cell.before), str(cell.after), came, fired))
    return found
