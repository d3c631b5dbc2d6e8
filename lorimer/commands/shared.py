"""What commands do alike: read the settings, run work that signals can stop, print a result."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from lorimer.commands.options import WORKSPACE
from lorimer.terminal.here import from_here
from lorimer.wording import UNREAD, is_unread, visible

if TYPE_CHECKING:
    from lorimer.config.settings import Config
    from lorimer.errors import LorimerError
    from lorimer.meta_agent.state.result import StudyResult
    from lorimer.terminal.live import Terminal
    from lorimer.traces.base import StudyReader
    from lorimer.traces.tables import StudyRow

T = TypeVar("T")

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the signal's number."""
NOT_BETTER = 4
"""Exit code of `lorimer ab` where the gate does not find the second file better."""


def config_of(workspace: Path, set_: list[str] | None) -> Config:
    from lorimer.config.settings import FILE_NAME, load, overrides

    return load(workspace / FILE_NAME, overrides(set_ or []))


def config_or_default(workspace: Path, set_: list[str] | None = None) -> Config:
    from lorimer.config.settings import FILE_NAME, overrides, parse

    if (workspace / FILE_NAME).exists():
        return config_of(workspace, set_)
    return parse({}, FILE_NAME, overrides(set_ or []))


def harness_of(file: Path) -> str:
    """The text of an edited harness, a file. Raises UserError."""
    from lorimer.errors import UserError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the harness {file}: {getattr(error, 'strerror', None) or 'it is no UTF-8'}"
        ) from None


def benchmark_config(workspace: Path, source: str | None, set_: list[str] | None = None) -> Config:
    """The workspace's settings, with another benchmark where one is named; such a one needs no workspace."""
    if source is None:
        return config_of(workspace, set_)
    from lorimer.config.settings import FILE_NAME, BenchmarkSettings, overrides, parse

    config = config_or_default(workspace)
    named = config.model_copy(update={"benchmark": BenchmarkSettings(source=source)})
    return parse(named.model_dump(mode="json"), FILE_NAME, overrides(set_ or []))


def tell_from_here(error: LorimerError, noted: Mapping[str, Any]) -> None:
    """Let the commands that the error's message names work from the current folder, whatever workspace was named."""
    error.args = (from_here(str(error), noted.get(WORKSPACE)),)


def open_terminal(workspace: Path, json: bool, quiet: bool) -> Terminal:
    from lorimer.terminal.live import Terminal, choose_mode

    return Terminal(choose_mode(quiet=quiet, as_json=json), workspace=workspace)


def collect_seldom() -> None:
    """Have Python's collector walk what a study makes, in steps that an event loop does not feel.

    A walk over as many objects as suits what only reads (`cli.main`) would stop the loop for 0.2 s. By Python's own thresholds
    a thread that reads 100,000 rows stops it for 0.13 s, and in these steps for 15 ms.
    """
    gc.set_threshold(50_000, 50, 50)


def run_to_end(
    work: Coroutine[Any, Any, T], *, resumable: Path | None = None, terminal: Terminal | None = None, again: str = ""
) -> T:
    """Run `work`, which signals stop cleanly (`stopped_by_signals`), and say how it goes on where one did.

    Args:
        resumable: the workspace whose study can go on, where `work` runs one.
        terminal: what hears of that study.
        again: how `work` goes on whatever it had begun, where it does.
    """
    import asyncio

    from lorimer.errors import LorimerError, NotRemoved
    from lorimer.terminal.hangup import stopped_by_signals

    collect_seldom()

    async def stoppable() -> T:
        task = asyncio.current_task()
        assert task is not None
        with stopped_by_signals(task):
            try:
                return await work
            except NotRemoved as error:
                if not task.cancelling():
                    raise
                typer.echo(f"lorimer: {error}", err=True)
                raise asyncio.CancelledError from None

    whole = stoppable()
    try:
        return asyncio.run(whole)
    except BrokenPipeError as error:
        if terminal is None or terminal.finished or not is_unread(error):
            raise
        drop_output()
        with suppress(OSError):  # stderr may be as closed
            typer.echo(from_here(f"lorimer: {_unread(terminal, again)}", resumable), err=True)
        raise typer.Exit(1) from None
    except (asyncio.CancelledError, KeyboardInterrupt):
        typer.echo(from_here(f"lorimer: stopped{_left(terminal, again)}", resumable), err=True)
        raise typer.Exit(STOPPED) from None
    except LorimerError as error:
        if error.paused:
            how = again or _resume(error.paused)
            said = f"{error}; what has finished is kept, and once that is put right, {how}"
            error.args = (from_here("; ".join(filter(None, (said, error.begin_anew))), resumable),)
        raise
    finally:
        # A Ctrl-C before the loop runs leaves both unbegun, of which Python would warn below the last words.
        whole.close()
        work.close()


def _left(terminal: Terminal | None, again: str) -> str:
    """What there is to go on with, once work was stopped."""
    if terminal is not None and not again and terminal.study is None:
        return " before a study began, so this command left none to resume"
    how = _how(terminal, again)
    return f"; what has finished is kept, and {how}" if how else ""


def _unread(terminal: Terminal, again: str) -> str:
    """That work stopped as what it prints is read no more, and how it goes on."""
    if terminal.study is None and not again:
        return f"{UNREAD}, so it stopped; if a study had begun, {_resume('')}"
    what = "it" if again else terminal.study or "the study"
    return f"{UNREAD}, so {what} is paused; what has finished is kept, and {_how(terminal, again)}"


def _how(terminal: Terminal | None, again: str) -> str:
    """How what was begun goes on; "" where nothing was, or nobody knows."""
    if again or terminal is None or terminal.study is None:
        return again
    return _resume(terminal.study)


def _resume(study: str) -> str:
    """The command that goes on with this study, or with the latest where its name is not known yet."""
    return f"`{shlex.join(['lorimer', 'resume', *filter(None, [study])])}` goes on"


def say_json(value: object) -> None:
    """The last of a running command's JSON lines."""
    from lorimer.terminal.words import to_json

    typer.echo(to_json({"event": "Result", "result": value}, indent=None))


def say_source(text: str, *, end: bool = True) -> None:
    """Print a harness or a diff: a file gets every character of it, as it may be run or applied; a terminal obeys none.

    Args:
        end: the text ends without a newline, and gets one.
    """
    at_terminal = sys.stdout.isatty()
    # Without `color` what looks like a terminal's codes would be taken out of what a file gets.
    typer.echo(visible(text) if at_terminal else text, nl=end, color=True)


def drop_output() -> None:
    """Nothing goes to standard output from now on: the interpreter, which writes the rest at its end, would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def read_or_not(workspace: Path, result: StudyResult) -> Iterator[None]:
    """Print what came of a study: where nobody reads it, one that is not finished is told of all the same (`exit_for`)."""
    try:
        yield
    except BrokenPipeError:
        drop_output()
        exit_for(workspace, result)
        raise


def say_result(workspace: Path, result: StudyResult, json: bool) -> None:
    from lorimer.terminal import listing
    from lorimer.terminal.opening import open_reader

    reader = open_reader(workspace)
    found = listing.status(reader, reader.study(result.study), workspace)
    with read_or_not(workspace, result):
        if json:
            say_json(found)
        else:
            typer.echo(from_here(listing.status_text(found, reason=result.state == "finished"), workspace))
    exit_for(workspace, result)


def kind_of(workspace: Path, study: str) -> str:
    from lorimer.terminal.opening import open_reader

    return open_reader(workspace).study(study).kind


def say_two(workspace: Path, result: StudyResult, json: bool) -> None:
    """Print what a comparison of two files came to, and leave with its exit code."""
    from lorimer.meta_agent.reports.ab import ab
    from lorimer.terminal.ab import text
    from lorimer.terminal.opening import open_reader

    found = ab(open_reader(workspace), result.study)
    with read_or_not(workspace, result):
        if json:
            say_json(found)
        else:
            typer.echo(from_here(text(found), workspace))
    exit_for(workspace, result)
    if found.verdict != "better":
        raise typer.Exit(NOT_BETTER)


def experiments_of(reader: StudyReader, study: str | None) -> StudyRow:
    """The study that is named, or the latest that tries candidates; a remark on stderr where a plain run has begun since."""
    from lorimer.terminal.opening import pick_experiments

    found, remark = pick_experiments(reader, study)
    if remark:
        typer.echo(f"lorimer: {remark}", err=True)
    return found


def goes_on(said: str, study: StudyRow, workspace: Path) -> str:
    """What a person did, and what comes to it: the process that runs the study, else the command that goes on with it."""
    from lorimer.traces.writing.holder import alive, described

    if study.holder and alive(study.holder):
        return f"{said}; {described(study.holder)} runs the study and comes to it"
    return from_here(f"{said}; `lorimer resume {study.id}` goes on", workspace)


def exit_for(workspace: Path, result: StudyResult) -> None:
    """Leave with 1, and with the reason on stderr, where a study is not finished."""
    if result.state != "finished":
        said = f"lorimer: {result.study} is {result.state}: {' '.join(result.reason.split())}"
        typer.echo(from_here(said, workspace), err=True)
        raise typer.Exit(1)
