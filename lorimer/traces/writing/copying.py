"""A whole store in another place, and on another database: every row as it is, so that every hash of the chain holds there too.

A store is copied whole. Its chain is one, and each entry is sealed with the one before it, of whichever study that is: a study
alone would have to be sealed anew, and the promotions' commits, which name the chain's end of their time, would no longer agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, Engine, Table, TableClause, Text, column, select, table
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from lorimer.errors import LorimerError, UserError
from lorimer.traces import chain, codec, migrations
from lorimer.traces.databases.base import Database
from lorimer.traces.sealed import SealedReader
from lorimer.traces.searched import is_said
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import alive, described
from lorimer.traces.writing.writer import explain, table_of

ROWS = 500
"""Rows that are held at a time; a step's is some kilobytes."""


@dataclass(frozen=True)
class Copied:
    """What was copied."""

    studies: int
    rows: int
    head: str
    """The hash of the chain's last entry, the same in both."""


def copy(source: Database, target: Database) -> Copied:
    """Copy all of a store into one that is empty or not there yet, in one transaction.

    Raises UserError where the source cannot be read or a study of it is run at this moment, and where the target holds a study;
    LorimerError where the source's chain is broken, and where the target cannot be written, which then holds nothing of it.
    """
    if source == target:
        raise UserError(f"{source.name} cannot be copied to itself")
    entries = SealedReader(source).chain()
    broken = chain.breaks(entries)
    if broken:
        raise LorimerError(f"{source.name} is not copied, as its chain is broken: {broken[0]}")
    with _connected(source.reading()) as old, _connected(target.writing()) as new:
        try:
            studies, rows = _copied(target, old, new)
        except DBAPIError as error:
            raise explain(error, target) from None
    there = SealedReader(target).chain()
    # What was added to the source before its moment of copying came was copied too.
    if there[: len(entries)] != entries or chain.breaks(there):
        raise LorimerError(f"{target.name} holds another chain than {source.name}; empty it, and copy it anew")
    return Copied(studies, rows, there[-1].hash if there else chain.BEGINNING)


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _copied(target: Database, old: Connection, new: Connection) -> tuple[int, int]:
    """How many studies and rows there were."""
    server, rows = old.dialect.name == "postgresql", 0
    with old.begin(), new.begin():
        # All tables are read as they are at one moment.
        old.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ" if server else "BEGIN")
        target.begin(new, full=True)
        migrations.upgrade(new, target.name)
        held = new.execute(select(table_of(StudyRow).c.id).limit(1)).scalar()
        if held is not None:
            raise UserError(f"{target.name} holds the study {held} already; a store is copied to where there is none")
        studies = old.execute(select(*(table_of(StudyRow).c[name] for name in ("id", "holder", "held_since")))).all()
        for study, holder, since in studies:
            if holder and alive(holder):
                raise UserError(f"study {study} is being run by {described(holder, since)}; end that one first")
        for each in SQLModel.metadata.sorted_tables:
            plain = _plain(each)
            computed = each.name == "step" and target.step_text != "text"
            into = _plain(each, target.step_text) if computed else plain
            for batch in _batches(old, plain):
                for row in batch if computed else ():
                    text, data = row.pop("text"), row["data"]
                    row[target.step_text] = "" if is_said(row["kind"], codec.loads(data), data, text) else text
                new.execute(into.insert(), batch)
                rows += len(batch)
            target.copied(new, each.name)
    return len(studies), rows


def _plain(of: Table, written: str = "text") -> TableClause:
    """A table whose JSON is the text that it is stored as: what is read and made anew may come out in another form.

    Args:
        written: the column that is written for `text`.
    """
    types = {each.name: Text() if isinstance(each.type, JSON) else each.type for each in of.columns}
    return table(of.name, *(column(written if name == "text" else name, kind) for name, kind in types.items()))


def _batches(connection: Connection, of: TableClause) -> Iterator[list[dict[str, Any]]]:
    found = connection.execution_options(yield_per=ROWS).execute(select(of)).mappings()
    for part in found.partitions():
        yield [dict(row) for row in part]
