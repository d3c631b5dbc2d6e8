"""Trials of sealed tasks while their study goes on: one rule in every reader for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.python.study import Study
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from tests.cli.support import Said, refused, typed


@pytest.fixture
async def going_on(used: tuple[Path, dict[str, Said]]) -> Path:
    """A workspace whose study is paused, with trials of sealed tasks."""
    root, _ = used
    with Store.open(root / STORE) as store:
        await store.set_study_state("study-1", "paused", "for a test")
    assert held(root)
    return root


def held(root: Path) -> set[str]:
    reader = StoreReader(root / STORE)
    return {trial.id for trial in reader.trials("study-1", stage="holdout", limit=None)}


def ids(said: Said) -> Iterator[str]:
    return (row["id"] for row in said.json())


async def test_a_listing_leaves_them_out_unless_they_are_asked_for(
    going_on: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = ("traces", "ls", "--study", "study-1", "--limit", 1000, "-C", going_on, "--json")
    plain = set(ids(typed(capsys, *every)))
    assert plain
    assert not plain & held(going_on)
    assert set(ids(typed(capsys, *every, "--sealed"))) == plain | held(going_on)
    assert set(ids(typed(capsys, *every, "--stage", "holdout"))) == set()
    in_all = set(ids(typed(capsys, "traces", "ls", "--all", "--limit", 1000, "-C", going_on, "--json")))
    assert plain < in_all
    assert not in_all & held(going_on)


async def test_one_is_not_shown_unless_it_is_asked_for(going_on: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = min(held(going_on))
    said = refused(capsys, 2, "traces", "show", name, "-C", going_on)
    assert said == (
        f"lorimer: {name} is of a sealed task, which people may steer by; it is told once study-1 has finished; --sealed shows "
        "it now"
    )
    assert typed(capsys, "traces", "show", name, "--sealed", "-C", going_on).code == 0


async def test_a_search_leaves_them_out_unless_they_are_asked_for(
    going_on: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("traces", "search", "a OR the OR python3 OR cat", "--limit", 10_000, "-C", going_on, "--json")
    plain = {row["owner"] for row in typed(capsys, *asked).json()}
    assert plain
    assert not plain & held(going_on)
    assert {row["owner"] for row in typed(capsys, *asked, "--sealed").json()} & held(going_on)


async def test_an_export_the_python_api_and_the_evidence_leave_them_out(
    going_on: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "trials.jsonl"
    done = typed(capsys, "traces", "export", "--to", "jsonl", "-o", out, "--study", "study-1", "-C", going_on, "--json")
    assert done.json()["sealed"] == len(held(going_on))
    assert not {json.loads(line)["trial"]["id"] for line in out.read_text().splitlines()} & held(going_on)
    assert not {each.trial for each in Study.open(going_on, "study-1").trial_list()} & held(going_on)
    assert typed(capsys, "export", tmp_path / "winner", "-C", going_on).code == 0
    told = json.loads((tmp_path / "winner" / "evidence.json").read_text())
    assert (told["holdout_baseline"]["score"], told["holdout_final"]) == (None, {})
    assert told["baseline"]["score"] is not None


async def test_sql_hides_nothing(going_on: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "traces", "sql", "SELECT id FROM trial WHERE stage = 'holdout'", "-C", going_on, "--json")
    assert set(ids(said)) == held(going_on)


def test_once_the_study_has_finished_all_are_told(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = used
    assert held(root) <= set(ids(typed(capsys, "traces", "ls", "--limit", 1000, "-C", root, "--json")))
    assert typed(capsys, "traces", "show", min(held(root)), "-C", root).code == 0
