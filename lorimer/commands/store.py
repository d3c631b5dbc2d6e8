"""The store: studies and their traces in another place."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Workspace

app = typer.Typer(help="Where studies and their traces are kept.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """Where studies and their traces are kept."""


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
    from lorimer.traces.copying import copy

    there = store_named(target, workspace)
    copied = copy(store_named(source, workspace), there)
    if json:
        typer.echo(to_json(asdict(copied)))
        return
    typer.echo(f"copied {copied.studies} studies in {copied.rows:,} rows to {there.name}")
    typer.echo(f"the chain ends with {copied.head}, there as here")
