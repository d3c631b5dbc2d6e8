"""`lorimer compare` and `lorimer power --pairings` as a user types them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.pairings.turns import SearchTurns
from tests.cli.support import configure, process, refused, start, typed
from tests.crash.support import killed, progress, scored_twice, twin

TWO = "simulated/apprentice,simulated/expert"


def test_power_tells_what_a_grid_could_detect_and_its_share(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ("--pairings", "--task", TWO, "--meta", TWO, "--trials", 800, "-C", workspace)
    said = typed(capsys, "power", *grid, "--json")
    assert said.code == 0, said
    found = said.json()
    assert (found["cells"], found["searches"], found["share"]["each"]) == (4, 2, 100)
    assert [each["gain"] for each in found["detectable"]] == [0.05, 0.1]
    assert all(each["half"] > 0 for each in found["detectable"])
    said = typed(capsys, "power", *grid, "--searches", 1)
    assert "4 pairings, one search each, " in said.out
    assert "800 trials in all: 200 trials for each search" in said.out
    assert "one search per pairing does not tell how much searches differ by luck" in said.out


def test_options_of_a_grid_are_refused_without_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "power", "-C", workspace, "--task", TWO, "--usd", 3)
    assert said == "lorimer: --task, --usd: only --pairings takes them"
    said = refused(capsys, 2, "power", "--pairings", "-C", workspace)
    assert "pairings.toml: no such file, and no option names models; write one (docs/pairings.md)" in said


GRID = ("--task", TWO, "--meta", TWO, "--searches", 1, "--transfer", "--trials", 816)
"""Four searches of a candidate each: 200 trials per search, and 16 for winners under the other model."""


@pytest.fixture
def small(workspace: Path, bubblewrap: None) -> Path:
    configure(workspace, "gate.alpha=0.49", "gate.holdout_repeats=2")
    return workspace


def searches(root: Path) -> list[tuple[object, ...]]:
    """What every search came to, without what it was spent on: attempts that a kill ended are paid for."""
    found = typed_json(root)
    kept = ("study", "state", "gains", "candidates", "promoted", "first", "predictions", "fired")
    return [tuple(json.dumps(each[key], sort_keys=True) for key in kept) for each in found["searches"]]


def typed_json(root: Path) -> dict[str, Any]:
    said = process("compare", "-C", root, *GRID, "--report", "--json")
    assert said.code == 0, said
    result: dict[str, Any] = said.lines()[-1]["result"]
    return result


@pytest.mark.hostile  # two grids of whole studies: a minute and a half on a quiet machine
@pytest.mark.timeout(900)
def test_a_grid_that_is_killed_and_gone_on_with_ends_as_one_that_was_not(small: Path) -> None:
    other = twin(small, "killed")
    page, text = small.parent / "page.html", small.parent / "page.md"
    said = process("compare", "-C", small, *GRID, "--quiet", "--html", page, "--markdown", text)
    assert said.code == 0, said
    assert "Cannot tell: " in said.out
    assert "with one search of each pairing nobody knows" in said.out
    assert "The models are simulated" in said.out
    assert all(each[1] == '"finished"' and each[2] != "null" for each in searches(small))

    steps = progress(small)
    for share in (0.3, 0.7):
        killed(start("compare", "-C", other, *GRID, "--quiet"), other, int(share * steps), 0.1)
    again = process("compare", "-C", other, *GRID, "--quiet")
    assert again.code == 0, again
    assert searches(other) == searches(small)
    found = typed_json(small)
    assert (typed_json(other)["contrast"], typed_json(other)["transfers"]) == (found["contrast"], found["transfers"])
    assert len(found["transfers"]) == sum(each["promoted"] > 0 for each in found["searches"]) > 0
    assert scored_twice(other) == []

    for root in (small, other):
        assert process("verify", "-C", root).code == 0
        log = subprocess.run(
            ["git", "log", "--all", "--format=%s"], cwd=root, capture_output=True, text=True, check=True
        )
        assert len(log.stdout.splitlines()) == 1, "no search touches a branch"
    assert process("status", "--study", "pairs-apprentice.expert-1", "-C", small).code == 0
    written = page.read_text()
    assert "<svg" in written
    assert "<script" not in written
    assert "http" not in written
    assert "| simulated/apprentice | same |" in text.read_text()


@pytest.mark.timeout(600)
def test_what_a_grid_began_with_is_kept(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "compare", "-C", small, *GRID, "--report")
    assert said
    running = start("compare", "-C", small, *GRID, "--quiet")
    killed(running, small, 5, 0.0)
    said = refused(capsys, 2, "compare", "-C", small, *GRID, "--set", "gate.alpha=0.2")
    assert "pairs-apprentice.apprentice-1 began with gate.alpha = 0.49, and now it would be 0.2; put it back" in said
    said = refused(capsys, 2, "compare", "-C", small, "--task", TWO, "--meta", TWO, "--searches", 1, "--trials", 900)
    assert "began with budget.trials = 192, and now it would be 217" in said
    harness = small / "harness" / "agent.py"
    harness.write_text(harness.read_text() + "\n# another\n")
    subprocess.run(["git", "commit", "-qam", "another"], cwd=small, check=True)
    said = refused(capsys, 2, "compare", "-C", small, *GRID)
    assert "and the workspace's is another; put it back, or begin another grid with --name" in said


def test_a_grid_that_cannot_begin_says_why(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "compare", "-C", small, *GRID[:-1], 40)
    assert "budget.trials: 40 for 4 searches leave 6 trials each" in said
    said = refused(capsys, 2, "compare", "-C", small, "--task", "simulated/nobody", "--meta", TWO, "--trials", 800)
    assert "no such model: simulated/nobody" in said
    said = refused(capsys, 2, "compare", "-C", small, *GRID, "--set", "split.holdout=0")
    assert "split.holdout: a grid is judged on sealed tasks, and none is sealed" in said
    said = refused(capsys, 2, "compare", "-C", small, *GRID, "--set", "executor.kind=ray")
    assert 'a grid opens them for all its searches; set it to "local"' in said
    said = refused(capsys, 2, "compare", "-C", small, *GRID, "--set", "budget.meta.usd=1")
    assert said.startswith(
        "lorimer: budget.meta.usd: a bound of one study, and a grid has one budget for all its searches"
    )


async def test_searches_take_turns_by_their_candidates() -> None:
    order: list[tuple[str, int]] = []
    turns = SearchTurns(["a", "b", "c"])

    async def search(name: str, candidates: int, first: int = 0) -> None:
        for number in range(first, candidates + 1):
            await turns.ask(name, number)
            order.append((name, number))
            await asyncio.sleep(0)
        turns.leave(name)

    await asyncio.gather(search("a", 2), search("b", 3), search("c", 2, first=2))
    assert [number for _, number in order] == sorted(number for _, number in order)
    assert order[:4] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert order[-1] == ("b", 3)
