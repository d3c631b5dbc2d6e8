"""The store: studies and their traces in another place."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Workspace
from lorimer.commands.shared import config_or_default

app = typer.Typer(help="Where studies and their traces are kept, and for how long.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """Where studies and their traces are kept, and for how long."""


@app.command("copy")
def store_copy(
    source: Annotated[
        str, typer.Argument(help="A workspace's folder, a file or a URL; `${NAME}` in it is a variable.")
    ],
    target: Annotated[str, typer.Argument(help="A file or a URL, where there is no study yet.")],
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Copy a whole store to another place or database.

    All studies are copied with every trace, and the chain of hashes holds there as it does here.
    Then name the new place in [store] url of lorimer.toml; the old one stays as it is.
    """
    from dataclasses import asdict

    from lorimer.meta_agent.workspace.where import store_named
    from lorimer.terminal.words import to_json
    from lorimer.traces.writing.copying import copy

    there = store_named(target, workspace)
    copied = copy(store_named(source, workspace), there)
    if json:
        typer.echo(to_json(asdict(copied)))
        return
    typer.echo(f"copied {copied.studies} studies in {copied.rows:,} rows to {there.name}")
    typer.echo(f"the chain ends with {copied.head}, there as here")


@app.command("prune")
def store_prune(
    yes: Annotated[bool, typer.Option("--yes", help="Drop it; without, it is only told what would go.")] = False,
    by: Annotated[
        str | None, typer.Option(help="Who asks for it.", show_default="git's user, else the system's")
    ] = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Drop steps of trials that are older than [store] keep says.

    Verdicts, decisions, spending and the chain stay, and so do all steps of the seed harness, of what was promoted, of what the
    search may go back to and of what is under way. It is chained, and cannot be undone.
    """
    from datetime import UTC, datetime

    from lorimer.config.store import keep_of
    from lorimer.meta_agent.study import keeping
    from lorimer.meta_agent.study.people import hand
    from lorimer.meta_agent.workspace.repository import Workspace as Repository
    from lorimer.meta_agent.workspace.where import store_at
    from lorimer.terminal import kept
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    config, now = config_or_default(workspace), datetime.now(UTC)
    database, reader, keep = store_at(workspace), open_reader(workspace), keep_of(config.store.keep)
    planned = keeping.plan(database, reader, keep, now, ready=yes)
    if not yes or planned.nothing:
        typer.echo(to_json(planned) if json else kept.plan_text(planned))
        return
    if not json:
        typer.echo(kept.plan_text(planned, ask=False))
    who = hand.person(Repository(workspace, config.study.harness), by, "")
    done = keeping.drop(database, reader, keep, who.name, now)
    typer.echo(to_json(done) if json else kept.done_text(done))
