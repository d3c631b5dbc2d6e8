"""The web page: `dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Workspace

app = typer.Typer()


@app.command()
def dashboard(
    host: Annotated[
        str, typer.Option(help="The address to listen at. Whoever reaches it can read everything.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 8421,
    workspace: Workspace = HERE,
) -> None:
    """Serve a web page of all studies here, live while they run.

    It reads the store alone and changes nothing, beside a study that runs or without one. Ctrl-C ends it.
    """
    from lorimer.dashboard.serve import LOOPBACK, serve
    from lorimer.terminal.opening import open_reader

    reader = open_reader(workspace)
    if host not in LOOPBACK:
        typer.echo(
            f"lorimer: warning: whoever can reach {host} can read every trace here; no password is asked", err=True
        )
    serve(reader, workspace, host, port, lambda address: typer.echo(f"the dashboard is at {address} (Ctrl-C ends it)"))
