"""However a run, a study or a resume ends, its whole output says so once: no sentence of the end stands twice."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, process, start, start_in_terminal, typed
from tests.support.tty import Tty

pytestmark = pytest.mark.bubblewrap

FEW = 3
"""Words of which a clause has more: `2 of 2 tried` may be said of several things."""
WIDE = 2000
"""Columns of a terminal in which no line is wrapped."""
DEAD = (
    "models.task=mine/m",
    "providers.mine.base_url=http://127.0.0.1:9/v1",
    "providers.mine.retry.window_seconds=0.1",
)
"""Settings of a provider that nobody answers for."""


def clauses(text: str) -> list[str]:
    """What stands between full stops, semicolons, colons and ends of lines, numbers left out as they differ; long ones only."""
    parts = re.split(r"[;\n]|[.:] ", text)
    told = [" ".join(re.sub(r"[\d.]+", "#", part).split()) for part in parts]
    return [part for part in told if len(part.split()) > FEW]


def assert_said_once(said: Said, root: Path, study: str) -> None:
    """No clause of the reason that is stored is told twice, and nothing else of the end is."""
    row = StoreReader(root / STORE).study(study)
    whole = said.out + said.err
    # What is said while trials run comes again and again, each time with other numbers.
    end = "".join(line for line in whole.splitlines(keepends=True) if not line.startswith("  ") or ": " not in line)
    assert {clause: number for clause, number in Counter(clauses(end)).items() if number > 1} == {}, whole
    for clause in filter(None, re.split(r"; |: ", row.state_reason.replace("`", ""))):
        # A key stands in the command as well, and a command names the workspace, from where the user is.
        if " " in clause and not clause.startswith("lorimer "):
            assert whole.replace("`", "").count(clause) <= 1, (clause, whole)
    assert whole.count("`lorimer resume") == row.state_reason.count("`lorimer resume"), whole


def test_what_was_done_or_ran_out_is_said_once(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, before = used
    assert_said_once(before["run"], root, "run-1")
    assert_said_once(before["optimize"], root, "study-1")
    assert_said_once(typed(capsys, "resume", "study-1", "-C", root), root, "study-1")
    said = typed(capsys, "optimize", "--set", "budget.trials=1", "-C", root)
    assert "budget.trials" in said.out
    assert_said_once(said, root, "study-2")
    assert_said_once(typed(capsys, "resume", "run-1", "-C", root), root, "run-1")


def in_a_terminal(*arguments: object) -> Said:
    """Run a command in a terminal that is wider than its lines: what is left on the screen at its end."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDE, 0, 0))
    running = start_in_terminal(inside, *arguments)
    os.close(inside)
    written = b""
    with suppress(OSError):  # a terminal that nobody holds any more
        while part := os.read(terminal, 1 << 16):
            written += part
    os.close(terminal)
    screen = Tty(WIDE)
    screen.write(written.decode())
    return Said(running.wait(), "\n".join(row.rstrip() for row in screen.rows) + "\n", "")


def test_the_end_is_said_once_on_a_live_screen(used: tuple[Path, dict[str, Said]]) -> None:
    root, _ = used
    said = in_a_terminal("run", "-C", root)
    assert (said.code, "finished" in said.out) == (0, True), said.out
    assert_said_once(said, root, "run-2")
    said = in_a_terminal("optimize", "--set", "budget.trials=1", "-C", root)
    assert "budget.trials" in said.out
    assert_said_once(said, root, "study-2")
    dead = [part for setting in DEAD for part in ("--set", setting)]
    for command, study in (("run", "run-3"), ("optimize", "study-3")):
        said = in_a_terminal(command, "-C", root, *dead)
        assert said.code == 1
        assert_said_once(said, root, study)


@pytest.mark.parametrize(("command", "study"), [("run", "run-1"), ("optimize", "study-1")])
def test_what_the_world_or_the_harness_stopped_is_said_once(
    workspace: Path, command: str, study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [part for setting in DEAD for part in ("--set", setting)]
    said = process(command, "-C", workspace, *arguments)
    assert said.code == 1
    assert_said_once(said, workspace, study)
    agent = workspace / "harness" / "agent.py"
    agent.write_text("def solve(task, env, llm):\n    return {}['lost']\n")
    subprocess.run(["git", "-C", workspace, "commit", "-qam", "broken"], check=True)
    said = typed(capsys, command, "-C", workspace)
    assert said.code == 1
    assert_said_once(said, workspace, study.replace("1", "2"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "optimize", "resume"])
def test_what_was_stopped_is_said_once(workspace: Path, command: str) -> None:
    study = "run-1" if command == "run" else "study-1"
    if command == "resume":
        assert process("optimize", "-C", workspace, "--set", "budget.trials=1").code == 0
    more = ("--set", "budget.trials=40") if command == "resume" else ()
    running = start(command, "-C", workspace, *more)
    while trials(workspace) < (2 if command == "resume" else 1):
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert running.returncode == 130, (out, err)
    said = f"lorimer: stopped; what has finished is kept, and `lorimer resume {study} -C {workspace}` goes on\n"
    assert err == said
    assert [clause for clause, number in Counter(clauses(out + err)).items() if number > 1] == []
    assert "stopped by" not in out


def trials(root: Path) -> int:
    try:
        return len(StoreReader(root / STORE).trials())
    except LorimerError:  # its tables are being made
        return 0
