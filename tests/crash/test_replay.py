"""A study with replay, and one without: neither depends on concurrency, and the second holds nothing of replay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from tests.cli.support import process
from tests.crash.support import make_workspace, outcome, twin

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(900)]
"""Whole studies, which take a minute each where seven others work on the same two cores."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("replay") / "pristine")


def studied(pristine: Path, name: str, setting: str) -> Path:
    """A workspace after its study."""
    root = twin(pristine, name)
    said = process("optimize", "--quiet", "-C", root, "--set", setting)
    assert said.code == 0, said
    return root


@pytest.mark.hostile
def test_with_replay_concurrency_changes_no_decision(pristine: Path) -> None:
    one, four = (studied(pristine, f"at-once-{n}", f"sandbox.concurrency={n}") for n in (1, 4))
    assert outcome(one) == outcome(four)
    assert previews(one) > 0, "no edit was previewed"


@pytest.mark.hostile  # with a promotion and its audits; the next one is the short form
def test_where_one_promotes_without_replay_nothing_is_read_from_a_record(pristine: Path) -> None:
    nothing_is_read_from_a_record(studied(pristine, "off", "replay.enabled=false"))


def test_without_replay_nothing_is_read_from_a_record(workspace: Path, bubblewrap: None) -> None:
    """Trials keep their records all the same: what is switched on later finds them."""
    with_replay = studied(workspace, "on", "replay.enabled=true")
    assert previews(with_replay) > 0, "no edit was previewed"
    nothing_is_read_from_a_record(studied(workspace, "off", "replay.enabled=false"))


def nothing_is_read_from_a_record(root: Path) -> None:
    assert previews(root) == 0
    with closing(sqlite3.connect(root / STORE)) as store:
        (touched,) = store.execute("SELECT count(*) FROM candidate WHERE touches IS NOT NULL").fetchone()
        (records,) = store.execute("SELECT count(*) FROM record").fetchone()
        said = " ".join(text for (text,) in store.execute("SELECT text FROM step WHERE kind = 'model_call'"))
    assert touched == 0
    assert records > 0
    assert "recorded trial" not in said


def previews(root: Path) -> int:
    with closing(sqlite3.connect(root / STORE)) as store:
        (count,) = store.execute("SELECT count(*) FROM preview").fetchone()
    return int(count)
