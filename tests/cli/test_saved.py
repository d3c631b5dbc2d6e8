"""What records saved stands beside what was spent, wherever that is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.wording import dollars
from tests.cli.support import Said, typed

SAVED = "$0.0250, 1,240 tokens and 6 s of waiting, by recorded answers in 2 trials"


@pytest.fixture
def replayed(used: tuple[Path, dict[str, Said]]) -> Path:
    """A workspace two of whose trials say that they went on from a record."""
    root = used[0]
    with closing(sqlite3.connect(root / STORE)) as store, store:
        two = "SELECT id FROM trial WHERE study = 'study-1' AND state = 'scored' ORDER BY id LIMIT 2"
        store.execute("UPDATE trial SET recorded_trial = ''")
        store.execute(
            "UPDATE trial SET recorded_trial = 'study-1/x', touch = 3, saved_calls = 2, saved_tokens = 620, "
            f"saved_usd = 0.0125, saved_seconds = 3.0 WHERE id IN ({two})"
        )
    return root


def test_status_log_and_card_say_what_was_saved(
    replayed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = typed(capsys, "status", "-C", replayed).out.splitlines()
    spent = next(place for place, line in enumerate(status) if line.startswith("  spent "))
    assert status[spent + 1] == f"  saved       {SAVED}"
    log = typed(capsys, "log", "-C", replayed).out
    assert f"; saved: {SAVED}\n" in log
    typed(capsys, "export", tmp_path / "winner", "-C", replayed)
    card = next((tmp_path / "winner").glob("*.md")).read_text()
    assert f"\n- saved beside that: {SAVED}\n" in card
    found = typed(capsys, "status", "-C", replayed, "--json").json()["saved"]
    assert (found["trials"], found["calls"], found["tokens"], found["seconds"]) == (2, 4, 1240, 6.0)
    assert found["known_usd"] == pytest.approx(0.025)
    assert typed(capsys, "log", "-C", replayed, "--json").json()["spent"]["saved"] == found


def test_where_nothing_was_saved_nothing_is_said(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(used[0] / STORE)) as store, store:
        store.execute("UPDATE trial SET recorded_trial = ''")
    assert "\n  saved" not in typed(capsys, "status", "-C", used[0]).out
    assert "saved:" not in typed(capsys, "log", "-C", used[0]).out


def test_status_tells_what_the_meta_agent_took_of_it(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its calls are in the same store as those of trials, and apart: they are a candidate's, and no list of trials has them."""
    root, _ = used
    with StoreReader(root / STORE) as reader:
        spent = reader.spent("study-1")
        assert reader.conversation("study-1/c001", 0).messages
    meta = spent.meta
    assert 0 < meta.tokens < spent.tokens
    said = typed(capsys, "status", "-C", root).out
    assert f"  meta-agent  {dollars(meta.known_usd)} and {meta.tokens} tokens of it, in {meta.calls} calls\n" in said
    found = typed(capsys, "status", "-C", root, "--json").json()["meta"]
    assert (found["tokens"], found["calls"]) == (meta.tokens, meta.calls)
    assert "You improve an AI agent" in typed(capsys, "traces", "show", "c001", "--full", "-C", root).out
    listed = typed(capsys, "traces", "ls", "-C", root, "--json").json()
    assert listed
    assert "study-1/c001" not in {line["id"] for line in listed}
