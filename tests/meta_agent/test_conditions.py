"""What the trials of two arms ran under, and who is told where it differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.conditions import arm, compared, difference
from lorimer.meta_agent.reports.audit import verify
from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import Decided
from lorimer.sandbox.base import PulledImage
from lorimer.task_agent.spec import Nop
from lorimer.terminal.listing import log, status, status_text
from lorimer.traces.reading.bulk import Ran
from lorimer.traces.schema import Conditions, PlannedTrial
from tests.meta_agent.test_loop import Bench, config, make_bench, script
from tests.support.dice_trials import Killed
from tests.support.trials import make_task, open_provider, play

BEFORE = Conditions(8, ("sha256:a",), ("gpt-x-2026-05-01",))
AFTER = Conditions(25, ("sha256:b",), ("gpt-x-2026-09-01",))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


# ---- words


@pytest.mark.parametrize(
    ("champion", "candidate", "said"),
    [
        ([BEFORE], [BEFORE], ""),
        ([], [BEFORE], ""),
        ([BEFORE], [], ""),
        ([BEFORE], [replace(BEFORE, concurrency=25)], "the champion's trials ran at concurrency 8, these at 25"),
        (
            [BEFORE],
            [BEFORE, replace(BEFORE, concurrency=25)],
            "the champion's trials ran at concurrency 8, these at 8 and 25",
        ),
        (
            [BEFORE],
            [replace(BEFORE, answered=("gpt-x-2026-09-01",))],
            "the provider answered as gpt-x-2026-05-01 for the champion's trials and as gpt-x-2026-09-01 for these",
        ),
        (
            [BEFORE],
            [replace(BEFORE, answered=("a", "b", "c", "d", "e"))],
            "the provider answered as gpt-x-2026-05-01 for the champion's trials and as a, b, c and 2 more for these",
        ),
        ([BEFORE], [replace(BEFORE, answered=())], ""),
        ([BEFORE], [replace(BEFORE, images=("sha256:b",))], "1 task ran on another image"),
        (
            [BEFORE],
            [replace(AFTER, answered=())],
            "the champion's trials ran at concurrency 8, these at 25; 1 task ran on another image",
        ),
    ],
)
def test_a_difference_is_told_in_a_clause(champion: list[Conditions], candidate: list[Conditions], said: str) -> None:
    theirs, mine = (arm(Ran("t", 3, each) for each in side) for side in (champion, candidate))
    assert difference(theirs, mine) == said


def test_only_tasks_of_both_arms_can_have_other_images() -> None:
    theirs = arm([Ran("a", 1, BEFORE), Ran("b", 1, BEFORE), Ran("d", 1, BEFORE)])
    mine = arm(
        [Ran("a", 1, replace(BEFORE, images=("x",))), Ran("b", 1, BEFORE), Ran("c", 1, AFTER), Ran("d", 1, AFTER)]
    )
    assert difference(theirs, replace(mine, concurrency=(), answered=())) == "2 tasks ran on other images"


# ---- a study


async def study(bench: Bench, under: Callable[[PlannedTrial], Conditions], **tables: Any) -> list[Decided]:
    """A study whose second candidate is better, under these conditions; what was told of its decisions."""
    asked = config(budget={"candidates": 3}, **tables)
    with bench.parts(script("NULL", "GOOD", "NULL"), asked, under=under) as (parts, _, recorder):
        await bench.create(parts)
        await optimize(parts, "demo")
    return [event for event in recorder.events if isinstance(event, Decided)]


def later(planned: PlannedTrial) -> Conditions:
    """From candidate 2 on all is different."""
    return AFTER if any(f"/c00{number}/" in planned.evaluation + "/" for number in (2, 3)) else BEFORE


ALL = (
    "the champion's trials ran at concurrency 8, these at 25; the provider answered as gpt-x-2026-05-01 for the champion's "
    "trials and as gpt-x-2026-09-01 for these; "
)


async def test_people_are_told_where_arms_differ_and_no_decision_holds_a_word_of_it(
    bench: Bench, tmp_path: Path
) -> None:
    other = make_bench(tmp_path / "other")
    told, same = await study(bench, later), await study(other, lambda planned: BEFORE)
    reader = bench.reader()
    assert [(event.candidate, event.stage) for event in told if event.conditions] == [
        ("demo/c002", "spot"),
        ("demo/c002", "full"),
    ]
    assert all(event.conditions.startswith(ALL) for event in told if event.conditions)
    assert next(e for e in told if (e.candidate, e.stage) == ("demo/c002", "full")).conditions.endswith(
        "tasks ran on other images"
    )
    assert not [event for event in same if event.conditions]
    # What was decided, and what the meta-agent was told, is the same as without.
    assert [event.decision for event in told] == [event.decision for event in same]
    assert bench.told() == other.told()
    assert [row.reason for row in reader.decisions("demo")] == [row.reason for row in other.reader().decisions("demo")]

    row = reader.study("demo")
    lines = experiments.render(log(reader, row)).splitlines()
    assert sum(ALL in line for line in lines) == 2
    assert "against the champion's" in next(line for line in lines if line.startswith("c002"))
    assert ALL not in next(line for line in lines if line.startswith("c002"))
    json.dumps([each.conditions for entry in log(reader, row).entries for each in entry.verdicts])
    assert "conditions" not in status_text(status(reader, row, bench.root)), "the newest candidate met its like"
    card = evidence_card(reader, "demo")
    assert "| trials at once | 8 (" in card
    assert "| task model as answered | `gpt-x-2026-05-01` (" in card
    assert "| `sha256:a` |" in card
    assert "| `sha256:b` |" in card
    assert "Not all trials of a task ran on the same: " in card
    assert card.count(ALL) == 2
    quiet = evidence_card(other.reader(), "demo")
    assert "| trials at once | 8 |" in quiet
    assert "| task model as answered | `gpt-x-2026-05-01` |" in quiet
    assert "Not all trials" not in quiet


async def test_status_tells_of_the_newest_candidate(bench: Bench) -> None:
    await study(bench, lambda planned: AFTER if "/c003/" in planned.evaluation + "/" else BEFORE)
    said = status_text(status(bench.reader(), bench.reader().study("demo"), bench.root))
    assert "\n  conditions  c003, spot: the champion's trials ran at concurrency 8, these at 25; the provider " in said


async def test_trials_side_by_side_are_compared_with_each_other(bench: Bench) -> None:
    """The champion's other trials ran under other conditions long ago."""
    told = await study(
        bench, lambda planned: BEFORE if "baseline" in planned.evaluation else AFTER, gate={"champion": "interleaved"}
    )
    assert {event.stage for event in told if event.conditions} == {"spot"}


async def test_a_pooled_comparison_knows_the_withstood_and_the_confirmation(bench: Bench) -> None:
    told = await study(bench, later, gate={"policy": "pooled"})
    reader = bench.reader()
    world = scan(reader, "demo")
    full = next(row for row in world.decisions.values() if row.id == "demo/c002/full")
    behind = compared(world, full)
    assert behind is not None
    assert "demo/c001/full" in behind.standing
    assert [e.stage for e in told if e.conditions and e.candidate == "demo/c002"] == [
        "spot",
        "full",
        "audit",
    ]


async def test_a_study_resumed_under_another_concurrency_keeps_both(bench: Bench) -> None:
    asked = config(budget={"candidates": 1})
    with bench.parts(script("NULL"), asked, fail_after=10, under=lambda planned: BEFORE) as (parts, _, _):
        await bench.create(parts)
        with pytest.raises(Killed):
            await optimize(parts, "demo")
    with bench.parts(script("NULL"), asked, under=lambda planned: replace(BEFORE, concurrency=25)) as (
        parts,
        _,
        recorder,
    ):
        await optimize(parts, "demo")
    reader = bench.reader()
    found = reader.conditions(["demo/baseline/baseline"])["demo/baseline/baseline"]
    counts = {number: sum(ran.trials for ran in found if ran.under.concurrency == number) for number in (8, 25)}
    assert counts == {8: 10, 25: 18}
    (full,) = [e for e in recorder.events if isinstance(e, Decided) and e.stage == "full"]
    assert full.conditions == "the champion's trials ran at concurrency 8 and 25, these at 25"
    assert all(not check.problems for check in verify(bench.root, reader).checks if check.what != "benchmark")


# ---- images


@pytest.mark.docker
async def test_a_name_that_was_given_to_another_image_is_found_out(tmp_path: Path) -> None:
    """What a registry does to `:latest`, or a clean-up to an image that is then built anew."""
    import docker

    engine, name, ends = docker.APIClient(), "lorimer-test-conditions:latest", list[Conditions]()
    try:
        for image in ("debian:bookworm", "python:3.12-slim", "python:3.12-slim"):
            engine.tag(image, "lorimer-test-conditions", "latest", force=True)
            provider = open_provider("docker")
            try:
                ends.append((await play(provider, make_task(tmp_path, image=PulledImage(name)), Nop())).end.conditions)
            finally:
                await provider.close()
    finally:
        engine.remove_image(name)
        engine.close()
    first, second, third = (arm([Ran("task", 1, each)]) for each in ends)
    assert difference(first, second) == "1 task ran on another image"
    assert difference(second, third) == ""
