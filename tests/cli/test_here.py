"""The commands that a message names work from where the user is."""

from __future__ import annotations

import asyncio
import inspect
import io
import signal
import sqlite3
import time
from pathlib import Path

import pytest
import typer

from lorimer.commands.shared import run_to_end
from lorimer.errors import LorimerError
from lorimer.meta_agent.workspace.events import BudgetUsed, Event, StudyEnded
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.terminal.here import from_here
from lorimer.terminal.live import Mode, Terminal
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import process, refused, start, typed


@pytest.mark.parametrize(
    ("text", "workspace", "said"),
    [
        ("`lorimer resume demo` goes on", Path("demo"), "`lorimer resume demo -C demo` goes on"),
        ("`lorimer resume` or `lorimer run`", Path("a b"), "`lorimer resume -C 'a b'` or `lorimer run -C 'a b'`"),
        ("a title \x1b[2J\x07\nof a model", None, "a title \\x1b[2J\\x07\nof a model"),
        ("`lorimer traces show x/y`", Path("demo"), "`lorimer traces show x/y -C demo`"),
        ("`lorimer resume s --set budget.usd=4`", Path("w"), "`lorimer resume s --set budget.usd=4 -C w`"),
        ("`lorimer init` makes one", Path("w"), "`lorimer init w` makes one"),
        ("`lorimer init w`, `lorimer demo`", Path("w"), "`lorimer init w`, `lorimer demo`"),
        ("`lorimer log -C w`, `lorimer run --help`", Path("w"), "`lorimer log -C w`, `lorimer run --help`"),
        ("`lorimer resume demo` goes on", Path(), "`lorimer resume demo` goes on"),
        ("`lorimer resume demo` goes on", None, "`lorimer resume demo` goes on"),
        ("`git log`, lorimer run", Path("w"), "`git log`, lorimer run"),
    ],
)
def test_a_command_names_a_workspace_that_is_not_here(text: str, workspace: Path | None, said: str) -> None:
    assert from_here(text, workspace) == said


def test_an_error_in_another_folder_names_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"`lorimer optimize -C {workspace}` starts one" in refused(capsys, 2, "run", "--test", "-C", workspace)
    monkeypatch.chdir(workspace)
    assert "`lorimer optimize` starts one" in refused(capsys, 2, "run", "--test")
    monkeypatch.chdir(workspace / "harness")
    assert "`lorimer optimize` starts one" in refused(capsys, 2, "run", "--test")
    monkeypatch.chdir(workspace.parent)
    assert "`lorimer optimize -C work` starts one" in refused(capsys, 2, "run", "--test", "-C", "work")


@pytest.mark.bubblewrap
def test_the_end_of_a_budget_names_a_command_that_goes_on(
    used: tuple[Path, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = typed(capsys, "status", "--study", "study-1", "-C", used[0]).out.splitlines()[0]
    assert first == (
        "study-1 (optimize): finished: budget.candidates: 1 of 1 tried; "
        f"`lorimer resume study-1 --set budget.candidates=2 -C {used[0]}` goes on"
    )
    monkeypatch.chdir(used[0])
    first = typed(capsys, "status", "--study", "study-1").out.splitlines()[0]
    assert first.endswith("`lorimer resume study-1 --set budget.candidates=2` goes on")


BEGUN = BudgetUsed(0.0, 0.0, 0, 0, ())
"""What a study tells first."""
ENDED = StudyEnded("study-3", "paused", "stopped by the user", "stopped")


@pytest.mark.parametrize("mode", ["plain", "quiet", "json"])
@pytest.mark.parametrize(
    ("resumed", "told", "said"),
    [
        (None, (), "stopped before a study began, so this command left none to resume"),
        (None, (BEGUN,), "stopped; what has finished is kept, and `lorimer resume -C {root}` goes on"),
        (None, (BEGUN, ENDED), "stopped; what has finished is kept, and `lorimer resume study-3 -C {root}` goes on"),
        ("", (), "stopped; what has finished is kept, and `lorimer resume -C {root}` goes on"),
        ("study-2", (), "stopped; what has finished is kept, and `lorimer resume study-2 -C {root}` goes on"),
        ("", (BEGUN, ENDED), "stopped; what has finished is kept, and `lorimer resume study-3 -C {root}` goes on"),
    ],
)
def test_what_is_stopped_names_its_own_study_or_says_that_there_is_none(
    resumed: str | None,
    told: tuple[Event, ...],
    said: str,
    mode: Mode,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal(mode, io.StringIO(), workspace=tmp_path)
    terminal.study = resumed

    async def stopped() -> None:
        for event in told:
            terminal.on_event(event)
        raise asyncio.CancelledError

    with pytest.raises(typer.Exit) as left:
        run_to_end(stopped(), resumable=tmp_path, terminal=terminal)
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"lorimer: {said.format(root=tmp_path)}\n"


async def test_work_that_never_began_is_let_go(tmp_path: Path) -> None:
    """As where Ctrl-C comes before its loop runs; here there is one already, in which another cannot run."""

    async def never() -> None: ...

    work = never()
    with pytest.raises(RuntimeError, match="running event loop"):
        run_to_end(work, resumable=tmp_path)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


def begun(root: Path) -> bool:
    try:
        return bool(StoreReader(root / STORE).trials(limit=1))
    except LorimerError:  # its tables are being made
        return False


@pytest.mark.bubblewrap
@pytest.mark.slow
def test_a_stopped_demo_says_how_it_goes_on_from_here(bubblewrap: None, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "taken").touch()
    running = start("demo", tmp_path / "demo", "--candidates", "1", "--provider", "bubblewrap")
    root = tmp_path / "demo-2"
    while not begun(root):
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 130
    command = f"resume demo -C {root}"
    assert err == f"lorimer: stopped; what has finished is kept, and `lorimer {command}` goes on\n"
    # One trial is no budget for more, so going on ends at once.
    said = process(*command.split(), "--set", "budget.trials=1", "--set", "budget.candidates=1")
    assert said.code == 0, said
    assert "budget.trials changed from unset to 1" in said.out


def test_a_demo_that_an_error_ended_says_how_it_goes_on_from_here(tmp_path: Path) -> None:
    """Such as a full disk. The demo makes its workspace in the middle of the command, which has no -C."""

    async def demo() -> None:
        error = LorimerError("the store cannot be written: disk is full")
        error.paused = "demo"
        raise error

    with pytest.raises(LorimerError) as caught:
        run_to_end(demo(), resumable=tmp_path / "demo")
    assert str(caught.value) == (
        "the store cannot be written: disk is full; what has finished is kept, and once that is put right, "
        f"`lorimer resume demo -C {tmp_path / 'demo'}` goes on"
    )


@pytest.mark.bubblewrap
def test_the_log_of_a_long_study_names_the_command_that_tells_all(
    used: tuple[Path, object], capsys: pytest.CaptureFixture[str]
) -> None:
    long = used[0]
    with sqlite3.connect(long / STORE) as store:
        columns = [f'"{row[1]}"' for row in store.execute("PRAGMA table_info(candidate)")]
        others = ", ".join(column for column in columns if column not in ('"id"', '"number"'))
        store.executemany(
            f"INSERT INTO candidate (id, number, {others}) SELECT 'study-1/c' || ?1, ?1, {others} FROM candidate "
            "WHERE number = 1 AND study = 'study-1'",
            [(number,) for number in range(2, 53)],
        )
    told = typed(capsys, "log", "--study", "study-1", "-C", long).out
    assert (
        f"Of 52 experiments the newest 50 are told in full; `lorimer log --all --study study-1 -C {long}` tells all."
        in told
    )
