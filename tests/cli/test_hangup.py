"""A terminal that is closed stops a study as Ctrl-C does; whoever ignores that works on without one."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import LORIMER, process, start_in_terminal
from tests.cli.test_stopping import finished, left_behind, stop_after
from tests.support.warm import Running

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow, pytest.mark.usefixtures("bubblewrap")]

STOPPED = "stopped by the user; `lorimer resume study-1` goes on"


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """What runs under nohup hands on that SIGHUP is ignored, these tests included."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Window:
    """A terminal with a running `lorimer`: what it prints is read, so that it never waits for that."""

    def __init__(self, program: Running, master: int) -> None:
        self.program, self.master, self.shown = program, master, b""

    def until(self, trials: int, root: Path) -> None:
        while len(finished(root)) < trials:
            assert self.program.poll() is None, self.shown
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 1 << 16)

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@contextmanager
def window(root: Path, temp: Path, *arguments: object) -> Iterator[Window]:
    master, slave = pty.openpty()
    program = start_in_terminal(slave, *arguments, "-C", root, environment={"TMPDIR": str(temp)})
    os.close(slave)
    opened = Window(program, master)
    try:
        yield opened
    finally:
        opened.close()
        if program.poll() is None:
            program.kill()
        program.wait()


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    return folder


def states(root: Path) -> set[str]:
    return {trial.state for trial in StoreReader(root / STORE).trials(limit=None)}


@pytest.mark.parametrize(("how", "mode"), [("closed", ()), ("closed", ("--quiet",)), ("Ctrl-C", ())])
def test_in_a_real_terminal_a_study_stops_cleanly(workspace: Path, temp: Path, how: str, mode: tuple[str, ...]) -> None:
    with window(workspace, temp, "optimize", *mode) as opened:
        opened.until(2, workspace)
        if how == "closed":
            opened.close()
        else:
            os.write(opened.master, b"\x03")
        assert opened.program.wait(60) == 130
    assert left_behind(temp) == []
    stopped = StoreReader(workspace / STORE).study("study-1")
    assert (stopped.state, stopped.state_reason) == ("paused", STOPPED)
    # What was under way is dropped, not counted against the sandboxes: those get no signal of the terminal's.
    assert states(workspace) <= {"scored", "cancelled"}
    kept = finished(workspace)
    assert len(kept) >= 2
    assert process("resume", "--quiet", "-C", workspace).code == 0
    assert kept.items() <= finished(workspace).items()


def test_sighup_alone_says_what_a_stop_says_though_it_comes_twice(workspace: Path, temp: Path) -> None:
    code, err = stop_after(2, workspace, signal.SIGHUP, "optimize", "--quiet", temp=temp, times=2)
    assert code == 130
    assert err == f"lorimer: stopped; what has finished is kept, and `lorimer resume study-1 -C {workspace}` goes on\n"
    assert left_behind(temp) == []
    assert StoreReader(workspace / STORE).study("study-1").state_reason == STOPPED


def test_whoever_ignores_sighup_works_on_without_a_terminal(workspace: Path, temp: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which what is started takes over
    with window(workspace, temp, "run") as opened:
        opened.until(1, workspace)
        opened.close()
        assert opened.program.wait(150) == 0
    assert StoreReader(workspace / STORE).study("run-1").state == "finished"


def test_under_nohup_a_run_is_not_hung_up(workspace: Path, temp: Path) -> None:
    running = subprocess.Popen(
        ["nohup", *LORIMER, "run", "--quiet", "-C", workspace],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temp)},
        start_new_session=True,
    )
    try:
        while not finished(workspace):
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGHUP)
        running.communicate()
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
    assert running.returncode == 0
    assert StoreReader(workspace / STORE).study("run-1").state == "finished"
