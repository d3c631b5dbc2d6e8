"""A study on PostgreSQL that is killed twice decides what the same study on SQLite decides, undisturbed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import process, start
from tests.crash.support import Straight, finished, make_workspace, outcome, twin
from tests.support import postgresql

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap]

TRIALS = 200


@pytest.mark.timeout(1800)
def test_killed_twice_it_decides_as_on_sqlite(tmp_path: Path) -> None:
    pristine = make_workspace(tmp_path / "pristine", "benchmark.limit=20", "budget.candidates=4", "gate.repeats=2")
    straight = twin(pristine, "straight")
    assert process("optimize", "--quiet", "-C", straight).code == 0
    assert len(finished(straight)) >= TRIALS
    for server in postgresql.running():
        url = server.empty()
        root = in_store(twin(pristine, "on-postgresql"), url)
        for command, trials in (("optimize", TRIALS // 3), ("resume", 2 * TRIALS // 3)):
            running = start(command, "--quiet", "-C", root)
            while running.poll() is None and done(url) < trials:
                time.sleep(0.05)
            assert running.poll() is None
            running.kill()
            running.communicate()
        said = process("resume", "--quiet", "-C", root)
        assert said.code == 0, said
        assert outcome(root) == outcome(straight)
        assert done(url) >= TRIALS
        assert process("verify", "-C", root).code == 0


@pytest.mark.timeout(600)
def test_a_server_that_goes_away_stops_it_with_one_line_and_nothing_is_lost(straight: Straight) -> None:
    for server in postgresql.running():
        url = server.empty()
        root = in_store(twin(straight.pristine, "server-gone"), url)
        running = start("optimize", "--quiet", "-C", root)
        while running.poll() is None and done(url) < 6:
            time.sleep(0.05)
        server.kill()
        _, said = running.communicate(timeout=120)
        assert running.returncode in (1, 2), said
        assert "the trace store postgresql+psycopg://postgres@/store0" in said
        assert len([line for line in said.splitlines() if line.startswith("lorimer: ")]) == 1, said
        assert "Traceback" not in said
        gone = process("status", "-C", root)
        assert (gone.code, len(gone.err.splitlines())) == (2, 1), gone
        server.start()
        before = done(url)
        assert before >= 6
        assert process("resume", "--quiet", "-C", root).code == 0
        assert outcome(root) == outcome(straight.root)
        assert process("verify", "-C", root).code == 0


def in_store(root: Path, url: str) -> Path:
    """The workspace, its store at a URL."""
    file = root / "lorimer.toml"
    file.write_text(f'{file.read_text()}\n[store]\nurl = "{url}"\n')
    return root


def done(url: str) -> int:
    """How many trials of the study have finished; none before there is one."""
    try:
        return StoreReader(url).spent("study-1").trials
    except LorimerError:
        return 0
