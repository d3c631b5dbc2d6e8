"""A store of an older lorimer is brought up to date when it is opened, and loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from lorimer.errors import UserError
from lorimer.kinds import Refused, StepKind
from lorimer.meta_agent.reports.audit import verify
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.world import scan
from lorimer.traces import chain, migrations, sealed
from lorimer.traces.caching import NONE_BROKEN
from lorimer.traces.databases.sqlite import Sqlite
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Purpose, Share, Stage, StepData
from lorimer.traces.wired import Gap
from lorimer.traces.writing import chaining
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from tests.support.tools import tool

SEED, OTHER, MADE = "a" * 64, "b" * 64, "2026-01-02T00:00:00+00:00"


@contextmanager
def older(path: Path, revision: str) -> Iterator[Connection]:
    """A new store as the lorimer of that revision made it, in a transaction."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.revise(connection, revision)
        yield connection
    engine.dispose()


def test_a_new_store_is_as_the_revisions_make_it(tmp_path: Path) -> None:
    """If this fails: python tools/schema.py."""
    wanted = tool("schema").schema(migrations.revisions()[-1])
    assert (migrations.FOLDER / "sqlite.sql").read_text(encoding="utf-8") == wanted
    Store.open(tmp_path / "new.db").close()
    with older(tmp_path / "revised.db", "head"):
        pass
    made = _schema(tmp_path / "new.db")
    assert made == _schema(tmp_path / "revised.db")
    assert {name for name, _ in made} >= {"step", "step_fts", "chain_no_update", "trial_scores"}


def test_a_new_store_whose_schema_is_of_an_older_revision_is_brought_to_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(migrations.FOLDER, tmp_path / "migrations")
    (tmp_path / "migrations" / "sqlite.sql").write_text(tool("schema").schema("0023"), encoding="utf-8")
    Store.open(tmp_path / "new.db").close()
    monkeypatch.setattr(migrations, "FOLDER", tmp_path / "migrations")
    Store.open(tmp_path / "from-older.db").close()
    assert _schema(tmp_path / "from-older.db") == _schema(tmp_path / "new.db")


def test_a_store_is_not_upgraded_under_a_process_that_runs_a_study_in_it(tmp_path: Path) -> None:
    path, mine = tmp_path / "old.db", this_process()
    with older(path, "0024") as connection:
        put(connection, "study", id="night", kind="optimize", state="running", config={}, holder=mine)
    said = (
        rf"older lorimer \(schema 0024\), and its study night is being run by process {os.getpid()} on this machine, which .*"
        rf"`kill {os.getpid()}`.*`lorimer resume night` then upgrades it"
    )
    with pytest.raises(UserError, match=said):
        Store.open(path)
    with closing(sqlite3.connect(path)) as file:  # as the process that runs there writes it
        file.execute(
            "INSERT INTO step (owner, 'index', kind, at, seconds, data, text) VALUES ('t', 0, 'note', 0, 0, '{}', 'x')"
        )
        file.commit()


@pytest.mark.parametrize(
    "where", ["another-machine:1", f"{socket.gethostname()}:{os.getpid()}"], ids=["elsewhere", "here"]
)
def test_a_study_whose_process_is_gone_holds_no_upgrade_up(tmp_path: Path, where: str) -> None:
    dead = f"{where}:1"
    path = tmp_path / "old.db"
    with older(path, "0024") as connection:
        put(connection, "study", id="night", kind="optimize", state="running", config={}, holder=dead)
    Store.open(path).close()
    assert StoreReader(path).study("night").holder == dead


def _schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as file:
        made: list[tuple[str, str]] = file.execute("SELECT name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        return made + file.execute("SELECT 'revision', version_num FROM alembic_version").fetchall()


def put(connection: Connection, table: str, **values: Any) -> None:
    """Insert a row; columns that are not named hold what says nothing."""
    columns = connection.execute(text(f"PRAGMA table_info({table})")).mappings().all()
    empty: dict[str, Any] = {"INTEGER": 0, "FLOAT": 0.0, "JSON": "[]", "BOOLEAN": False, "VARCHAR": ""}
    row = {
        column["name"]: values.pop(column["name"], None if not column["notnull"] else empty[column["type"]])
        for column in columns
        if column["name"] != "rowid"
    }
    assert not values, f"{table} has no {', '.join(values)}"
    row = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
    names = ", ".join(f'"{name}"' for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)


def put_study(connection: Connection, config: dict[str, Any]) -> None:
    values: dict[str, Any] = {"kind": "optimize", "state": "paused", "seed": 1, "benchmark": "starter"}
    put(connection, "study", id="s", **values, config=config, seed_harness=SEED)
    put(connection, "task", study="s", id="t1", split="train", digest="d1")
    put(connection, "task", study="s", id="t2", position=1, split="holdout", digest="d2")
    put(connection, "harness", sha=SEED, text="text")
    put(connection, "harness", sha=OTHER, text="other")


def put_candidate(connection: Connection, number: int, state: str, **values: Any) -> str:
    name = f"s/c{number:03}"
    put(connection, "candidate", id=name, study="s", number=number, parent=SEED, state=state, **values)
    return name


def put_decision(connection: Connection, name: str, candidate: str, stage: str, kind: str = "pass") -> None:
    """As schema 0001 to 0003 kept it."""
    row = {"id": name, "study": "s", "candidate": candidate, "stage": stage, "kind": kind, "reason": "said"}
    row |= {"made": MADE}
    body: dict[str, Any] = {"numbers": {"score": 0.1 + 0.2, "low": None}, "policy": {"alpha": 0.1}}
    put(connection, "decision", **row, **body)
    if connection.execute(text("SELECT count(*) FROM sqlite_master WHERE name = 'chain'")).scalar():
        digests = sealed.digests(Sqlite(Path()).within(connection), [name])
        digest = digests.get(name, chain.NO_TRIALS)
        chaining.append(connection, "s", "decision", name, {"row": row | body, "trials": digest}, MADE)


def test_what_an_older_lorimer_decided_is_chained_as_it_is_found(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0001") as connection:
        put_study(connection, {"gate": {"alpha": 0.1}, "budget": {"usd": 1.5}})
        put(
            connection, "trial", id="x", planned="y", study="s", evaluation="s/baseline/baseline", task="t1",
            state="scored", cause="finished", reward=0.5,
        )  # fmt: skip
        put_candidate(connection, 1, "promoted", harness=OTHER, commit="c" * 40)
        put_decision(connection, "s/baseline/baseline", "s/baseline", "baseline")

    Store.open(path).close()
    reader = StoreReader(path)
    rows = reader.chain()
    assert chain.breaks(rows) == []
    assert [row.kind for row in rows] == ["study", "decision", "promotion", "settings", "upgrade"]
    # Schema 0002 chained only what no resume could change; 0003 adds the rest as it is found.
    assert rows[0].body["config"] == {"gate": {"alpha": 0.1}}
    assert rows[0].body["tasks"] == {"t1": ["d1", "train"], "t2": ["d2", "holdout"]}
    assert rows[1].body["trials"] == chain.trials_digest([("x", "scored", "finished", 0.5)])
    assert rows[1].body["row"]["candidate"] == "s/baseline"
    assert rows[2].body == {"harness": OTHER, "parent": SEED, "commit": "c" * 40}
    assert rows[3].body == {"changes": [], "config": {"budget": {"usd": 1.5}}}
    assert chain.settings_of(rows, "s") == reader.study("s").config
    assert reader.study("s").lorimer_toml is None
    assert reader.study("s").seconds == 0.0
    assert reader.harness(SEED).text == "text"


ABOUT = {
    ("s/baseline/baseline", "s/baseline", "baseline"): About("", Stage.BASELINE),
    ("s/baseline/holdout", "s/baseline", "holdout"): About("", Stage.HOLDOUT),
    ("s/c001/age-full", "s/c001", "age-full"): About("", Stage.FULL, Purpose.AGE, 1),
    ("s/baseline/audit-00001", "s/baseline", "audit"): About("", Stage.AUDIT, Purpose.REFRESHED, 1),
    ("s/baseline/audit+00002", "s/baseline", "audit"): About("", Stage.AUDIT, Purpose.ADDED, 2),
    ("s/c001/spot", "s/c001", "spot"): About("s/c001", Stage.SPOT),
    ("s/c002/full", "s/c002", "full"): About("s/c002", Stage.FULL),
    ("s/c002/full-beside", "s/c002", "full"): About("", Stage.FULL, Purpose.BESIDE, 2),
    ("s/c002/audit", "s/c002", "audit"): About("s/c002", Stage.AUDIT),
    ("s/c003/age-holdout", "s/c003", "age-holdout"): About("s/c002", Stage.HOLDOUT, Purpose.AGE, 3),
    ("s/c002/holdout-00003", "s/c002", "holdout"): About("s/c002", Stage.HOLDOUT, Purpose.REFRESHED, 3),
    ("s/c002/audit+00003", "s/c002", "audit"): About("s/c002", Stage.AUDIT, Purpose.ADDED, 3),
    ("s/c003/full-beside", "s/c003", "full"): About("s/c002", Stage.FULL, Purpose.BESIDE, 3),
    ("s/c003/full", "s/c003", "full"): About("s/c003", Stage.FULL),
    ("s/c004/spot", "s/c004", "spot"): About("s/c004", Stage.SPOT),
}
"""An id of schema 0003, and what its row said besides: what it stands for."""
KINDS = {"s/c001/spot": "reject", "s/c002/full": "promote", "s/c003/full": "reject", "s/c004/spot": "undecided"}


def old_store(path: Path) -> None:
    """A store of schema 0003, with an evaluation and a decision of every kind; c003 and c004 are still open, as after a kill."""
    with older(path, "0003") as connection:
        put_study(connection, {})
        chaining.append(connection, "s", "study", "s", {}, MADE)
        for number, state in ((1, "rejected"), (2, "promoted"), (3, "proposed"), (4, "proposed")):
            put_candidate(connection, number, state, harness=OTHER)
        for name, candidate, stage in ABOUT:
            if not stage.startswith("age-"):
                whose = None if candidate == "s/baseline" else candidate
                put(
                    connection, "evaluation", id=name, study="s", candidate=whose, stage=stage, harness=SEED,
                    plan=[["t1", 0]],
                )  # fmt: skip
            if not name.endswith("-beside"):
                put_decision(connection, name, candidate, stage, KINDS.get(name, "pass"))


def test_what_ids_stood_for_is_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    old_store(path)
    Store.open(path).close()
    reader = StoreReader(path)
    found = {
        row.id: About(row.subject, Stage(row.stage), Purpose(row.purpose), row.met) for row in reader.decisions("s")
    }
    planned = [row for name, *_ in ABOUT if (row := reader.evaluation(name)) is not None]
    assert len(planned) == len(ABOUT) - 2
    found |= {row.id: About(row.subject, Stage(row.stage), Purpose(row.purpose), row.met) for row in planned}
    assert found == {name: about for (name, _, _), about in ABOUT.items()}
    assert [row.id for row in reader.decisions("s")] == [name for name, *_ in ABOUT if not name.endswith("-beside")]
    # Names are still made as they were: the luck of trials yet to come follows from them.
    assert all(evaluation_id("s", about) == name for name, about in found.items())
    world = scan(reader, "s")
    assert world.stood == ("s/c002/audit", "s/c002/audit+00003")
    assert world.stood_at("", 1) == ("s/baseline/audit-00001",)
    assert world.stood_at("", 2) == ("s/baseline/audit-00001", "s/baseline/audit+00002")


def test_a_candidate_that_an_older_lorimer_left_open_after_its_decision_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    old_store(path)
    Store.open(path).close()
    assert [row.state for row in StoreReader(path).candidates("s")] == ["rejected", "promoted", "rejected", "undecided"]
    assert scan(StoreReader(path), "s").open is None


def test_the_chain_of_an_older_store_holds_and_seals_the_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    old_store(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        bodies = connection.execute(text("SELECT number, body, hash FROM chain ORDER BY number")).all()
    Store.open(path).close()
    with engine.connect() as connection:
        after = connection.execute(text("SELECT number, body, hash FROM chain ORDER BY number")).all()
    assert after[: len(bodies)] == bodies, "no entry was touched"
    assert len(after) == len(bodies) + 1

    def problems() -> list[str]:
        checks = {check.what: check.problems for check in verify(tmp_path, StoreReader(path), "s").checks}
        return [*checks["chain"], *checks["decisions"], *checks["trials"]]

    assert problems() == []
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER decision_no_update"))
        connection.execute(text("UPDATE decision SET purpose = 'first', met = NULL WHERE id = 's/c002/audit+00003'"))
        connection.execute(text("UPDATE decision SET subject = 's/c003' WHERE id = 's/c001/spot'"))
    assert problems() == [
        "decision s/c001/spot: subject changed after it was made",
        "decision s/c002/audit+00003: met, purpose changed after it was made",
    ]
    # Whoever chains another story later is not believed.
    with engine.begin() as connection:
        about = {"subject": "s/c003", "stage": "spot", "purpose": "first", "met": None}
        chaining.append(connection, "s", "upgrade", "s", {"decisions": {"s/c001/spot": about}}, MADE)
    assert "decision s/c001/spot: subject changed after it was made" in problems()
    engine.dispose()


def test_what_an_older_lorimers_calls_cost_is_added_up_once(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0005") as connection:
        put_study(connection, {})
        for name, role, settled, usd, reserved, tokens in (
            ("a", "task", True, 0.5, 9.0, 10),
            ("b", "task", True, 0.25, 9.0, 10),
            ("c", "task", True, None, 2.0, 10),
            ("d", "task", True, None, None, 10),
            ("e", "task", False, None, 4.0, 0),
            ("f", "meta", False, None, None, 0),
        ):
            put(
                connection, "spend", id=name, study="s", role=role, settled=settled, usd=usd, reserved_usd=reserved,
                input_tokens=tokens, reserved_tokens=100,
            )  # fmt: skip
    Store.open(path).close()
    found = StoreReader(path).spent("s")
    assert found.task == Share(known_usd=6.75, tokens=140, unknown=2, calls=5)
    assert found.meta == Share(known_usd=0.0, tokens=100, unknown=1, calls=1)


def test_what_an_older_lorimers_calls_read_from_caches_is_added_up_once(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0018") as connection:
        put_study(connection, {})
        put_candidate(connection, 1, "rejected")
        for role in ("task", "meta"):
            put(connection, "spent", study="s", role=role, usd=1.0, tokens=500, unknown=0, calls=2)
        for name, recorded, whole in (("a", "", ""), ("b", "s/x", ""), ("c", "s/x", "why")):
            put(
                connection, "trial", id=name, planned=name, study="s", evaluation="e", task="t", state="scored",
                input_tokens=100, cached_tokens=40, recorded_trial=recorded, ran_whole=whole,
            )  # fmt: skip
        for index, usage in enumerate(({"input_tokens": 30, "cached_tokens": 20}, {"input_tokens": 10})):
            data = {"stop_reason": "end", "usage": usage}
            put(connection, "step", id=None, owner="s/c001", index=index, kind="model_call", data=data)
    Store.open(path).close()
    found = StoreReader(path).spent("s")
    # Of what went on from a record nobody knows which of its calls were live.
    assert (found.task.input_tokens, found.task.cached_tokens) == (200, 80)
    assert (found.meta.input_tokens, found.meta.cached_tokens) == (40, 20)
    assert StoreReader(path).cache_breaks("s") == NONE_BROKEN


def test_the_refused_calls_of_stored_trials_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0006") as connection:
        put_study(connection, {})
        for name, stops in {"x": ["rejected", "end", "context_overflow"], "y": ["end"], "z": ["refusal"]}.items():
            put(
                connection, "trial", id=name, planned=name, study="s", evaluation="s/baseline/baseline", task="t1",
                state="scored", model_calls=len(stops), reward=0.5,
            )  # fmt: skip
            for index, stop in enumerate(stops):
                data = {"stop_reason": stop, "error": f"{stop} words"}
                put(connection, "step", id=None, owner=name, index=index, kind="model_call", data=data)
            put(
                connection, "step", id=None, owner=name, index=len(stops), kind="exec", data={"stop_reason": "rejected"}
            )
    Store.open(path).close()
    reader = StoreReader(path)
    assert {trial.id: trial.refused_calls for trial in reader.trials("s")} == {"x": 2, "y": 0, "z": 1}
    assert reader.refused(["s/baseline/baseline", "s/c001/full"]) == {"s/baseline/baseline": Refused(3, 5)}
    assert reader.refusal(["s/baseline/baseline"]) == ("x", "rejected words")
    assert reader.refusal(["s/c001/full"]) is None


def test_of_trials_that_an_older_lorimer_ran_no_conditions_are_known(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with older(path, "0007") as connection:
        put_study(connection, {})
        put(
            connection, "trial", id="x", planned="x", study="s", evaluation="s/baseline/baseline", task="t1",
            state="scored", model_calls=4, refused_calls=1, reward=0.5,
        )  # fmt: skip
    Store.open(path).close()
    reader = StoreReader(path)
    assert reader.trial("x").condition is None
    assert reader.conditions(["s/baseline/baseline"]) == {}
    assert reader.trial_conditions("x") is None
    assert not reader.conditions_differ()
    assert reader.refused(["s/baseline/baseline"]) == {"s/baseline/baseline": Refused(1, 4)}


def test_trials_of_a_store_without_records_are_there_and_not_replayable(tmp_path: Path) -> None:
    with older(tmp_path / "t.db", "0007") as connection:
        put_study(connection, {})
        names = {"planned": "s/baseline/baseline/t1/0", "evaluation": "s/baseline/baseline", "stage": "baseline"}
        put(connection, "trial", id="s/baseline/baseline/t1/0/0", study="s", state="scored", reward=1.0, **names)
    Store.open(tmp_path / "t.db").close()
    (gap,) = StoreReader(tmp_path / "t.db").records(["s/baseline/baseline/t1/0/0"]).values()
    why = "it has no record: an older lorimer ran it, or no harness acted in it"
    assert gap == Gap("s/baseline/baseline/t1/0/0", "unrecorded", why)


def test_the_candidates_of_an_older_store_are_each_a_round_of_one(tmp_path: Path) -> None:
    with older(tmp_path / "t.db", "0015") as connection:
        put_study(connection, {})
        put_candidate(connection, 1, "promoted", harness=OTHER)
        put_candidate(connection, 2, "proposed", harness=OTHER)
    Store.open(tmp_path / "t.db").close()
    world = scan(StoreReader(tmp_path / "t.db"), "s")
    assert [(each.first, each.cluster, each.rebased) for each in world.candidates] == [(1, "", None), (2, "", None)]
    assert world.round is not None
    assert [each.number for each in world.round.candidates] == [2]
    assert world.proposals == 2
    assert world.champion_before(2) == "s/c001"


async def test_steps_of_an_older_lorimer_are_found_and_dropped_beside_new_ones(tmp_path: Path) -> None:
    """Schema 0023 indexed each step by a trigger; those of today are indexed by whoever writes them."""
    path, said = tmp_path / "traces.db", "the old needle"
    with older(path, "0023") as connection:
        put_study(connection, {})
        for index, (kind, data, words) in enumerate(
            [
                ("exec", {"command": "ls", "stdout": "old needle\n", "stderr": ""}, "ls\nold needle\n"),
                ("note", {"text": said}, said),
                ("model_call", {"base": None, "append": [], "completion": "x"}, "an answer with a needle"),
                ("read", {"path": "a.txt", "error": "no needle"}, "a.txt\nno needle"),
            ]
        ):
            put(connection, "step", id=index + 1, owner="old", index=index, kind=kind, data=data, text=words)
        before = connection.execute(text("SELECT id, owner, data, text FROM step ORDER BY id")).all()
    with Store.open(path) as store:
        for kind, data in (
            (StepKind.EXEC, {"command": "ls", "stdout": "new needle", "stderr": "lost"}),
            (StepKind.EXEC, {"command": "", "stdout": "bare needle", "stderr": ""}),
            (StepKind.NOTE, {"text": "a needle\x00 and \ud800 more"}),
            (StepKind.NOTE, {"text": "a needle", "share": float("nan")}),
        ):
            store.step(StepData("new", kind, 0.0, data=data))
        await store.flush()
        reader = StoreReader(path)
        assert reader.sql("SELECT id, owner, data, text FROM step WHERE owner = 'old' ORDER BY id").rows == tuple(
            tuple(row) for row in before
        )
        assert reader.sql("SELECT text FROM step WHERE owner = 'new' ORDER BY id").rows == (
            ("ls\nnew needle\nlost",), ("bare needle",), ("a needle\ufffd and ? more",), ("a needle",),
        )  # fmt: skip
        stored = reader.sql("SELECT found FROM step WHERE owner = 'new' ORDER BY id").rows
        assert stored == (("",), ("bare needle",), ("a needle\ufffd and ? more",), ("a needle",)), (
            "once where it can be"
        )
        found = [(hit.step.owner, hit.step.index) for hit in reader.search("needle", order="steps")]
        assert found == [(owner, index) for owner in ("new", "old") for index in range(4)]
        assert {hit.snippet for hit in reader.search("lost")} == {"ls\nnew needle\n[lost]"}
    with closing(sqlite3.connect(path)) as file, file:
        check = "INSERT INTO step_fts(step_fts, rank) VALUES ('integrity-check', 1)"
        file.execute(check)
        file.execute('DELETE FROM step WHERE "index" < 2')
        file.execute(check)
    assert [(hit.step.owner, hit.step.index) for hit in StoreReader(path).search("needle", order="steps")] == [
        ("new", 2), ("new", 3), ("old", 2), ("old", 3),
    ]  # fmt: skip
