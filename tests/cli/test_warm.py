"""Commands for which a process is forked that has its imports behind it: nobody can tell them from those that were started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import LORIMER, process, start
from tests.support.warm import Forked

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere every command is started")


@pytest.mark.parametrize(
    "command",
    [("--help",), ("status",), ("init", "{folder}"), ("no-such-command",), ("benchmarks", "ls", "starter")],
    ids=lambda command: command[0],
)
def test_a_forked_command_says_and_ends_as_a_started_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """In the folder of whoever asks, in their environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "101")
    forked = process(*(word.format(folder="work") for word in command))
    if command[0] == "init":
        (tmp_path / "work").rename(tmp_path / "first")
    started = subprocess.run(
        [*LORIMER, *(word.format(folder="work") for word in command)], capture_output=True, text=True, check=False
    )
    assert (forked.code, forked.out, forked.err) == (started.returncode, started.stdout, started.stderr)


def test_a_forked_command_has_a_session_of_its_own_and_dies_of_a_signal(tmp_path: Path) -> None:
    pipe = tmp_path / "lorimer.toml"
    os.mkfifo(pipe)  # whoever reads it waits
    running = start("status", "-C", tmp_path)
    assert isinstance(running, Forked)
    assert os.getsid(running.pid) == running.pid != os.getsid(0)
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    assert running.communicate() == ("", "")
    assert running.returncode == running.wait() == -signal.SIGKILL


def test_what_an_interpreter_reads_when_it_starts_is_given_to_a_fresh_one(tmp_path: Path) -> None:
    running = start("status", "-C", tmp_path, environment={"PYTHONUTF8": "0"})
    running.communicate()
    assert isinstance(running, subprocess.Popen)
