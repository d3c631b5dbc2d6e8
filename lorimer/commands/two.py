"""Two harnesses: how they differ, and one of them as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, StudyName, Workspace
from lorimer.commands.shared import experiments_of, harness_of

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
    typer.echo(to_json(found) if json else text(found))


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
    typer.echo(to_json(found) if json else found.text, nl=json)
