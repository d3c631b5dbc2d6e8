"""A store that is copied says the same where it is, and its chain holds there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, select
from sqlmodel import SQLModel

from lorimer.errors import LorimerError, UserError
from lorimer.harness.api import assistant, user
from lorimer.traces import chain
from lorimer.traces.databases.choice import database_at
from lorimer.traces.databases.sqlite import Sqlite
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Conditions, Reservation, Settlement, Used
from lorimer.traces.tables import DecisionRow
from lorimer.traces.writing import chaining
from lorimer.traces.writing.copying import copy
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from tests.support.postgresql import Server

from . import support as make
from .conftest import ON_SQLITE, Where


@pytest.fixture(params=["to sqlite", "to postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    if request.param == "to sqlite":
        return tmp_path / "new" / "copy.db"
    server: Server = request.getfixturevalue("server")
    return server.empty()


async def fill(path: Where) -> None:
    odd = "nul \x00 lone \ud800 end"
    with Store.open(path) as store:
        for name in ("z", "a"):
            await store.create_study(
                make.study(name, config={"b": 1, "a": [0.1, None]}), [make.task("t", of=name)], "text"
            )
        await store.add_evaluation(make.evaluation([("t", 0)], of="z"), chained={"policy": "pooled"})
        begin = make.start(of="z")
        store.open_trial(begin)
        store.step(make.ran(begin.id, "echo findme", odd))
        store.model_call(make.call(begin.id, [user(odd)], assistant(odd)))
        await store.reserve(Reservation("r", "z", "task", begin.id, 0.5, 100))
        store.settle(Settlement("r", Used(1, 10, 5, usd=0.125)))
        await store.close_trial(make.end(begin.id, 0.5, conditions=Conditions(2, ("i",), ("m",)), rewards={"x": 0.5}))
        await store.add_decision(
            DecisionRow(
                id="s/baseline/baseline",
                study="z",
                subject="",
                stage="baseline",
                kind="pass",
                reason="r",
                numbers={"score": 0.1 + 0.2},
                policy={},
                made="now",
            )
        )


def rows(path: Where) -> dict[str, list[Any]]:
    """All that a store holds, by table."""
    engine = database_at(path).reading()
    found = {}
    with engine.connect() as connection:
        for table in SQLModel.metadata.sorted_tables:
            held = connection.execute(select(table).order_by(*table.primary_key)).all()
            found[table.name] = [tuple(row) for row in held]
    engine.dispose()
    return found


async def test_a_copy_holds_every_row_and_the_whole_chain(path: Where, target: Where) -> None:
    await fill(path)
    copied = copy(database_at(path), database_at(target))
    assert rows(target) == rows(path)
    old, new = StoreReader(path), StoreReader(target)
    assert new.chain() == old.chain()
    assert chain.breaks(new.chain()) == []
    assert (copied.studies, copied.rows, copied.head) == (2, sum(map(len, rows(path).values())), old.head())
    assert [study.id for study in new.studies()] == ["z", "a"], "in the order in which they began"
    assert [hit.step.index for hit in new.search("findme")] == [0]
    assert new.decisions_now("z") == old.decisions_now("z")


async def test_a_copy_is_written_on_to(path: Where, target: Where) -> None:
    await fill(path)
    copy(database_at(path), database_at(target))
    with Store.open(target) as store:
        begin = make.start("u", of="z")
        await make.finished_trial(store, begin, [make.ran(begin.id, "echo later")])
        await store.note_program("z", "sha", "text", "c001")
    reader = StoreReader(target)
    assert len(reader.search("echo")) == 2
    assert chain.breaks(reader.chain()) == []


async def test_a_store_is_copied_to_another_schema_of_its_database(server: Server, tmp_path: Path) -> None:
    url = server.empty()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for name in ("old", "new"):
            connection.execute(f"CREATE SCHEMA {name}".encode())
    old, new = (f"{url}&options=-csearch_path%3D{name}" for name in ("old", "new"))
    await fill(old)
    copy(database_at(old), database_at(new))
    assert rows(new) == rows(old)
    server.drop(url)


class WrittenMeanwhile(Sqlite):
    """A store to which an entry is added once its chain was looked at, and before it is copied."""

    def reading(self) -> Engine:
        with Store.open(self.path) as store:
            body = {"policy": "pooled"}
            store._writer.submit(
                lambda transaction: chaining.append(transaction.connection, "z", "note", "z", body, "now"), full=True
            ).result()
        return super().reading()


@ON_SQLITE
async def test_what_was_added_before_the_moment_of_copying_is_copied_too(path: Path, target: Where) -> None:
    await fill(path)
    before = StoreReader(path).chain()
    copied = copy(WrittenMeanwhile(path), database_at(target))
    there = StoreReader(target).chain()
    assert (len(there), there[:-1]) == (len(before) + 1, before)
    assert there == StoreReader(path).chain()
    assert copied.head == there[-1].hash
    assert rows(target) == rows(path)


@ON_SQLITE
async def test_what_is_not_copied_is_said(path: Where, target: Where) -> None:
    await fill(path)
    source = database_at(path)
    with pytest.raises(UserError, match="cannot be copied to itself"):
        copy(source, source)
    with Store.open(target) as store:
        await store.create_study(make.study("other"), [], "text")
    with pytest.raises(UserError, match="holds the study other already; a store is copied to where there is none"):
        copy(source, database_at(target))
    with Store.open(path) as store:
        await store.claim("a", this_process())
    with pytest.raises(
        UserError, match=r"study a is being run by process \d+ on this machine since .*; end that one first"
    ):
        copy(source, database_at(f"{path}-new"))
    with pytest.raises(UserError, match="there are no traces at"):
        copy(database_at("/nowhere/x.db"), database_at(target))


@ON_SQLITE
async def test_a_broken_chain_is_not_copied(path: Path, tmp_path: Path) -> None:
    await fill(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER chain_no_update")
        connection.execute("""UPDATE chain SET body = '{"changed":1}' WHERE number = 2""")
    with pytest.raises(
        LorimerError, match=r"is not copied, as its chain is broken: entry 2 .* was changed after it was made"
    ):
        copy(database_at(path), database_at(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists()
