"""The studies of a store as pages read them: what every page asks is prepared once and kept until its rows change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lorimer.errors import UserError
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import candidate_id
from lorimer.meta_agent.state.sealed import told
from lorimer.meta_agent.state.world import World, scan
from lorimer.terminal.listing import state_of
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.marks import StudyMark
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Candidate, StudyRow, Trial

T = TypeVar("T")

KEPT = 8
"""Studies whose world is kept: one of 700 candidates takes 10 MB."""

SEALED = "sealed while the study goes on, as people may steer by it; it is shown when the study has finished"
"""What stands in place of a trial on sealed tasks."""


@dataclass(frozen=True)
class Opened:
    """One study as its rows tell it."""

    row: StudyRow
    world: World
    candidates: Sequence[Candidate]
    """All candidates, in order of number."""
    mark: StudyMark

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def sealed(self) -> bool:
        """Whether nothing that was measured on sealed tasks may be shown yet."""
        return not told(self.row)

    @property
    def state(self) -> str:
        """Where it stands now; `interrupted` where its process died."""
        return state_of(self.row)[0]

    @property
    def version(self) -> str:
        """What differs as soon as the study's page would, as HTTP writes it (`ETag`). A process that died changes no row."""
        return f'"{self.mark.word}-{self.state}"'

    @property
    def reason(self) -> str:
        return state_of(self.row)[1]

    @property
    def retries(self) -> int:
        """`[retries] errored`."""
        return int(self.row.config["retries"]["errored"])

    def candidate(self, number: int) -> Candidate:
        """A candidate by its number. Raises UserError."""
        wanted = candidate_id(self.id, number)
        found = next((row for row in self.candidates if row.id == wanted), None)
        if found is None:
            raise UserError(f"study {self.id} has no candidate {number}")
        return found

    def hides(self, trial: Trial) -> bool:
        """Whether a trial of this study is sealed."""
        return self.hides_at(trial.stage, trial.task)

    def hides_at(self, stage: str, task: str) -> bool:
        """Whether trials of a task at a stage are sealed."""
        return (stage == Stage.HOLDOUT or task in self.world.holdout) and self.sealed


class Shelf:
    """Opens studies. Safe to use from several threads.

    Args:
        root: the workspace's folder.
    """

    def __init__(self, reader: StudyReader, root: Path) -> None:
        self.reader, self.root = reader, root
        self._lock = threading.Lock()
        self._kept: dict[str, Opened] = {}
        self._worked_out: dict[tuple[str, str], tuple[object, Any]] = {}

    def open(self, study: str) -> Opened:
        """The study as it is now. Raises UserError for an unknown one."""
        row, mark = self.reader.study(study), self.reader.mark(study)
        with self._lock:
            kept = self._kept.pop(study, None)
        if kept is not None and kept.mark.decided == mark.decided:
            found = Opened(row, kept.world, kept.candidates, mark)
        elif kept is not None and kept.mark.decisions <= mark.decisions and kept.mark.chain <= mark.chain:
            found = self._grown(kept, row, mark)
        else:
            found = Opened(row, scan(self.reader, study), self.reader.candidates(study), mark)
        with self._lock:
            self._kept[study] = found
            while len(self._kept) > KEPT:
                self._kept.pop(next(iter(self._kept)))
        return found

    def _grown(self, kept: Opened, row: StudyRow, mark: StudyMark) -> Opened:
        """What is kept with all that was stored since: decisions never change, nor do candidates that have ended."""
        world = kept.world
        since = world.open.number if world.open is not None else world.next_number
        decisions = self.reader.decisions(row.id, after=len(world.decisions))
        newer = self.reader.candidates(row.id, since)
        candidates = [*(each for each in kept.candidates if each.number < since), *newer]
        return Opened(row, world.with_all(map(CandidateView.of, newer), decisions), candidates, mark)

    def known(self, study: str, what: str, mark: object) -> bool:
        """Whether `worked_out` has it already."""
        with self._lock:
            kept = self._worked_out.get((study, what))
        return kept is not None and kept[0] == mark

    def worked_out(self, study: str, what: str, mark: object, make: Callable[[], T]) -> T:
        """What follows from a study's rows: made once, and kept while its mark is the same.

        Args:
            what: a name of its own.
            mark: the whole mark, or the part of it on which `make` rests.
        """
        key = (study, what)
        with self._lock:
            kept = self._worked_out.pop(key, None)
        found = kept if kept is not None and kept[0] == mark else (mark, make())
        with self._lock:
            self._worked_out[key] = found
            while len(self._worked_out) > 4 * KEPT:
                self._worked_out.pop(next(iter(self._worked_out)))
        made: T = found[1]
        return made
