"""Commands whose output nobody reads on, as in `| head`: what a study does in the middle is told, and a listing ends quietly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import LORIMER, Said, process
from tests.cli.test_stopping import left_behind


def headed(lines: int, *arguments: object, both: bool = False, environment: dict[str, str] | None = None) -> Said:
    """A command of which so many lines are read before its pipe is closed; `both` closes standard error with it."""
    reader, writer = os.pipe()
    whole = [*LORIMER, *map(str, arguments)]
    out = ""
    with os.fdopen(reader, encoding="utf-8") as output:
        if not lines:
            output.close()
        running = subprocess.Popen(
            whole,
            stdout=writer,
            stderr=writer if both else subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        os.close(writer)
        for _ in range(lines):
            out += output.readline()
    try:
        _, err = running.communicate()
    except BaseException:
        running.kill()
        running.communicate()
        raise
    return Said(running.returncode, out, err or "")


@pytest.mark.parametrize("mode", [(), ("--json",)], ids=["plain", "json"])
@pytest.mark.bubblewrap
def test_a_study_whose_output_nobody_reads_on_is_paused_and_says_how_it_goes_on(
    bubblewrap: None, workspace: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    said = headed(3, "optimize", "-C", workspace, *mode, environment={"TMPDIR": str(temp)})
    assert said.code == 1, said
    assert said.out.count("\n") == 3
    (line,) = said.err.splitlines()
    assert line.startswith(
        "lorimer: nobody reads its output any more, so study-1 is paused; what has finished is kept, and "
    )
    assert line.endswith(f"`lorimer resume study-1 -C {workspace}` goes on")
    study = StoreReader(workspace / STORE).study("study-1")
    assert (study.state, study.holder) == ("paused", "")
    assert study.state_reason == "nobody reads its output any more; `lorimer resume study-1` goes on"
    assert left_behind(temp) == []
    assert process("resume", "-C", workspace, "-q").code == 0


@pytest.mark.bubblewrap
def test_a_run_whose_output_and_errors_nobody_reads_ends_as_not_done(bubblewrap: None, workspace: Path) -> None:
    said = headed(1, "run", "-C", workspace, "--json", both=True)
    assert said.code == 1
    assert StoreReader(workspace / STORE).study("run-1").state == "paused"


@pytest.mark.bubblewrap
def test_a_study_that_ended_before_its_last_words_were_unread_is_no_error(bubblewrap: None, workspace: Path) -> None:
    said = headed(0, "run", "-C", workspace, "-q")
    assert (said.code, said.err) == (0, "")
    assert StoreReader(workspace / STORE).study("run-1").state == "finished"


@pytest.mark.parametrize(
    ("state", "code", "err"),
    [
        ("paused", 1, "lorimer: run-1 is paused: the provider is away; `lorimer resume run-1` goes on\n"),
        ("finished", 0, ""),
    ],
)
def test_a_study_that_the_world_stopped_is_told_of_though_its_last_words_are_unread(
    state: str, code: int, err: str
) -> None:
    script = f"""
import sys
from pathlib import Path
import typer
from lorimer.cli import guarded
from lorimer.commands.shared import read_or_not
from lorimer.meta_agent.state.result import StudyResult

why = "the provider is away; `lorimer resume run-1` goes on"
found = StudyResult("run-1", {state!r}, why, None, None, None, "", "", {{}})

def work():
    with read_or_not(Path("."), found):
        typer.echo("the result")

sys.exit(guarded(work))
"""
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (said.returncode, said.stderr) == (code, err)


@pytest.mark.parametrize(("state", "code"), [("paused", 1), ("finished", 0)])
def test_a_study_that_finished_before_its_end_could_be_told_is_no_error(state: str, code: int) -> None:
    script = f"""
import sys
from pathlib import Path
from lorimer import cli
from lorimer.commands.shared import run_to_end
from lorimer.meta_agent.workspace.events import StudyEnded
from lorimer.terminal.live import Terminal

cli._name_output()
terminal = Terminal("json")

async def work():
    terminal.on_event(StudyEnded("run-1", {state!r}, "all trials were run", "done"))

sys.exit(cli.guarded(lambda: run_to_end(work(), resumable=Path("."), terminal=terminal)))
"""
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert said.returncode == code
    assert ("run-1 is paused; what has finished is kept, and `lorimer resume run-1` goes on" in said.stderr) == bool(
        code
    )
    assert bool(said.stderr) == bool(code)


def test_a_listing_that_nobody_reads_on_ends_quietly(used: tuple[Path, dict[str, Said]]) -> None:
    for command in (("log",), ("status",), ("traces", "ls"), ("power",)):
        said = headed(0, *command, "-C", used[0])
        assert (said.code, said.err) == (0, ""), command
