"""Reading: what is found, and what is said when nothing is."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event

from lorimer.errors import UserError
from lorimer.harness.api import assistant, user
from lorimer.kinds import Refused, StepKind
from lorimer.traces import migrations, sealed
from lorimer.traces.databases import fts5
from lorimer.traces.databases.base import RANKED
from lorimer.traces.reading import bulk
from lorimer.traces.reading.bulk import Ran
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Conditions, StepData, Used
from lorimer.traces.scrub import scrubber
from lorimer.traces.writing.store import Store

from . import support as make
from .conftest import ON_SQLITE, Where


@pytest.fixture
async def store(path: Where) -> AsyncIterator[Store]:
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("b", position=1), make.task("a", split="holdout")], "text")
        await store.create_study(make.study("r", kind="run", created="2026-01-02"), [], "text")
        yield store


async def test_outcomes_are_the_last_finished_attempts_in_planned_order(store: Store) -> None:
    await store.add_evaluation(make.evaluation([("b", 0), ("a", 0), ("b", 1)]))
    await make.finished_trial(store, make.start("b", 1), reward=0.25)
    await make.finished_trial(store, make.start("a", 0), reward=None)
    await make.finished_trial(store, make.start("a", 0, attempt=1), reward=0.5)
    store.open_trial(make.start("a", 0, attempt=2))
    store.open_trial(make.start("b", 0))
    await store.cancel_running("s")
    reader = StoreReader(store)
    outcomes = [(trial.task, trial.repeat, trial.reward) for trial in reader.outcomes("s/baseline/baseline")]
    assert outcomes == [("a", 0, 0.5), ("b", 1, 0.25)]
    assert reader.spent("s").trials == 3
    assert reader.outcomes("s/none/such") == []


async def test_trials_are_filtered_by_all_that_is_given(store: Store) -> None:
    for task, repeat, reward in (("a", 0, 1.0), ("b", 0, 0.0), ("b", 1, None)):
        await make.finished_trial(store, make.start(task, repeat), reward=reward)
    reader = StoreReader(store)

    def found(**filters: Any) -> list[tuple[str, int]]:
        return [(trial.task, trial.repeat) for trial in reader.trials("s", **filters)]

    assert found() == [("b", 1), ("b", 0), ("a", 0)]
    assert found(task="b", state="scored") == [("b", 0)]
    assert found(stage="spot") == []
    assert found(harness="aaaa", state="errored") == [("b", 1)]
    assert len(reader.trials(limit=2)) == 2


async def test_a_trial_is_named_by_a_unique_beginning(store: Store) -> None:
    for repeat in range(12):
        await make.finished_trial(store, make.start("a", repeat))
    reader = StoreReader(store)
    assert reader.trial("s/baseline/baseline/a#10").repeat == 10
    with pytest.raises(UserError, match=r"trial s/b is not unique; it could be s/baseline/baseline/a#0/0, .*, …"):
        reader.trial("s/b")
    with pytest.raises(UserError, match="there is no trial nope in"):
        reader.trial("nope")
    with pytest.raises(UserError, match=r"there is no trial \(empty\)"):
        reader.trial("")
    with pytest.raises(UserError, match="there is no trial % in"):
        reader.trial("%")


def test_studies_are_found_by_name_and_by_age(store: Store) -> None:
    reader = StoreReader(store)
    assert [study.id for study in reader.studies()] == ["s", "r"]
    newest, optimize = reader.latest_study(), reader.latest_study("optimize")
    assert (newest and newest.id, optimize and optimize.id) == ("r", "s")
    assert reader.latest_study("check") is None
    with pytest.raises(UserError, match=r"there is no study x in .*; there are: s, r"):
        reader.study("x")
    assert [task.id for task in reader.tasks("s")] == ["a", "b"]
    assert [task.id for task in reader.tasks("s", "train")] == ["b"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there are no traces at .*/none.db$"):
        StoreReader(tmp_path / "none.db")


async def test_steps_are_read_by_range(store: Store) -> None:
    begin = make.start()
    await make.finished_trial(store, begin, [make.ran(begin.id, f"echo {number}") for number in range(6)])
    reader = StoreReader(store)
    assert [step.index for step in reader.steps(begin.id, 2, 4)] == [2, 3, 4]
    assert [step.index for step in reader.steps(begin.id, 4)] == [4, 5]
    assert [step.index for step in reader.steps(begin.id, 4, kind="exec")] == [4, 5]
    assert reader.steps(begin.id, kind="error") == []
    assert reader.step_count(begin.id) == 6


# ---- search -----------------------------------------------------------------------------------------------------------


async def test_search_finds_words_in_what_ran_and_marks_them(store: Store) -> None:
    one, other = make.start("a"), make.start("b", of="r", evaluation="r/x/run")
    await make.finished_trial(store, one, [make.ran(one.id, "python fix.py", "Traceback: KeyError 'total'")])
    await make.finished_trial(store, other, [make.ran(other.id, "ls", "KeyError in the study r")])
    reader = StoreReader(store)
    assert {hit.step.owner for hit in reader.search("KeyError")} == {one.id, other.id}
    (hit,) = reader.search("keyerror total")
    assert (hit.step.owner, "[KeyError] '[total]'" in hit.snippet) == (one.id, True)
    assert [hit.step.owner for hit in reader.search("KeyError", "r")] == [other.id]
    assert len(reader.search("KeyError", limit=1)) == 1
    assert [hit.step.owner for hit in reader.search('"fix py" OR nothing')] == [one.id]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("नमस्ते दुनिया", "नमस्ते"),
        ("नमस्ते दुनिया", '"नमस्ते दुनिया"'),
        ("नमस्ते दुनिया", "दुनि*"),
        ("لعَرَبِيَّة", "لعَرَبِيَّة"),
        ("ก็ดี", "ก็ดี"),
        ("мир", "МИР"),
        ("12 µm", "12 µm"),
        ("foo_bar-baz/qux.py", "foo_bar"),
        ("foo_bar-baz/qux.py", "bar-baz"),
        ("foo_bar-baz/qux.py", "baz/qux.py"),
        ("naïve café", "CAFÉ"),
    ],
)
async def test_words_of_every_script_and_of_code_are_found_and_marked(store: Store, text: str, words: str) -> None:
    begin = make.start()
    await make.finished_trial(store, begin, [make.ran(begin.id, "cat", text), make.ran(begin.id, "cat", "other words")])
    (hit,) = StoreReader(store).search(words)
    assert hit.step.index == 0
    assert "[" in hit.snippet


async def test_bytes_that_are_no_text_are_searched_as_nothing(store: Store) -> None:
    begin = make.start()
    await make.finished_trial(store, begin, [make.ran(begin.id, "cat", "rock")])
    assert len(StoreReader(store).search("\udcff rock")) == 1


async def test_an_output_that_the_model_was_told_is_found_once_at_its_command(store: Store) -> None:
    begin, output = make.start(), "the tests of the parser fail with an ImportError, " * 3
    cut, short = "cut words " * 20, "short words"
    store.open_trial(begin)
    data = {"command": "pytest", "stdout": f"{output}\n", "stderr": "a warning of the interpreter, " * 4}
    ran = StepData(begin.id, StepKind.EXEC, at=1.0, data=data)
    for step in (ran, make.ran(begin.id, "cat log", cut), make.ran(begin.id, "cat note", short)):
        store.step(step)
    told = [user("Go."), user(f"saw{output.strip()}then {data['stderr']}[exit code 1]"), user(cut[:-20]), user(short)]
    store.model_call(make.call(begin.id, told))
    store.model_call(make.call(begin.id, [*told, assistant("ok"), user(output)]))
    await store.close_trial(make.end(begin.id))
    reader = StoreReader(store)

    def at(words: str) -> list[int]:
        return [hit.step.index for hit in reader.search(words, order="steps")]

    assert at("ImportError") == [0, 4]  # told again, so it is a message of its own
    assert at("interpreter") == [0]
    assert at('"exit code"') == [3]
    assert at("saw") == at("then") == [3]
    assert at("cut") == [1, 3]
    assert at("short") == [2, 3]
    assert len(reader.trajectory(begin.id)) == 5


def _steps(store: Store, number: int) -> None:
    """Steps of one owner, of which the first holds `rare` and no word beside, which ranks it best."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < ?) "
            'INSERT INTO step (owner, "index", kind, at, seconds, data, found) '
            "SELECT 's/long', n, 'note', 0, 0, '{}', CASE n WHEN 0 THEN 'rare' ELSE 'rare words and others' END FROM counted",
            [number],
        )
        connection.execute(fts5.INDEX_AFTER, [0])


@ON_SQLITE
@pytest.mark.parametrize(("more", "best"), [(0, 0), (1, 1)])
def test_of_a_common_word_the_newest_steps_are_ranked(store: Store, more: int, best: int) -> None:
    _steps(store, RANKED + more)
    reader = StoreReader(store)
    assert [hit.step.index for hit in reader.search("rare", limit=1)] == [best]
    assert len(reader.search("rare", limit=RANKED + 5, order="steps")) == RANKED + more


@ON_SQLITE
async def test_a_small_study_is_searched_beside_a_long_one(store: Store) -> None:
    _steps(store, RANKED)
    mine = make.start()
    await make.finished_trial(store, mine, [make.ran(mine.id, "echo rare")])
    reader = StoreReader(store)
    assert [hit.step.owner for hit in reader.search("rare", "s")] == [mine.id]
    assert reader.search("rare", "r") == []


async def test_a_trial_for_nothing_that_was_tried_anew_is_in_no_share(store: Store) -> None:
    for attempt, (calls, refused) in enumerate([(4, 4), (5, 1)]):
        begin = make.start("a", attempt=attempt)
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, used=Used(calls, refused=refused)))
    reader, evaluation = StoreReader(store), "s/baseline/baseline"
    assert reader.refused([evaluation]) == {evaluation: Refused(1, 5)}
    assert str(Refused(1, 5)) == "refused: 1 of 5 calls, 20.0%"
    assert [end.used.refused for _, end in reader.ends(evaluation)] == [4, 1]


async def test_trials_that_ran_under_the_same_conditions_share_a_row(store: Store) -> None:
    image = "sha256:" + "0123456789abcdef" * 4
    few, many = (Conditions(number, (image,), ("gpt-x-2026-05-01",)) for number in (8, 25))
    other = replace(many, images=("sha256:" + "f" * 64,), answered=("gpt-x-2026-05-01", "gpt-x-2026-09-01"))
    for repeat, (task, under) in enumerate(
        [("a", few), ("a", few), ("b", few), ("a", many), ("a", other), ("a", Conditions())]
    ):
        begin = make.start(task, repeat)
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, conditions=under))
    begin = make.start("a", 9)
    store.open_trial(begin)
    await store.close_trial(make.end(begin.id, None, conditions=other))
    reader, evaluation = StoreReader(store), "s/baseline/baseline"
    (found,) = reader.conditions([evaluation]).values()
    kept = [Ran("a", 2, few), Ran("b", 1, few), Ran("a", 1, many), Ran("a", 1, other)]
    assert sorted(found, key=str) == sorted(kept, key=str)
    assert reader.sql("SELECT count(*) FROM condition").rows == ((4,),)
    assert reader.conditions(["another"]) == {}
    assert reader.study_conditions("s") == []
    await store.add_evaluation(make.evaluation([("a", 0)]))
    assert sorted(reader.study_conditions("s"), key=str) == sorted(kept, key=str)
    assert reader.trial_conditions(begin.id) == other
    assert reader.trial_conditions(make.start("a", 5).id) is None


async def test_whether_conditions_differ_at_all_is_known_without_the_trials(store: Store) -> None:
    reader, same = StoreReader(store), Conditions(8, ("image of a",), ("gpt-x",))
    for repeat, (task, under, differ) in enumerate(
        [
            ("a", same, False),
            ("b", replace(same, images=("image of b",)), False),
            ("a", replace(same, images=("another",)), True),
        ]
    ):
        begin = make.start(task, repeat)
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, conditions=under))
        assert reader.conditions_differ() is differ


@pytest.mark.parametrize("other", [Conditions(25, (), ("gpt-x",)), Conditions(8, (), ("gpt-y",))])
async def test_another_concurrency_or_model_makes_conditions_differ(store: Store, other: Conditions) -> None:
    for repeat, under in enumerate([Conditions(8, (), ("gpt-x",)), other]):
        begin = make.start("a", repeat)
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, conditions=under))
    assert StoreReader(store).conditions_differ()


async def test_a_key_in_the_name_of_an_answers_model_is_masked(tmp_path: Path) -> None:
    with Store.open(tmp_path / "traces.db", scrubber(["hunter2hunter2"])) as store:
        await store.create_study(make.study(), [make.task("a")], "text")
        begin = make.start("a")
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, conditions=Conditions(1, (), ("at hunter2hunter2",))))
        (ran,) = StoreReader(store).conditions(["s/baseline/baseline"])["s/baseline/baseline"]
    assert "hunter2" not in ran.under.answered[0]


@ON_SQLITE
def test_what_is_asked_of_all_trials_is_answered_from_indices(store: Store) -> None:
    said: list[str] = []
    with closing(sqlite3.connect(store.path)) as connection:
        connection.set_trace_callback(said.append)
        bulk.scored(connection, ["a"])
        bulk.trial_counts(connection, "s")
        bulk.conditions(connection, ["a"])
        bulk.study_conditions(connection, "s")
        connection.set_trace_callback(None)
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall() for statement in said]
    read = [row[-1] for plan in plans for row in plan if " trial " in f"{row[-1]} "]
    assert len(read) == 4
    assert all("COVERING INDEX" in each for each in read), read


@pytest.mark.parametrize(
    "words",
    ["", " ", "*", '"', "AND", "foo AND", "NEAR(", "a:b", "-x", "(", "x'); DROP TABLE step;--", "^", "{a}: b", "\x00"],
)
async def test_text_that_is_no_search_syntax_is_searched_as_words(store: Store, words: str) -> None:
    assert StoreReader(store).search(words) == []


@ON_SQLITE
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab\"*():^-+{}, ANDORNT\x00'é~"), max_size=12))
def test_no_text_breaks_search(store: Store, words: str) -> None:
    StoreReader(store).search(words)


# ---- sql --------------------------------------------------------------------------------------------------------------


@ON_SQLITE
def test_sql_answers_with_columns_and_rows(store: Store) -> None:
    table = StoreReader(store).sql("SELECT id, position FROM task ORDER BY position")
    assert table.columns == ("id", "position")
    assert table.rows == (("a", 0), ("b", 1))
    assert StoreReader(store).sql(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n", 3
    ).rows == (
        (1,),
        (2,),
        (3,),
    )
    assert StoreReader(store).sql("PRAGMA table_info(study)").rows


@ON_SQLITE
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM trial",
        "INSERT INTO harness VALUES ('a', 'b')",
        "UPDATE study SET state = 'finished'",
        "DROP TABLE step",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "PRAGMA query_only=OFF",
        "PRAGMA journal_mode=DELETE",
        "INSERT INTO step_fts(step_fts) VALUES ('delete-all')",
        "ATTACH 'file:{folder}/new.db?mode=rwc' AS x",
        "VACUUM INTO '{folder}/new.db'",
        "BEGIN",
    ],
)
def test_sql_only_reads(store: Store, tmp_path: Path, statement: str) -> None:
    before = {file.name for file in tmp_path.iterdir()}
    with pytest.raises(UserError, match="`traces sql` only reads; this would write or reach another file"):
        StoreReader(store).sql(statement.format(folder=tmp_path))
    assert {file.name for file in tmp_path.iterdir()} == before


@ON_SQLITE
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT * FROM nowhere", "SQL: no such table: nowhere"),
        ("SELEC 1", 'SQL: near "SELEC": syntax error'),
        ("SELECT 1; DELETE FROM trial", "SQL: You can only execute one statement at a time"),
        ("", "`traces sql` only reads; give one SELECT"),
    ],
)
def test_wrong_sql_is_explained(store: Store, statement: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        StoreReader(store).sql(statement)
    assert words in str(caught.value)


# ---- schema -----------------------------------------------------------------------------------------------------------


@ON_SQLITE
def test_the_revisions_make_the_tables_that_the_models_describe(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlmodel import SQLModel

    engine = create_engine(f"sqlite:///{store.path}")
    with engine.connect() as connection:
        options = {
            "include_name": lambda name, kind, parents: (
                (parents.get("table_name"), name) != ("step", "found")  # SQLite's own, as the index is
                and not (kind == "table" and str(name).startswith("step_fts"))
            )
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []
        assert migrations.current(connection) == migrations.revisions()[-1]
    engine.dispose()


async def test_a_scored_trial_is_told_with_what_its_calls_took(store: Store) -> None:
    await store.add_evaluation(make.evaluation([("b", 0), ("a", 0), ("a", 1)]))
    for task, attempt, reward, used in (
        ("b", 0, 1.0, Used(2, 100, 20, 60, refused=1)),
        ("a", 0, None, Used(7, 700, 70)),
        ("a", 1, 0.5, Used(1, 10, 2)),
    ):
        begin = make.start(task, 0, attempt)
        store.open_trial(begin)
        await store.close_trial(make.end(begin.id, reward, used=used))
    reader, evaluation = StoreReader(store), "s/baseline/baseline"
    assert reader.scored_trials([evaluation, "s/nothing"]) == [
        bulk.ScoredTrial(evaluation, "a", 0, 0.5, 12, 1, 0),
        bulk.ScoredTrial(evaluation, "b", 0, 1.0, 120, 2, 1),
    ]
    assert [each[:4] for each in reader.scored_trials([evaluation])] == reader.scored([evaluation])


@ON_SQLITE
async def test_what_is_asked_of_all_trials_and_calls_is_answered_from_indices(store: Store) -> None:
    await store.add_evaluation(make.evaluation([("b", 0)]))
    await make.finished_trial(store, make.start("b", 0), reward=0.25)
    with closing(sqlite3.connect(store.path)) as connection:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        assert sealed.digests(connection, ["s/baseline"]).keys() <= {"s/baseline"}
        bulk.scored(connection, ["s/baseline"])
        connection.set_trace_callback(None)
        asked.append("SELECT role, reserved_usd, reserved_tokens FROM spend WHERE study = 's' AND settled IS 0")
        plans = [" ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")) for each in asked]
    assert len(plans) == 3
    assert all("USING COVERING INDEX trial_scores (evaluation=?" in plan for plan in plans[:2]), plans
    assert "USING INDEX spend_open (study=?)" in plans[2], "calls that are settled are not looked at"


async def test_the_chains_head_is_read_alone_however_long_the_chain(tmp_path: Path) -> None:
    """Each promotion reads it. SQLite's own instructions are counted, which no other work on the machine changes."""
    path, ticks = tmp_path / "traces.db", [0]

    def tick() -> None:
        ticks[0] += 1

    def counted(connection: sqlite3.Connection, record: object) -> None:
        connection.set_progress_handler(tick, 1)

    def cost() -> int:
        reader = StoreReader(path)
        reader.head()  # what a first question costs besides
        ticks[0] = 0
        reader.head()
        return ticks[0]

    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
    event.listen(Engine, "connect", counted)
    try:
        short = cost()
        with closing(sqlite3.connect(path)) as file, file:
            row = file.execute("SELECT study, kind, subject, body, made, previous, hash FROM chain").fetchone()
            file.executemany("INSERT INTO chain VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(n, *row) for n in range(10, 3_000)])
        assert 0 < short == cost()
    finally:
        event.remove(Engine, "connect", counted)
