"""Whose steps `[store] keep` lets go, and what a study that goes on never misses."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lorimer.config.settings import parse
from lorimer.config.store import keep_of
from lorimer.errors import ConfigError
from lorimer.meta_agent.reports import audit
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study import keeping
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.databases.choice import database_at
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.sealed import SealedReader
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from tests.cli.support import refused, typed
from tests.meta_agent.test_loop import Bench, config, make_bench, run, script
from tests.traces import support as make

MARKS = ("BAD", "NULL", "GOOD", "BAD", "NULL")
LATER = datetime.now(UTC) + timedelta(days=365)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("kept") / "work")
    asyncio.run(run(bench, script(*MARKS), config(budget={"candidates": 5})))
    with_steps(bench.root / "traces.db")
    return bench


@pytest.fixture
def bench(studied: Bench, tmp_path: Path) -> Bench:
    """A workspace of the test's own with that study."""
    root = tmp_path / "work"
    shutil.copytree(studied.root, root)
    (root / STORE).parent.mkdir()
    (root / "traces.db").rename(root / STORE)
    (root / "lorimer.toml").write_text('[store]\nkeep = "30d"\n')
    return Bench(root, Path(STORE))


def with_steps(path: Path) -> None:
    """The dice write no steps: each trial gets one."""

    async def write() -> None:
        with Store.open(path) as store:
            for trial in StoreReader(path).trials("demo", limit=None):
                store.step(make.ran(trial.id, f"echo {trial.task}", "word " * 100))
            await store.flush()

    asyncio.run(write())


def harnesses(root: Path, *, with_steps: bool) -> set[str]:
    """The harnesses of trials, by whether the trials have steps."""
    reader = StoreReader(root / STORE)
    return {
        trial.harness for trial in reader.trials("demo", limit=None) if bool(reader.step_count(trial.id)) is with_steps
    }


def dropped(root: Path, keep: str, now: datetime = LATER) -> keeping.Dropped:
    return keeping.drop(database_at(root / STORE), StoreReader(root / STORE), keep_of(keep), "someone", now)


def test_the_champions_and_the_seed_harnesss_steps_stay_however_old_they_are(bench: Bench) -> None:
    world = scan(StoreReader(bench.root / STORE), "demo")
    assert world.champion is not None
    before = harnesses(bench.root, with_steps=True)
    done = dropped(bench.root, "30d")
    left = harnesses(bench.root, with_steps=True)
    assert {world.champion_harness, world.seed_harness} <= left
    assert left <= keeping.wanted(world)
    assert harnesses(bench.root, with_steps=False) == before - keeping.wanted(world)
    assert sum(each.trials for each in done.studies) > 0
    assert done.given_back >= 0


def test_what_is_younger_than_the_time_stays(bench: Bench) -> None:
    assert dropped(bench.root, "30d", datetime.now(UTC)).studies == ()


def test_steps_of_the_last_candidates_stay(bench: Bench) -> None:
    world = scan(StoreReader(bench.root / STORE), "demo")
    dropped(bench.root, "2")
    last = {each.harness for each in world.candidates[-2:]}
    gone = harnesses(bench.root, with_steps=False)
    assert gone
    assert gone == {each.harness for each in world.candidates[:-2]} - last - keeping.wanted(world)


def test_verify_is_clean_and_says_what_was_dropped(bench: Bench) -> None:
    before = audit.verify(bench.root, SealedReader(bench.root / STORE))
    done = dropped(bench.root, "30d")
    trials = sum(each.trials for each in done.studies)
    after = audit.verify(bench.root, SealedReader(bench.root / STORE))
    assert [check.problems for check in after.checks if check.what != "dropped"] == [c.problems for c in before.checks]
    today = datetime.now(UTC).date().isoformat()
    assert f"demo: steps of {trials} trials were dropped on {today}, as [store] keep = 30d says" in audit.text(after)


async def test_a_study_goes_on_as_if_nothing_had_been_dropped(bench: Bench, tmp_path: Path) -> None:
    """Six candidates more, with and without the steps of the first five."""
    outcomes = []
    for name, keep in (("whole", False), ("dropped", True)):
        if keep:
            await asyncio.to_thread(dropped, bench.root, "1")
        other = bench if keep else copied(bench, tmp_path / name)
        settings = config(budget={"candidates": 8})
        with other.parts(script(*MARKS, "NULL", "BAD", "NULL"), settings) as (parts, _, _):
            await optimize(parts, "demo")
        reader = StoreReader(other.root / STORE)
        outcomes.append([(row.id, row.kind, row.reason, row.numbers) for row in reader.decisions("demo")])
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) > 5


def copied(bench: Bench, root: Path) -> Bench:
    shutil.copytree(bench.root, root)
    return Bench(root, bench.store)


def test_a_run_goes_by_its_age_and_an_unfinished_one_stays(tmp_path: Path) -> None:
    (tmp_path / STORE).parent.mkdir()

    async def write() -> None:
        with Store.open(tmp_path / STORE) as store:
            for name, state in (("run-1", "finished"), ("run-2", "paused")):
                await store.create_study(make.study(name, kind="run", state=state), [make.task("t", of=name)], "text")
                begin = make.start(of=name, evaluation=f"{name}/b")
                await make.finished_trial(store, begin, [make.ran(begin.id, "ls")])

    asyncio.run(write())
    assert dropped(tmp_path, "5").studies == ()
    done = dropped(tmp_path, "8w")
    assert [(each.study, each.trials, each.steps) for each in done.studies] == [("run-1", 1, 1)]


@contextmanager
def running(root: Path, study: str) -> Iterator[None]:
    with Store.open(root / STORE) as store:
        asyncio.run(store.claim(study, this_process()))
        yield
        asyncio.run(store.release(study, this_process()))


def test_at_the_end_of_a_study_the_last_in_the_store_does_it(bench: Bench) -> None:
    told = list[str]()
    age(bench.root)
    database, reader = database_at(bench.root / STORE), StoreReader(bench.root / STORE)
    with running(bench.root, "demo"):
        keeping.at_end(database, reader, keep_of("30d"), told.append)
    keeping.at_end(database, reader, keep_of("30d"), told.append)
    keeping.at_end(database, reader, keep_of("30d"), told.append)
    assert told[0].startswith("steps that [store] keep = 30d lets go stay for now: study demo is being run by process")
    assert told[1].startswith("steps of ")
    assert told[1].endswith(" MB, as [store] keep = 30d says")
    assert len(told) == 2


@pytest.mark.parametrize("wrong", ["", "0", "-1", "30 d", "d", "30m", "ever", "1.5d", True, 1.5])
def test_what_keep_cannot_mean_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"store\.keep.*is \"all\", a time such as \"30d\""):
        parse({"store": {"keep": wrong}})


def test_keep_may_be_a_number(tmp_path: Path) -> None:
    assert parse({"store": {"keep": 20}}).store.keep == "20"
    assert keep_of("20").candidates == 20
    assert keep_of("2w").seconds == 14 * 86400


# ---- what people type ------------------------------------------------------------------------------------------------


def test_it_is_told_first_and_done_with_yes(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    age(bench.root)
    said = typed(capsys, "store", "prune", "-C", bench.root).out
    assert said.splitlines()[0].split() == ["study", "trials", "steps", "about"]
    assert said.splitlines()[1].startswith("demo ")
    assert "verdicts, decisions, spending and the chain stay" in said
    assert "the file is then written anew without the free room, which takes up to" in said
    assert said.splitlines()[-1] == "`lorimer store prune --yes` drops it, which cannot be undone"
    assert not any(row.kind == "dropped" for row in StoreReader(bench.root / STORE).chain())
    done = typed(capsys, "store", "prune", "--yes", "--by", "ada", "-C", bench.root).out
    assert done.splitlines()[-1].startswith("dropped steps of ")
    entry = StoreReader(bench.root / STORE).chain()[-1]
    assert (entry.kind, entry.body["by"], entry.body["keep"]) == ("dropped", "ada", "30d")
    again = typed(capsys, "store", "prune", "-C", bench.root).out
    assert again == "nothing is older than [store] keep = 30d says\n"


def test_a_trial_says_when_its_steps_were_dropped(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    dropped(bench.root, "30d")
    entry = StoreReader(bench.root / STORE).chain()[-1]
    said = typed(capsys, "traces", "show", entry.body["trials"][0], "-C", bench.root).out
    line = f"  its steps were dropped on {entry.made[:10]}, as [store] keep = 30d says; its verdict, totals and answer stay"
    assert line in said.splitlines()
    as_json = typed(capsys, "traces", "show", entry.body["trials"][0], "--json", "-C", bench.root).out
    assert line.strip() in as_json


def test_who_keeps_everything_is_told_where_to_say_so(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.root / "lorimer.toml").write_text("")
    said = refused(capsys, 2, "store", "prune", "-C", bench.root)
    assert 'nothing is dropped: [store] keep is "all"' in said


def test_a_store_in_use_is_left_alone(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    age(bench.root)
    with running(bench.root, "demo"):
        said = refused(capsys, 2, "store", "prune", "--yes", "-C", bench.root)
    assert f"study demo is being run by process {os.getpid()} on this machine" in said
    assert "steps are dropped when nothing runs in its store" in said


def test_a_wrong_rule_in_the_file_is_one_line(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.root / "lorimer.toml").write_text('[store]\nkeep = "soon"\n')
    said = refused(capsys, 2, "store", "prune", "-C", bench.root)
    assert 'store.keep: is "all", a time such as "30d" (h, d or w), or a number of candidates such as 20' in said


def age(root: Path) -> None:
    """The study began a hundred days ago."""
    with sqlite3.connect(root / STORE) as connection:
        connection.execute("UPDATE trial SET started = '2020-01-01T00:00:00.000+00:00'")
    connection.close()


def test_an_export_leaves_such_trials_out_and_says_how_many(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = sum(each.trials for each in dropped(bench.root, "30d").studies)
    place = tmp_path / "all.jsonl"
    said = typed(capsys, "traces", "export", "--to", "jsonl", "-o", place, "-C", bench.root).out
    assert f"{trials} trials are left out, as their steps were dropped ([store] keep)\n" in said
    gone = scan(StoreReader(bench.root / STORE), "demo").candidates[0]
    refusal = refused(
        capsys, 2, "traces", "export", "--to", "jsonl", "-o", place, "--candidate", "c001", "--force", "-C", bench.root
    )
    assert gone.id == "demo/c001"
    assert "that would have no steps any more, as [store] keep says" in refusal
