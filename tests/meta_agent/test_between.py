"""Two harnesses of a study side by side: whose trials stand for each, and which tasks flipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.errors import UserError
from lorimer.harness.version import sha
from lorimer.meta_agent.reports.between import between, compared, named
from lorimer.meta_agent.state.world import scan
from lorimer.terminal.between import text
from lorimer.traces.schema import Stage
from tests.meta_agent.test_loop import SEED, Bench, config, make_bench, run, script


def read(path: Path) -> str:
    return path.read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


async def test_the_tasks_that_flipped_are_told_beside_those_by_chance(bench: Bench) -> None:
    await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2}))
    reader = bench.reader()
    found = between(reader, "demo", "seed", "champion", read)
    assert found.flips is not None
    assert set(found.flips.fixed) <= {f"t{number:02}" for number in range(6, 14)}, "of the train tasks that it lifts"
    assert len(found.flips.fixed) > found.flips.expected > 0
    assert found.flips.broke == ()
    said = text(found)
    assert said.startswith("--- a/seed\n+++ b/c001\n")
    assert "\n+# GOOD 1\n" in said
    assert said.splitlines()[-1] == str(found.flips)
    # What the champion is told of by decided nothing about it.
    mean = {each.task: each.after for each in found.flips.tasks}
    audit = [(trial.task, trial.reward) for trial in reader.outcomes("demo/c001/audit")]
    assert {task: sum(r or 0 for t, r in audit if t == task) / 2 for task, _ in audit} == mean


async def test_a_rejected_candidate_is_told_by_its_full_run_beside_the_champion_that_it_met(bench: Bench) -> None:
    settings = config(budget={"candidates": 1}, gate={"champion": "interleaved"})
    await run(bench, script("NULL"), settings)
    reader = bench.reader()
    world = scan(reader, "demo")
    (row,) = reader.candidates("demo")
    assert row.state == "rejected"
    assert world.decided(row.id, Stage.FULL) is not None
    found = compared(reader, world, "", row.id)
    beside = {trial.task for trial in reader.outcomes("demo/c001/full-beside")}
    assert beside
    assert {each.task for each in found.tasks} <= beside
    assert all(each.trials == (2, 2) for each in found.tasks)


async def test_harnesses_are_known_by_name_and_by_text(bench: Bench, tmp_path: Path) -> None:
    await run(bench, script("BAD", ""), config(budget={"candidates": 2}))
    reader = bench.reader()
    assert named(reader, "demo", "champion", read).name == "seed"
    file = tmp_path / "mine.py"
    file.write_text(SEED)
    assert named(reader, "demo", str(file), read).subject == ""
    bad = named(reader, "demo", "c001", read)
    assert (bad.subject, bad.sha) == ("demo/c001", sha(bad.text))
    killed = between(reader, "demo", "seed", "c001", read)
    assert (killed.flips, killed.note) == (
        None,
        "no train task of demo has trials of both that a decision rests on",
    ), "a spot-check's tasks were picked because they failed"
    with pytest.raises(
        UserError, match="c002 of demo has no harness: it is failed; `lorimer log --study demo` says why"
    ):
        named(reader, "demo", "c002", read)
    with pytest.raises(
        UserError, match="c003: neither a harness of demo nor a file; name one of: seed, champion, c001;"
    ):
        named(reader, "demo", "c003", read)
