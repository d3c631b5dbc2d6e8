"""A study on PostgreSQL that is killed twice decides what the same study on SQLite decides, undisturbed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.traces.reader import StoreReader
from tests.cli.support import process, start
from tests.crash.support import Straight, outcome, twin
from tests.support import postgresql

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap]


@pytest.mark.timeout(600)
def test_killed_twice_it_decides_as_on_sqlite(straight: Straight) -> None:
    for server in postgresql.running():
        url = server.empty()
        root = in_store(twin(straight.pristine, "on-postgresql"), url)
        for command, trials in (("optimize", 6), ("resume", 25)):
            running = start(command, "--quiet", "-C", root)
            while running.poll() is None and finished(url) < trials:
                time.sleep(0.05)
            running.kill()
            running.communicate()
        said = process("resume", "--quiet", "-C", root)
        assert said.code == 0, said
        assert outcome(root) == outcome(straight.root)
        assert process("verify", "-C", root).code == 0


@pytest.mark.timeout(600)
def test_a_server_that_goes_away_stops_it_with_one_line_and_nothing_is_lost(straight: Straight) -> None:
    for server in postgresql.running():
        url = server.empty()
        root = in_store(twin(straight.pristine, "server-gone"), url)
        running = start("optimize", "--quiet", "-C", root)
        while running.poll() is None and finished(url) < 6:
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
        before = finished(url)
        assert before >= 6
        assert process("resume", "--quiet", "-C", root).code == 0
        assert outcome(root) == outcome(straight.root)
        assert process("verify", "-C", root).code == 0


def in_store(root: Path, url: str) -> Path:
    """The workspace, its store at a URL."""
    file = root / "lorimer.toml"
    file.write_text(f'{file.read_text()}\n[store]\nurl = "{url}"\n')
    return root


def finished(url: str) -> int:
    """How many trials of the study have finished; none before there is one."""
    try:
        return StoreReader(url).spent("study-1").trials
    except LorimerError:
        return 0
