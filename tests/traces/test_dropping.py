"""Steps of trials that are dropped take with them what hangs on them alone, and leave everything that was decided."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import UserError
from lorimer.harness.api import ExecResult, Task, assistant, user
from lorimer.traces import chain, wired
from lorimer.traces.databases.choice import database_at
from lorimer.traces.databases.sqlite import Sqlite
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import StepData, StepKind
from lorimer.traces.sealed import SealedReader
from lorimer.traces.tables import DecisionRow
from lorimer.traces.wired import Gap, Record
from lorimer.traces.writing import dropping
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store

from . import support as make
from .conftest import ON_SQLITE, Where

KILLED = """
import sys
from lorimer.traces.writing import dropping
from lorimer.traces.databases.choice import database_at

dropping.BATCH_STEPS = 2
database = database_at(sys.argv[1])
found = dropping.held(database, [f"s/baseline/baseline/t{number}#0/0" for number in range(40)])
print("begins", flush=True)
for batch in dropping.batches("s", found):
    dropping.drop(database, batch, "1d", "someone")
dropping.sweep(database)
"""


async def trial(store: Store, task: str, *, said: str, file: bytes) -> str:
    """A recorded trial: one model call, one command and one file."""
    begin = make.start(task)
    store.open_trial(begin)
    told = Task("Do it.", "/w", 60.0, 5)
    store.wire_part(wired.WirePart(begin.id, told, 100, 60.0, 1.0))
    store.model_call(make.call(begin.id, [user("the same for all"), user(said)], assistant(f"to {said}")))
    exec_step = {"command": f"echo {said}", "cwd": "/w", "exit_code": 0, "timed_out": False, "dropped": 0}
    store.step(StepData(begin.id, StepKind.EXEC, 1.0, 0.5, {**exec_step, "stdout": said, "stderr": ""}, call=0))
    store.wire_call(
        wired.WireCall(begin.id, 0, wired.Exec(f"echo {said}", 60.0, "/w"), ExecResult(said, "", 0), 1.0, 1.5)
    )
    store.wire_call(wired.WireCall(begin.id, 1, wired.Write("/w/file", file), wired.OpenedWrite(), 2.0, 2.5))
    store.wire_call(wired.WireCall(begin.id, 2, wired.Finish("finished", "", ""), wired.Done(), 3.0, 3.0))
    await store.close_trial(make.end(begin.id, 0.5))
    return begin.id


async def fill(path: Where) -> tuple[str, str]:
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("old"), make.task("new")], "text")
        await store.add_evaluation(make.evaluation([("old", 0), ("new", 0)]))
        old = await trial(store, "old", said="ancient", file=b"of the old one" * 50)
        new = await trial(store, "new", said="recent", file=b"of the new one" * 50)
        await store.add_decision(decision())
    return old, new


def decision() -> DecisionRow:
    values: dict[str, Any] = {
        "subject": "",
        "stage": "baseline",
        "kind": "pass",
        "reason": "r",
        "numbers": {},
        "policy": {},
    }
    return DecisionRow(id="s/baseline/baseline", study="s", made="now", **values)


def drop(path: Where, trials: Sequence[str]) -> dropping.Loose:
    database = database_at(path)
    for batch in dropping.batches("s", dropping.held(database, trials)):
        dropping.drop(database, batch, "30d", "someone")
    return dropping.sweep(database)


async def test_steps_go_with_what_they_alone_refer_to_and_the_rest_stays(path: Where) -> None:
    old, new = await fill(path)
    before = StoreReader(path).trial(old)
    sealed = StoreReader(path).trials_digests(["s/baseline/baseline"])
    loose = drop(path, [old])
    reader = StoreReader(path)
    assert (reader.steps(old), reader.step_count(new)) == ([], 2)
    assert reader.trial(old) == before
    assert reader.trials_digests(["s/baseline/baseline"]) == sealed
    assert [hit.step.owner for hit in reader.search("ancient")] == []
    assert {hit.step.owner for hit in reader.search("recent")} == {new}
    assert (len(loose.messages), len(loose.blobs)) == (2, 1)  # what it was told and said itself, and its file
    assert len(reader.sql("SELECT sha FROM message").rows) == 5
    assert len(reader.sql("SELECT sha FROM blob").rows) == 2
    assert [message.text for message in reader.conversation(new, 0).messages] == ["the same for all", "recent"]
    found = reader.records([old, new])
    assert isinstance(found[new], Record)
    assert found[old] == Gap(old, "dropped", "its steps and its record were dropped, as [store] keep says")
    assert dropping.sweep(database_at(path)).messages == ()


async def test_it_is_chained_which_trials_they_were_and_by_which_rule(path: Where) -> None:
    old, new = await fill(path)
    drop(path, [old])
    rows = SealedReader(path).chain()
    assert chain.breaks(rows) == []
    assert rows[-1].kind == "dropped"
    assert rows[-1].body == {"keep": "30d", "by": "someone", "steps": 2, "trials": [old]}
    assert chain.dropped(rows, old) == f"were dropped on {rows[-1].made[:10]}, as [store] keep = 30d says"
    assert chain.dropped(rows, new) == ""


async def test_what_would_go_is_told_before(path: Where) -> None:
    old, _ = await fill(path)
    database = database_at(path)
    assert dropping.loose(database).messages == ()
    loose = dropping.loose(database, {old})
    assert (len(loose.messages), len(loose.blobs)) == (2, 1)
    assert loose.size > 0
    assert dropping.held(database, [old, "no such trial"])[old].steps == 2
    assert StoreReader(path).step_count(old) == 2


async def test_nothing_is_dropped_while_a_process_runs_a_study_of_the_store(path: Where) -> None:
    old, _ = await fill(path)
    with Store.open(path) as store:
        await store.claim("s", this_process())
        with pytest.raises(UserError, match=rf"study s is being run by process {os.getpid()} on this machine since"):
            drop(path, [old])
    assert StoreReader(path).step_count(old) == 2


async def test_what_nothing_refers_to_stays_where_a_study_begins_meanwhile(path: Where) -> None:
    old, _ = await fill(path)
    database = database_at(path)
    for batch in dropping.batches("s", dropping.held(database, [old])):
        dropping.drop(database, batch, "30d", "someone")
    with Store.open(path) as store:
        await store.claim("s", this_process())
        with pytest.raises(UserError, match="study s is being run"):
            dropping.sweep(database)
        await store.release("s", this_process())
    assert len(dropping.sweep(database).messages) == 2


def size(path: Path) -> int:
    return path.stat().st_size


@ON_SQLITE
async def test_the_file_becomes_smaller(path: Path) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("t")], "text")
        for number in range(20):
            begin = make.start("t", number)
            await make.finished_trial(store, begin, [make.ran(begin.id, "cat", "word " * 20_000)])
    database = Sqlite(path)
    before = size(path)
    drop(path, [f"s/baseline/baseline/t#{number}/0" for number in range(19)])
    spare = database.spare()
    assert spare is not None
    assert spare.bytes > before / 2
    assert spare.takes < spare.there
    database.give_back()
    assert size(path) < before / 2
    assert StoreReader(path).step_count("s/baseline/baseline/t#19/0") == 1


def test_batches_hold_about_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "BATCH_STEPS", 10)
    found = {f"t{number}": dropping.StepsHeld(4, 100) for number in range(7)}
    made = dropping.batches("s", found)
    assert [(batch.trials, batch.steps) for batch in made] == [
        (("t0", "t1", "t2"), 12),
        (("t3", "t4", "t5"), 12),
        (("t6",), 4),
    ]


async def many(path: Path, count: int) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task(f"t{number}") for number in range(count)], "text")
        for number in range(count):
            await trial(store, f"t{number}", said=f"word{number}", file=f"file {number}".encode() * 20)


def test_a_killed_process_leaves_each_trial_whole_or_dropped_and_told_of(tmp_path: Path) -> None:
    path, names = tmp_path / "traces.db", [f"s/baseline/baseline/t{number}#0/0" for number in range(40)]
    asyncio.run(many(path, 40))
    chance = random.Random(1)
    for _ in range(2):
        kill_within(path, chance.random() * 0.1)
        reader = StoreReader(path)
        rows = reader.chain()
        assert chain.breaks(rows) == []
        told = {name for row in rows if row.kind == "dropped" for name in row.body["trials"]}
        assert {name: reader.step_count(name) for name in names} == {name: 0 if name in told else 2 for name in names}
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            connection.execute("INSERT INTO step_fts(step_fts, rank) VALUES ('integrity-check', 0)")
    drop(path, names)
    reader = StoreReader(path)
    assert sum(reader.step_count(name) for name in names) == 0
    assert reader.sql("SELECT count(*) FROM message").rows == ((0,),)
    assert reader.sql("SELECT count(*) FROM blob").rows == ((0,),)
    assert reader.sql("SELECT count(*) FROM trial WHERE reward = 0.5").rows == ((40,),)


def kill_within(path: Path, seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(seconds)
        process.kill()
