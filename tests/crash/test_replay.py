"""A study with replay, and one without: neither depends on concurrency, and the second holds nothing of replay."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.meta_agent.study.workspace import STORE
from tests.cli.support import process
from tests.crash.support import make_workspace, outcome, twin

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Workspaces of the same study: with replay at two concurrencies, and without."""
    pristine = make_workspace(tmp_path_factory.mktemp("replay") / "pristine")
    ways = {
        "one at once": ("sandbox.concurrency=1",),
        "four at once": ("sandbox.concurrency=4",),
        "off": ("replay.enabled=false",),
    }
    found = {}
    for name, settings in ways.items():
        found[name] = twin(pristine, name.replace(" ", "-"))
        options = [word for setting in settings for word in ("--set", setting)]
        said = process("optimize", "--quiet", "-C", found[name], *options)
        assert said.code == 0, said
    return found


def test_with_replay_concurrency_changes_no_decision(studies: dict[str, Path]) -> None:
    one, four = outcome(studies["one at once"]), outcome(studies["four at once"])
    assert one == four
    assert previews(studies["one at once"]) > 0, "no edit was previewed"


def test_without_replay_nothing_is_read_from_a_record(studies: dict[str, Path]) -> None:
    """Trials keep their records all the same: what is switched on later finds them."""
    root = studies["off"]
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
