"""What an edit did in its full run is stored beside its candidate, and comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from lorimer.traces import codec
from lorimer.traces.databases.choice import database_at
from lorimer.traces.effects import Effect, Fired, FiredCounts, HunkFired, TaskChanges
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import MASK, scrubber
from lorimer.traces.writing import dropping
from lorimer.traces.writing.copying import copy
from lorimer.traces.writing.store import Store

from . import support as make
from .conftest import Where
from .test_migrations import older, put_candidate, put_study

HUNKS = (HunkFired(1, 4, tasks={"t2": (0, 2), "t1": (1, 2)}), HunkFired(0, 0, "it changes comments and layout alone"))
EFFECT = Effect(
    ("s/baseline/baseline", "s/baseline/audit+00002"),
    2,
    TaskChanges(("t1",), ("t3", "t2")),
    Fired(HUNKS, {"t2": (0, 2), "t1": (1, 2)}, 0.1 + 0.2, 7.0),
)

NAMES = st.text(max_size=3)
COUNTS = st.dictionaries(NAMES, st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4)
FIRED = st.builds(
    Fired,
    st.lists(st.builds(HunkFired, st.integers(0, 9), st.integers(0, 9), NAMES, COUNTS), max_size=3).map(tuple),
    COUNTS,
    st.none() | st.floats(0, 1e9),
    st.none() | st.floats(0, 1e9),
)
TASKS = st.lists(NAMES, max_size=3).map(tuple)
EFFECTS = st.builds(Effect, TASKS, st.integers(0, 5), st.builds(TaskChanges, TASKS, TASKS), FIRED)


def in_order(counts: FiredCounts) -> list[tuple[str, tuple[int, int]]]:
    return list(counts.items())


@given(EFFECTS)
def test_an_effect_comes_back_from_its_json_with_its_tasks_in_their_order(effect: Effect) -> None:
    found = Effect.of_json(codec.loads(codec.dumps(effect.as_json())))
    assert found == effect
    assert in_order(found.fired.tasks) == in_order(effect.fired.tasks)
    assert [in_order(h.tasks) for h in found.fired.hunks] == [in_order(h.tasks) for h in effect.fired.hunks]


async def test_effects_are_stored_by_candidate_and_the_last_one_holds(path: Where) -> None:
    with Store.open(path) as store:
        reader = StoreReader(path)
        assert reader.effects(["s/c001"]) == {}
        await store.set_effects({"s/c001": EFFECT, "s/c002": replace(EFFECT, retries=3)})
        assert reader.effects(["s/c001", "s/c003"]) == {"s/c001": EFFECT}
        await store.set_effects({"s/c001": replace(EFFECT, met=("s/c000/audit",))})
        found = reader.effects(["s/c002", "s/c001"])
        assert found == {"s/c001": replace(EFFECT, met=("s/c000/audit",)), "s/c002": replace(EFFECT, retries=3)}
        assert reader.effects([]) == {}


async def test_what_a_lorimer_of_another_form_stored_is_not_told(path: Where) -> None:
    with Store.open(path) as store:
        await store.set_effects({"s/c001": EFFECT})
        engine = database_at(path).writing()
        with engine.begin() as connection:
            body = codec.dumps({"form": 0, "other": True})
            connection.execute(text("UPDATE effect SET body = :body"), {"body": body})
        engine.dispose()
        assert StoreReader(path).effects(["s/c001"]) == {}


def test_an_effect_holds_for_what_it_was_read_from_alone() -> None:
    assert EFFECT.holds(list(EFFECT.met), 2)
    assert not EFFECT.holds(EFFECT.met, 3)
    assert not EFFECT.holds(EFFECT.met[:1], 2)
    assert not EFFECT.holds((*EFFECT.met, "s/baseline/audit+00003"), 2)


async def test_a_secret_in_a_reason_is_masked(tmp_path: Path) -> None:
    key = "hunter2-hunter2"
    with Store.open(tmp_path / "traces.db", scrubber([key])) as store:
        told = replace(EFFECT, fired=Fired((HunkFired(0, 0, f"nothing reads {key}"),), {}))
        await store.set_effects({"s/c001": told})
        (hunk,) = StoreReader(store).effects(["s/c001"])["s/c001"].fired.hunks
        assert hunk.unknown == f"nothing reads {MASK}"


async def test_a_copy_has_them_and_dropped_steps_leave_them(path: Where, tmp_path: Path) -> None:
    begin = make.start()
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("t")], "text")
        await make.finished_trial(store, begin, [make.ran(begin.id, "ls")])
        await store.set_effects({"s/c001": EFFECT})
    database = database_at(path)
    for batch in dropping.batches("s", dropping.held(database, [begin.id])):
        dropping.drop(database, batch, "1d", "someone")
    dropping.sweep(database)
    assert StoreReader(path).step_count(begin.id) == 0
    copy(database, database_at(tmp_path / "copy.db"))
    for place in (path, tmp_path / "copy.db"):
        assert StoreReader(place).effects(["s/c001"]) == {"s/c001": EFFECT}


def test_a_store_of_an_older_lorimer_has_none(tmp_path: Path) -> None:
    with older(tmp_path / "traces.db", "0025") as connection:
        put_study(connection, {})
        name = put_candidate(connection, 1, "rejected")
    Store.open(tmp_path / "traces.db").close()
    assert StoreReader(tmp_path / "traces.db").effects([name]) == {}
