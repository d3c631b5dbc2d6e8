"""What edits did is stored as their study goes on, and is what anybody would find who read all of their trials."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import Config
from lorimer.harness.version import Hunk, apply_edit
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.effects import effects, unstored
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.reports.promotions import promotions
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.traces.effects import Effect, TaskChanges
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import LinesRan, PlannedTrial, Stage
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_loop import HOLDOUT, Bench, make_bench
from tests.meta_agent.test_pooled import pooled
from tests.meta_agent.test_rounds import failed_by
from tests.support.dice_trials import Killed

PLACES = "".join(f"    # place {number}\n" for number in range(1, 13))
SEED = f"def solve(task, env, llm):\n{PLACES}    return ''\n"
MARKS = {1: "NULL", 2: "GOOD", 3: "none", 4: "GOOD", 5: "GOOD", 6: "NULL", 7: "BAD"}


async def propose(session: ProposalSession) -> Proposal | NoProposal:
    """Each edit is a statement at a place of its own."""
    mark, search = MARKS.get(session.number, "NULL"), f"    # place {session.number}\n"
    if mark == "none":
        return NoProposal("the model answered with a poem")
    hunk = Hunk(search, f"    word = '{mark} of {session.number}'\n")
    return Proposal(mark, "It should help.", (hunk,), ("t07", "t08"), (), apply_edit(session.harness, [hunk]))


class Unaided(StoreReader):
    """Finds no effect, as in a store of an older lorimer."""

    def effects(self, candidates: Sequence[str]) -> dict[str, Effect]:
        return {}


def errs(text: str, planned: PlannedTrial) -> float | None:
    """The easy tasks are always solved, and each `GOOD` lifts the others; one trial of a full run errors, however often it is
    tried."""
    if planned.stage is Stage.FULL and (planned.task, planned.repeat) == ("t05", 0):
        return None
    if "BAD" in text:
        return 0.0
    return 1.0 if int(planned.task[1:]) % 14 < 4 else min(1.0, 0.3 * text.count("GOOD"))


def lines(text: str, planned: PlannedTrial) -> LinesRan | None:
    """The lines of an edit run on every other task alone, and of one task not all is told."""
    even = int(planned.task[1:]) % 2 == 0
    return LinesRan.of("1-9" if even else "9", planned.task != "t06")


def settings(width: int, candidates: int = 7, **overrides: Any) -> Config:
    return pooled(budget={"candidates": candidates}, search={"width": width}, **overrides)


async def go_on(bench: Bench, chosen: Config, *, first: bool = False, **dice: Any) -> None:
    with bench.parts(propose, chosen, errs, ran_of=lines, failed_by=failed_by, **dice) as (parts, _, _):
        if first:
            await bench.create(parts)
        await optimize(parts, "demo")


def stored(bench: Bench) -> dict[str, Effect]:
    reader = bench.reader()
    return reader.effects([row.id for row in reader.candidates("demo")])


def found(bench: Bench, retries: int = 2) -> dict[str, dict[str, Any]]:
    """What their trials tell, in every detail."""
    reader = Unaided(bench.root / bench.store)
    rows = reader.candidates("demo")
    return in_detail(unstored(reader, scan(reader, "demo"), rows, retries))


def in_detail(told: dict[str, Effect]) -> dict[str, dict[str, Any]]:
    return {name: each.as_json() for name, each in told.items()}


def told_to_people(reader: StoreReader) -> str:
    world = scan(reader, "demo")
    promoted = [row for row in reader.candidates("demo") if row.state == "promoted"]
    log = experiments.read(reader, world, 2)
    return f"{experiments.render(log)}{experiments.for_meta_agent(log).everything}{promotions(reader, promoted, world)}"


def same_told(bench: Bench) -> bool:
    place = bench.root / bench.store
    return told_to_people(StoreReader(place)) == told_to_people(Unaided(place))


def seeded(root: Path) -> Bench:
    made = replace(make_bench(root), seed=SEED)
    (root / "harness" / "agent.py").write_text(SEED)
    made.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "seed")
    return made


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A study that has ended: a round of four of which two were good, the other of them rebased, and one more round."""
    made = seeded(tmp_path_factory.mktemp("done") / "work")
    asyncio.run(go_on(made, settings(4), first=True, width=3))
    return made


@pytest.fixture
def bench(done: Bench, tmp_path: Path) -> Bench:
    """A copy of it, to be gone on with."""
    shutil.copytree(done.root, tmp_path / "work")
    return replace(done, root=tmp_path / "work")


def test_every_decided_full_run_has_its_effect_stored_at_a_studys_end(done: Bench) -> None:
    world, kept = scan(done.reader(), "demo"), stored(done)
    assert {"rebased", "promoted", "rejected", "failed"} <= {each.state for each in world.candidates}
    assert kept.keys() == {each.id for each in world.candidates if world.decided(each.id, Stage.FULL)}
    assert in_detail(kept) == found(done)
    assert any(len(each.met) > 1 for each in kept.values()), "confirmations add to the champion's trials"
    assert any(each.changes.better for each in kept.values())
    assert any(hunk.fired for each in kept.values() for hunk in each.fired.hunks)
    assert same_told(done)
    names = {name for each in kept.values() for name in each.fired.tasks}
    assert names
    assert not names & set(HOLDOUT)


async def test_a_study_that_is_killed_tells_nothing_stale_and_ends_with_the_same(done: Bench, tmp_path: Path) -> None:
    killed, partly = seeded(tmp_path / "killed"), 0
    for attempt in range(100):
        try:
            await go_on(killed, settings(4), first=attempt == 0, width=4, order=attempt, fail_after=137)
        except Killed:
            assert same_told(killed)
            partly += 0 < len(stored(killed)) < len(stored(done))
        else:
            break
    assert partly
    assert in_detail(stored(killed)) == in_detail(stored(done))
    assert killed.log() == done.log()


async def test_of_a_round_that_waits_for_a_person_nothing_is_stored_yet(tmp_path: Path) -> None:
    waiting = seeded(tmp_path / "waiting")
    await go_on(waiting, settings(4, review={"required": True}), first=True, width=3)
    reader = waiting.reader()
    world = scan(reader, "demo")
    assert world.round is not None
    assert effects(reader, world, reader.candidates("demo"), 2)
    assert stored(waiting) == {}
    assert same_told(waiting)


async def test_a_study_of_which_nothing_was_stored_fills_it_in_when_it_goes_on(bench: Bench) -> None:
    before = in_detail(stored(bench))
    with closing(sqlite3.connect(bench.root / bench.store)) as connection, connection:
        connection.execute("DELETE FROM effect")
    assert stored(bench) == {}
    await go_on(bench, settings(4))
    assert in_detail(stored(bench)) == before


async def test_what_was_read_from_other_trials_is_worked_out_anew(bench: Bench) -> None:
    kept = stored(bench)
    confirmed = next(name for name, each in kept.items() if len(each.met) > 1)
    stale = replace(kept[confirmed], met=kept[confirmed].met[:1], changes=TaskChanges(("t00",), ("t01",)))
    with Store.open(bench.root / bench.store) as store:
        await store.set_effects({confirmed: stale})
    assert same_told(bench)
    await go_on(bench, settings(4))
    assert stored(bench) == kept, "and a study that goes on stores it anew"


async def test_another_number_of_retries_asks_the_trials_again(bench: Bench) -> None:
    reader = bench.reader()
    rows, world = reader.candidates("demo"), scan(reader, "demo")
    asked = {f"demo/c{number:03}": each for number, each in effects(reader, world, rows, 5).items()}
    assert in_detail(asked) == found(bench, 5) != found(bench)
    await go_on(bench, settings(4, retries={"errored": 5}))
    assert in_detail(stored(bench)) == in_detail(asked)
