"""The one writer of the trace store. Reading is `traces.reading.reader`.

Everything goes through one thread (`traces.writing.writer`); a process that dies loses at most the last 250 ms of steps of its
unfinished trials, and nothing that an awaited call has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Table, delete, select, update
from sqlmodel import SQLModel

from lorimer.errors import InternalError, NumberTaken, UserError
from lorimer.traces import chain, codec, made, migrations, place, sealed
from lorimer.traces.databases.base import Database
from lorimer.traces.databases.choice import database_at
from lorimer.traces.effects import Effect
from lorimer.traces.previews import CandidatePreview
from lorimer.traces.schema import NOTHING, TrialState, Used
from lorimer.traces.scrub import Cleaner, scrubber
from lorimer.traces.settings import SettingChange, SettingValues, changes, leaves, merged
from lorimer.traces.tables import (
    AbilityRow,
    Candidate,
    DecisionRow,
    EffectRow,
    Evaluation,
    HarnessRow,
    PreviewRow,
    Spend,
    StudyRow,
    TaskRow,
    ToldRow,
    Trial,
)
from lorimer.traces.writing import chaining
from lorimer.traces.writing.holder import alive, check_may_upgrade, described, elsewhere
from lorimer.traces.writing.recorder import Recorder, now, totals
from lorimer.traces.writing.writer import Transaction, Writer, table_of

_TRIAL, _STUDY, _CANDIDATE, _SPEND = table_of(Trial), table_of(StudyRow), table_of(Candidate), table_of(Spend)
_PREVIEW = table_of(PreviewRow)


class Store(Recorder):
    """The trace store, open for writing: a `traces.base.StudyWriter`, which says what each method does and raises.

    After a method has raised LorimerError because the store cannot be written, nothing more is accepted. Methods may be called
    from one event loop; the store never calls back.
    """

    def __init__(self, database: Database, scrub: Callable[[str], str]) -> None:
        self.database = database
        self._engine = database.writing()
        super().__init__(Writer(database, self._engine), Cleaner(scrub))

    @classmethod
    def open(cls, source: Database | Path | str, scrub: Callable[[str], str] | None = None) -> Self:
        """Open the store, making the file, its folders and its tables where they are missing.

        Args:
            source: a database, or a file or URL that names one.
            scrub: applied to every text before it is written; by default the common shapes of keys are masked. Use
                `traces.scrub.scrubber(secrets)` to mask the values of known keys as well. Harness texts and the hunks
                of edits are stored as they are: their identity is their hash.

        Raises ConfigError for a database that lorimer does not know, UserError for a server that does not answer, for what is
        not a trace store or was written by a newer lorimer, for one of an older lorimer in which a study runs and for a place
        that cannot hold one, LorimerError where it cannot be written.
        """
        database = database_at(source)
        store = cls(database, scrub or scrubber())
        try:
            store._writer.submit(
                lambda transaction: migrations.upgrade(transaction.connection, database.name, check_may_upgrade)
            ).result()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.database.name)

    def close(self) -> None:
        """Commit what is queued and let go of the file. Safe to call again."""
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        # Steps that nobody awaited may be lost: whoever leaves in good faith must hear of it.
        if error is None and self._writer.failure is not None:
            raise self._writer.failure

    async def flush(self) -> None:
        await self._do(lambda transaction: None)

    async def create_study(
        self, study: StudyRow, tasks: Sequence[TaskRow], harness_text: str, rival: tuple[Candidate, str] | None = None
    ) -> None:
        def work(transaction: Transaction) -> None:
            transaction.insert_new(table_of(HarnessRow), {"sha": study.seed_harness, "text": harness_text})
            if not transaction.insert_new(_STUDY, self._model(study)):
                raise UserError(f"there is a study {study.id} already; resume it, or choose another [study] name")
            for task in tasks:
                transaction.insert_new(table_of(TaskRow), self._model(task))
            if rival is not None:
                candidate, text = rival
                transaction.insert_new(table_of(HarnessRow), {"sha": candidate.harness, "text": text})
                transaction.insert_new(_CANDIDATE, self._model(candidate))
            body = chain.study_body(self._model(study), {task.id: (task.digest, task.split) for task in tasks})
            chaining.append(transaction.connection, study.id, "study", study.id, body, now())

        await self._do(work, full=True)

    async def claim(self, study_id: str, holder: str, *, over: str = "") -> None:
        def work(transaction: Transaction) -> None:
            wanted = select(_STUDY.c.holder, _STUDY.c.held_since).where(_STUDY.c.id == study_id)
            found = transaction.connection.execute(wanted).one_or_none()
            if found is None:
                raise UserError(f"there is no study {study_id} in {self.database.name}")
            if found.holder not in ("", holder, over) and alive(found.holder):
                who = described(found.holder, found.held_since)
                told = "end that one first"
                if elsewhere(found.holder):
                    gone = "if that machine is gone or has another name now"
                    told += f"; {gone}, `lorimer resume {study_id} --take-over` goes on"
                raise UserError(f"study {study_id} is being run by {who}; {told}")
            if found.holder not in ("", holder):
                problem = self.database.damage(transaction.connection)
                if problem:
                    raise place.damaged(self.database.name, problem)
            mine = (_STUDY.c.id == study_id) & (_STUDY.c.holder == found.holder)
            transaction.connection.execute(update(_STUDY).where(mine).values(holder=holder, held_since=now()))
            self._writer.held[study_id] = holder

        await self._do(work, full=True)

    async def release(self, study_id: str, holder: str) -> None:
        def work(transaction: Transaction) -> None:
            mine = (_STUDY.c.id == study_id) & (_STUDY.c.holder == holder)
            transaction.connection.execute(update(_STUDY).where(mine).values(holder=""))
            self._writer.held.pop(study_id, None)

        await self._do(work)

    async def add_harness(self, sha: str, text: str) -> None:
        await self._do(lambda transaction: transaction.insert_new(table_of(HarnessRow), {"sha": sha, "text": text}))

    async def add_candidate(self, candidate: Candidate) -> Candidate:
        def work(transaction: Transaction) -> Candidate:
            if not transaction.insert_new(_CANDIDATE, self._model(candidate)):
                raise NumberTaken(f"candidate {candidate.id} is in the trace store already")
            return Candidate(**_stored(transaction.connection, _CANDIDATE, candidate.id))

        found: Candidate = await self._do(work)
        return found

    async def add_round(
        self, candidates: Sequence[Candidate], leaves: Mapping[str, str] | None = None
    ) -> list[Candidate]:
        def work(transaction: Transaction) -> list[Candidate]:
            for each in candidates:
                if not transaction.insert_new(_CANDIDATE, self._model(each)):
                    raise NumberTaken(f"candidate {each.id} is in the trace store already")
            for name, why in (leaves or {}).items():
                values = self._cleaner.row({"state": "rebased", "failure": why})
                _change(transaction.connection, name, "proposed", values)
            return [Candidate(**_stored(transaction.connection, _CANDIDATE, each.id)) for each in candidates]

        found: list[Candidate] = await self._do(work, full=True)
        return found

    async def update_candidate(
        self, candidate_id: str, expect_state: str, *, preview: CandidatePreview | None = None, **changes: Any
    ) -> Candidate:
        values, shown = self._shown(candidate_id, changes, preview)
        fails = expect_state == made.PROPOSING and changes.get("state") == "failed"
        if fails:
            values = {**made.nothing(), **values}

        def work(transaction: Transaction) -> Candidate:
            if fails:
                transaction.connection.execute(delete(_PREVIEW).where(_PREVIEW.c.candidate == candidate_id))
            _change(transaction.connection, candidate_id, expect_state, values)
            if shown:
                transaction.replace(_PREVIEW, shown)  # there may be one of an edit for an earlier champion
            if expect_state == made.PROPOSING:
                self._trajectories.pop(candidate_id, None)  # its session is over
            if changes.get("state") == "promoted":
                wanted = (_CANDIDATE.c.study, _CANDIDATE.c.harness, _CANDIDATE.c.parent, _CANDIDATE.c.commit)
                row = transaction.connection.execute(select(*wanted).where(_CANDIDATE.c.id == candidate_id)).one()
                body = {"harness": row.harness, "parent": row.parent, "commit": row.commit}
                chaining.append(transaction.connection, row.study, "promotion", candidate_id, body, now())
            return Candidate(**_stored(transaction.connection, _CANDIDATE, candidate_id))

        found: Candidate = await self._do(work, full=True)
        return found

    async def end_session(
        self,
        candidate_id: str,
        harness: HarnessRow | None = None,
        *,
        preview: CandidatePreview | None = None,
        **outcome: Any,
    ) -> Candidate:
        values, shown = self._shown(candidate_id, outcome, preview)

        def work(transaction: Transaction) -> Candidate:
            if harness is not None:
                transaction.insert_new(table_of(HarnessRow), harness.model_dump())
                values["harness"] = harness.sha
            _change(transaction.connection, candidate_id, made.PROPOSING, values)
            if shown:
                transaction.replace(_PREVIEW, shown)
            self._trajectories.pop(candidate_id, None)
            return Candidate(**_stored(transaction.connection, _CANDIDATE, candidate_id))

        found: Candidate = await self._do(work, full=True)
        return found

    async def set_effects(self, effects: Mapping[str, Effect]) -> None:
        rows = {name: each.cleaned(self._cleaner.text).as_json() for name, each in effects.items()}

        def work(transaction: Transaction) -> None:
            for name, body in rows.items():
                transaction.replace(table_of(EffectRow), {"candidate": name, "body": body})

        await self._do(work)

    async def add_evaluation(self, evaluation: Evaluation, chained: Mapping[str, Any] | None = None) -> None:
        def seal(connection: Connection, values: Mapping[str, Any]) -> None:
            if chained is not None:
                chaining.append(connection, evaluation.study, "plan", evaluation.id, chained, now())

        await self._add_once(Evaluation, evaluation, and_then=seal)

    async def add_decision(self, decision: DecisionRow, leaves: str = "") -> DecisionRow:
        def seal(connection: Connection, values: Mapping[str, Any]) -> None:
            trials = sealed.digests(self.database.within(connection), [decision.id])
            body = {"row": values, "trials": trials.get(decision.id, chain.NO_TRIALS)}
            chaining.append(connection, decision.study, "decision", decision.id, body, decision.made)
            if leaves:
                _change(connection, decision.subject, "proposed", {"state": leaves})

        return DecisionRow(**await self._add_once(DecisionRow, decision, ignoring=("made",), and_then=seal))

    async def set_study_state(self, study_id: str, state: str, reason: str = "") -> None:
        def work(transaction: Transaction) -> None:
            changes = self._cleaner.row({"state": state, "state_reason": reason})
            found = transaction.connection.execute(update(_STUDY).where(_STUDY.c.id == study_id).values(changes))
            if found.rowcount != 1:
                raise InternalError(f"there is no study {study_id}")

        await self._do(work, full=True)

    async def set_settings(
        self, study_id: str, before: SettingValues, after: SettingValues, lorimer_toml: SettingValues | None = None
    ) -> list[SettingChange]:
        def work(transaction: Transaction) -> list[SettingChange]:
            mine = _STUDY.c.id == study_id
            stored = transaction.connection.execute(select(_STUDY.c.config).where(mine)).scalar_one()
            old, new = (self._read_anew(settings) for settings in (before, after))
            held = leaves(stored)
            asked = [replace(change, before=held.get(change.path, change.before)) for change in changes(old, new)]
            changed = [change for change in asked if change.before != change.after]
            values = {"config": merged(stored, old, new)}
            if changed:
                body = chain.settings_body(changed, values["config"])
                chaining.append(transaction.connection, study_id, "settings", study_id, body, now())
            if lorimer_toml is not None:
                values |= self._cleaner.row({"lorimer_toml": lorimer_toml})
            transaction.connection.execute(update(_STUDY).where(mine).values(values))
            return changed

        found: list[SettingChange] = await self._do(work, full=True)
        return found

    def _read_anew(self, settings: SettingValues) -> SettingValues:
        """The tables in which a resume may change something, as they may be stored."""
        clean = self._cleaner.row({"config": settings})["config"]
        return {name: table for name, table in clean.items() if name in chain.READ_ANEW}

    async def ask_pause(self, study_id: str, by: str, why: str) -> None:
        def work(transaction: Transaction) -> None:
            holder = transaction.connection.execute(select(_STUDY.c.holder).where(_STUDY.c.id == study_id)).scalar_one()
            if not holder or not alive(holder):
                raise UserError(f"no process runs {study_id}, so there is nothing to pause")
            body = {"by": self._cleaner.text(by), "why": self._cleaner.text(why)}
            chaining.append(transaction.connection, study_id, "pause", study_id, body, now())

        await self._do(work, full=True)

    async def note_program(self, study_id: str, sha: str, text: str, candidate: str) -> None:
        body = {"sha256": sha, "text": self._cleaner.text(text), "before": candidate}
        await self._do(
            lambda transaction: chaining.append(transaction.connection, study_id, "program", study_id, body, now()),
            full=True,
        )

    async def first_told(self, study_id: str, name: str) -> bool:
        def work(transaction: Transaction) -> bool:
            return transaction.insert_new(table_of(ToldRow), {"id": name, "study": study_id, "made": now()})

        found: bool = await self._do(work)
        return found

    async def set_seconds(self, study_id: str, seconds: float) -> None:
        mine = _STUDY.c.id == study_id
        await self._do(
            lambda transaction: transaction.connection.execute(update(_STUDY).where(mine).values(seconds=seconds))
        )

    async def set_abilities(self, row: AbilityRow) -> None:
        values = self._model(row)
        await self._do(lambda transaction: transaction.replace(table_of(AbilityRow), values), full=True)

    async def cancel_running(self, study_id: str) -> int:
        def work(transaction: Transaction) -> int:
            left = (_TRIAL.c.study == study_id) & (_TRIAL.c.state == TrialState.RUNNING.value)
            names = transaction.connection.execute(select(_TRIAL.c.id).where(left)).scalars().all()
            used = _used(transaction.connection, names) if names else {}
            for name in names:
                values = {
                    "state": TrialState.CANCELLED.value,
                    "cause": "cancelled",
                    "detail": "its process ended before it",
                    **totals(used.get(name, NOTHING)),
                }
                transaction.connection.execute(update(_TRIAL).where(_TRIAL.c.id == name).values(values))
            return len(names)

        count: int = await self._do(work, full=True)
        return count

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _shown(
        self, candidate_id: str, changes: Mapping[str, Any], preview: CandidatePreview | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns of a candidate as they are stored, with the row of its preview; that is empty where there is none."""
        values = self._cleaner.row(changes)
        if preview is None:
            return values, {}
        clean = preview.cleaned(self._cleaner.text)
        return {**values, "touches": clean.touches.as_json()}, {"candidate": candidate_id, "body": clean.as_json()}

    async def _add_once(
        self,
        kind: type[SQLModel],
        row: SQLModel,
        ignoring: tuple[str, ...] = (),
        and_then: Callable[[Connection, Mapping[str, Any]], None] = lambda connection, values: None,
    ) -> dict[str, Any]:
        """The row as it is stored: what was given, or what was there before."""
        table = table_of(kind)

        def work(transaction: Transaction) -> dict[str, Any]:
            values = self._model(row)
            if transaction.insert_new(table, values):
                and_then(transaction.connection, values)
                return _stored(transaction.connection, table, values["id"])
            stored = _stored(transaction.connection, table, values["id"])
            # Compared as JSON: a tuple that went in comes out as a list.
            different = [
                name
                for name in values
                if name not in ignoring and codec.canonical(values[name]) != codec.canonical(stored[name])
            ]
            if different:
                raise InternalError(f"{table.name} {values['id']} is stored with another {', '.join(different)}")
            return stored

        found: dict[str, Any] = await self._do(work, full=True)
        return found


def _stored(connection: Connection, table: Table, key: str) -> dict[str, Any]:
    """A row as a reader will find it: scrubbed, and what was a tuple is a list."""
    return dict(connection.execute(select(table).where(table.c.id == key)).mappings().one())


def _change(connection: Connection, candidate: str, expect_state: str, values: Mapping[str, Any]) -> None:
    """Change a candidate that is in a state. Raises InternalError when it is in another or missing."""
    mine = _CANDIDATE.c.id == candidate
    expected = mine & (_CANDIDATE.c.state == expect_state)
    if connection.execute(update(_CANDIDATE).where(expected).values(dict(values))).rowcount != 1:
        state = connection.execute(select(_CANDIDATE.c.state).where(mine)).scalar()
        raise InternalError(f"candidate {candidate} is {state or 'not stored'}, not {expect_state}")


def _used(connection: Connection, owners: Sequence[str]) -> dict[str, Used]:
    """What each trial's calls used, from their money alone, in one pass over all calls."""
    found: dict[str, Used] = {}
    for row in connection.execute(select(_SPEND).where(_SPEND.c.owner.in_(owners))):
        call = Used(1, row.input_tokens, row.output_tokens, usd=row.usd if row.settled else row.reserved_usd)
        found[row.owner] = found.get(row.owner, NOTHING) + call
    return found
