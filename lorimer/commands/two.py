"""Two harnesses: how they differ, which is the better one, and one of them as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Quiet, Set, StudyName, Workspace
from lorimer.commands.shared import (
    config_of,
    experiments_of,
    harness_of,
    open_terminal,
    run_to_end,
    say_source,
    say_two,
)
from lorimer.terminal.here import from_here

app = typer.Typer()


@app.command("diff")
def diff_(
    a: Annotated[str, typer.Argument(help="seed, champion, a candidate such as c003, or a file.")] = "seed",
    b: Annotated[str, typer.Argument(help="The other one.")] = "champion",
    study: StudyName = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Compare two harnesses: their text, and the tasks that flipped.

    Any candidate can be named, a rejected one too. A task counts as solved where more than half of its trials are; beside the
    tasks that flipped it is said how many would by chance alone, were both the same. Champions are told of by the trials that
    their score comes from, others by their full run.
    """
    from lorimer.meta_agent.reports.between import between
    from lorimer.terminal.between import text
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    found = between(reader, experiments_of(reader, study).id, a, b, harness_of)
    if json:
        typer.echo(to_json(found))
    else:
        say_source(text(found))


@app.command()
def harness(
    name: Annotated[str, typer.Argument(help="seed, champion, or a candidate such as c003.")] = "champion",
    study: StudyName = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Print a harness of a study, whole; a rejected candidate's too.

    `lorimer harness c003 > c003.py` keeps it as a file.
    """
    from lorimer.meta_agent.reports.between import named
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    found = named(reader, experiments_of(reader, study).id, name, harness_of)
    if json:
        typer.echo(to_json(found))
    else:
        say_source(found.text, end=False)


@app.command("ab")
def ab_(
    a: Annotated[Path, typer.Argument(help="A harness, a file: the one that holds unless the other is better.")],
    b: Annotated[Path, typer.Argument(help="The other one.")],
    repeats: Annotated[
        int | None, typer.Option(min=1, max=50, help="Trials of each on each task.", show_default="gate.repeats")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Run it without asking, whatever it costs.")] = False,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask the gate whether harness B is better than harness A.

    No search is made: both run side by side on every task of the benchmark; what that may cost is said first. The exit code is 0
    where B is better, 4 where the gate does not say so. Nothing is promoted. It is kept as a study of kind ab: its trials are
    read like all others, and `lorimer resume` goes on with one that was stopped.
    """
    from lorimer.errors import UserError
    from lorimer.meta_agent.forecast.price import comparison
    from lorimer.meta_agent.study import ab
    from lorimer.terminal import outlook

    files = ab.TwoFiles(str(a), harness_of(a), str(b), harness_of(b))
    config = ab.settings_of(config_of(workspace, set_), files, repeats)
    ab.checked(files, config)
    plan = comparison(workspace, config)
    if not quiet:
        typer.echo(from_here(outlook.comparison_text(plan), workspace), err=True)
    if not yes:
        if json or not sys.stdin.isatty():
            raise UserError("nobody is there to ask whether this may be paid for; say --yes")
        if not typer.confirm("run it?", err=True):
            typer.echo("lorimer: nothing was run", err=True)
            raise typer.Exit(1)
    with open_terminal(workspace, json, quiet) as terminal:
        work = ab.compare(workspace, config, files, terminal)
        result = run_to_end(work, resumable=workspace, terminal=terminal)
    say_two(workspace, result, json)
