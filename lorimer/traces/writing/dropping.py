"""Drops the steps of trials, and what hangs on them alone. What was decided by a trial, its verdict and its totals, stays.

Each batch of trials is one transaction with its own entry of the chain, which names them: a process that is killed leaves every
trial whole or without steps, and told of. Messages and files that nothing refers to any more are looked for afterwards, among all
that there are; so what a killed process left is found by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.exc import DBAPIError

from lorimer.errors import UserError
from lorimer.traces import codec
from lorimer.traces.databases.base import Database, Plain
from lorimer.traces.tables import BlobRow, MessageRow, RecordRow, Step
from lorimer.traces.writing import chaining
from lorimer.traces.writing.holder import alive, described
from lorimer.traces.writing.recorder import now
from lorimer.traces.writing.writer import explain, table_of

KIND = "dropped"
"""The kind of the entries of the chain."""

BATCH_STEPS = 20_000
"""Steps of one transaction, about: a second or two in which nobody else can write."""

PAGE = 5_000
"""Rows that are looked at in one question."""

_STEP, _RECORD = table_of(Step), table_of(RecordRow)
_SIZES = (
    "SELECT owner, count(*), sum(length(data) + length({text})) FROM step "
    "WHERE owner IN (SELECT value FROM json_each(?)) GROUP BY owner"
)
_ENDED = "SELECT id, harness, started FROM trial WHERE study = ? AND state <> 'running' ORDER BY started, id"
_CALLS = "SELECT id, owner, data FROM step WHERE id > ? AND kind = 'model_call' ORDER BY id LIMIT ?"
_RECORDS = "SELECT trial, body FROM record WHERE trial > ? ORDER BY trial LIMIT ?"


@dataclass(frozen=True)
class StepsHeld:
    """What a trial's steps hold."""

    steps: int
    size: int
    """Characters of what happened and of what search finds."""


@dataclass(frozen=True)
class Loose:
    """Messages and files that nothing refers to."""

    messages: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    size: int = 0
    newest: int = 0
    """The number of the newest step that was looked at."""


@dataclass(frozen=True)
class Batch:
    """Trials of one study whose steps go together."""

    study: str
    trials: tuple[str, ...]
    steps: int


@dataclass(frozen=True)
class EndedTrial:
    """A trial that has ended."""

    id: str
    harness: str
    started: str
    """UTC, ISO 8601."""


def ended(database: Database, study: str) -> list[EndedTrial]:
    """A study's trials that have ended, in the order in which they began."""
    with database.plain() as connection:
        rows = connection.execute(_ENDED, [study]).fetchall()
    return [EndedTrial(*row) for row in rows]


def check_at_rest(database: Database) -> None:
    """Raises UserError where a process runs a study of the store."""
    with database.plain() as connection:
        _all_at_rest(connection)


def held(database: Database, trials: Sequence[str]) -> dict[str, StepsHeld]:
    """What the steps of those of these trials hold that have any."""
    found: dict[str, StepsHeld] = {}
    with database.plain() as connection:
        for at in range(0, len(trials), PAGE):
            rows = connection.execute(
                _SIZES.format(text=database.step_text), [codec.dumps(list(trials[at : at + PAGE]))]
            )
            found |= {owner: StepsHeld(int(steps), int(size)) for owner, steps, size in rows}
    return found


def batches(study: str, found: Mapping[str, StepsHeld]) -> list[Batch]:
    """Trials of a study in groups of about `BATCH_STEPS` steps."""
    made, names, steps = list[Batch](), list[str](), 0
    for name, each in found.items():
        names.append(name)
        steps += each.steps
        if steps >= BATCH_STEPS:
            made.append(Batch(study, tuple(names), steps))
            names, steps = [], 0
    return [*made, Batch(study, tuple(names), steps)] if names else made


def drop(database: Database, batch: Batch, keep: str, by: str) -> None:
    """Drop the steps and the records of trials, and chain that it was done.

    Args:
        keep: the rule by which it is done, as `[store] keep` says it.
        by: who asked for it.

    Raises UserError where a process runs a study of the store; LorimerError where it cannot be written.
    """
    with _writing(database) as connection:
        _all_at_rest(database.within(connection))
        names = list(batch.trials)
        for table, column in ((_STEP, _STEP.c.owner), (_RECORD, _RECORD.c.trial)):
            gone = delete(table).where(column == bindparam("of_trial"))
            connection.execute(gone, [{"of_trial": name} for name in names])
        body = {"keep": keep, "by": by, "steps": batch.steps, "trials": names}
        chaining.append(connection, batch.study, KIND, batch.study, body, now())


def loose(database: Database, without: Collection[str] = ()) -> Loose:
    """What nothing in the store refers to, or would if the steps of these trials were gone. Reads every model call."""
    with database.plain() as connection:
        messages, newest = _of_calls(connection, without)
        blobs = _of_records(connection, without)
        spare, size = _unused(connection, "message", "body", messages)
        files, more = _unused(connection, "blob", "data", blobs)
    return Loose(tuple(spare), tuple(files), size + more, newest)


def sweep(database: Database) -> Loose:
    """Remove what nothing refers to; what that was.

    Raises UserError where a process has begun to run a study of the store, as it may refer to some of it. The next sweep finds it
    again.
    """
    found = loose(database)
    for model, shas in ((MessageRow, found.messages), (BlobRow, found.blobs)):
        table = table_of(model)
        for at in range(0, len(shas), PAGE):
            with _writing(database) as connection:
                _all_at_rest(database.within(connection))
                if (connection.execute(select(func.max(_STEP.c.id))).scalar() or 0) != found.newest:
                    raise UserError(
                        f"{database.name} was written to meanwhile; what nothing refers to any more stays for now"
                    )
                gone = delete(table).where(table.c.sha == bindparam("of_sha"))
                connection.execute(gone, [{"of_sha": sha} for sha in shas[at : at + PAGE]])
    return found


# ---- inside ---------------------------------------------------------------------------------------------------------


@contextmanager
def _writing(database: Database) -> Iterator[Connection]:
    """A transaction that is on the disk when it ends."""
    engine = database.writing()
    try:
        with engine.connect() as connection, connection.begin():
            database.begin(connection, full=True)
            yield connection
    except DBAPIError as error:
        raise explain(error, database) from None
    finally:
        engine.dispose()


def _all_at_rest(connection: Plain) -> None:
    for study, holder, since in connection.execute("SELECT id, holder, held_since FROM study").fetchall():
        if holder and alive(holder):
            raise UserError(
                f"study {study} is being run by {described(holder, since)}: steps are dropped when nothing runs in its store"
            )


def _key(sha: str) -> int:
    """A hash as a number that takes a third of its room. Where two of a store were alike, one would stay for nothing."""
    return int(sha[:16], 16)


def _of_calls(connection: Plain, without: Collection[str]) -> tuple[set[int], int]:
    """The messages that model calls refer to, and the number of the newest step."""
    used, last = set[int](), 0
    while rows := connection.execute(_CALLS, [last, PAGE]).fetchall():
        last = rows[-1][0]
        for _, owner, data in rows:
            if owner in without:
                continue
            call = json.loads(data)
            used |= {_key(sha) for sha in call["append"]}
            used |= {_key(call[name]) for name in ("completion", "system", "tools") if call.get(name)}
    newest = connection.execute("SELECT max(id) FROM step").fetchone()[0] or 0
    return used, int(newest)


def _of_records(connection: Plain, without: Collection[str]) -> set[int]:
    """The files that records refer to."""
    used, last = set[int](), ""
    while rows := connection.execute(_RECORDS, [last, PAGE // 10]).fetchall():
        last = rows[-1][0]
        for trial, body in rows:
            if trial in without:
                continue
            for part in json.loads(body)["parts"]:
                for entry in (part, *part["calls"]):
                    used |= {_key(sha) for sha in _blobs(entry)}
    return used


def _blobs(entry: Mapping[str, Any]) -> list[str]:
    return [*([entry["blob"]] if "blob" in entry else []), *(sha for *_, sha in entry.get("cut", {}).values())]


def _unused(connection: Plain, table: str, column: str, used: set[int]) -> tuple[list[str], int]:
    """The rows of a table that are not among those, and how much they hold."""
    found, size, last = list[str](), 0, ""
    question = f"SELECT sha, length({column}) FROM {table} WHERE sha > ? ORDER BY sha LIMIT ?"  # noqa: S608
    while rows := connection.execute(question, [last, PAGE]).fetchall():
        last = rows[-1][0]
        for sha, length in rows:
            if _key(sha) not in used:
                found.append(sha)
                size += int(length)
    return found, size
