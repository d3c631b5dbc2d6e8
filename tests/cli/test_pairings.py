"""`lorimer compare` and `lorimer power --pairings` as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import refused, typed

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
    assert "800 trials in all: 200 trials for each search" in said.out
    assert "one search a cell does not tell how much searches differ by luck" in said.out


def test_options_of_a_grid_are_refused_without_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "power", "-C", workspace, "--task", TWO, "--usd", 3)
    assert said == "lorimer: --task, --usd: only --pairings takes them"
    said = refused(capsys, 2, "power", "--pairings", "-C", workspace)
    assert "pairings.toml: no such file, and no option names models; write one (docs/pairings.md)" in said
