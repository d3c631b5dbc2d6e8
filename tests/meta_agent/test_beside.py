"""What happens beside a study in its workspace is noticed and said: another study, and a branch that lost the champion."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.study.people.beside import departed, others_at_work
from lorimer.meta_agent.workspace.events import BranchDiffers, Event, Promoted
from lorimer.terminal import listing
from lorimer.traces.tables import StudyRow
from tests.meta_agent.test_loop import SEED, Bench, config, make_bench, script

PROMOTED = tuple(CandidateView(f"demo/c00{n}", n, "promoted", "seed", sha) for n, sha in ((1, "one"), (2, "two")))
UNTOUCHED = World("demo", 0, "seed", ("a",), ("b",))
WORLD = UNTOUCHED.with_all(PROMOTED, ())


def study(name: str, holder: str, kind: str = "optimize") -> StudyRow:
    return StudyRow(
        id=name,
        kind=kind,
        created="",
        state="running",
        seed=0,
        task_model="m/t",
        meta_model="m/t",
        benchmark="b",
        suite_digest="",
        config={},
        seed_harness="seed",
        holder=holder,
        held_since="2026-01-01T08:00:00+00:00",
    )


def test_what_the_branch_holds_in_place_of_the_champion_is_named() -> None:
    assert departed(WORLD, "two", "lorimer/demo") == ""
    assert departed(WORLD, "one", "lorimer/demo").startswith(
        "the branch holds c001, an earlier champion, where this study's champion is c002: "
    )
    assert departed(WORLD, "seed", "lorimer/demo").startswith("the branch holds the seed harness, where")
    assert departed(WORLD, "mine", "lorimer/demo").startswith(
        "the branch holds a harness that this study did not promote, where"
    )
    assert departed(WORLD, "", "lorimer/demo").startswith("the branch holds no harness, where")
    assert departed(WORLD, "one", "lorimer/demo").endswith(
        "The study goes on from its champion, and promotes to the branch lorimer/demo"
    )
    assert departed(UNTOUCHED, "seed", "lorimer/demo") == ""
    assert "where this study's champion is the seed harness: " in departed(UNTOUCHED, "mine", "lorimer/demo")


def test_a_second_study_is_told_of_the_one_at_work() -> None:
    living, dead = f"{socket.gethostname()}:{os.getpid()}:0", f"{socket.gethostname()}:999999999:1"
    said = others_at_work([study("one", living), study("two", "")], "two", "lorimer/two")
    assert said == (
        f"another study is at work in this workspace: one by process {os.getpid()} on this machine since 2026-01-01 08:00:00 "
        "UTC. Both promote to the same file: whichever finds that the other has changed it leaves it alone and promotes to a "
        "branch of its own, here lorimer/two"
    )
    assert (
        others_at_work([study("one", dead), study("run-1", living, "run"), study("two", living)], "two", "lorimer/two")
        == ""
    )


async def test_a_promotion_that_was_reverted_is_noticed_once(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "work")
    events: list[Event] = []

    class Reverting:
        """The user reverts the first promotion as soon as they see it."""

        def on_event(self, event: Event) -> None:
            events.append(event)
            if isinstance(event, Promoted) and not event.note:
                bench.git("-c", "user.name=u", "-c", "user.email=u@x", "revert", "--no-edit", "HEAD")

    with bench.parts(script("GOOD", "NULL", "NULL"), config(budget={"candidates": 3})) as (parts, _, _):
        await bench.create(parts)
        await optimize(replace(parts, progress=Reverting()), "demo")
    said = [event.said for event in events if isinstance(event, BranchDiffers)]
    assert len(said) == 1
    assert said[0].startswith("the branch holds the seed harness, where this study's champion is c001: ")
    assert (bench.root / "harness" / "agent.py").read_text() == SEED
    reader = bench.reader()
    status = listing.status(reader, reader.study("demo"), bench.root)
    assert f"  branch      {said[0]}" in listing.status_text(status).splitlines()


async def test_a_branch_that_holds_the_champion_is_nothing_to_tell(tmp_path: Path) -> None:
    bench: Bench = make_bench(tmp_path / "work")
    with bench.parts(script("GOOD", "NULL"), config(budget={"candidates": 2})) as (parts, _, recorder):
        await bench.create(parts)
        await optimize(parts, "demo")
    assert not [event for event in recorder.events if isinstance(event, BranchDiffers)]
    reader = bench.reader()
    assert listing.status(reader, reader.study("demo"), bench.root).branch == ""
    assert (
        listing.status(reader, reader.study("demo"), tmp_path).branch == ""
    )  # no repository, so no branch to speak of
