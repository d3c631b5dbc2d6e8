"""The web page, live and as one file: `dashboard`, `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Workspace
from lorimer.commands.shared import experiments_of

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

    It reads the store alone, beside a study that runs or without one. With the token that it shows here, a page can approve or
    refuse a promotion that waits, and go back to an earlier champion. Ctrl-C ends it.
    """
    from lorimer.dashboard.serve import LOOPBACK, serve
    from lorimer.terminal.opening import open_reader

    reader = open_reader(workspace)
    if host not in LOOPBACK:
        typer.echo(
            f"lorimer: warning: whoever can reach {host} can read every trace here; no password is asked", err=True
        )

    def said(address: str, token: str) -> None:
        typer.echo(f"the dashboard is at {address} (Ctrl-C ends it)")
        typer.echo(f"who gives it this token may approve, refuse and revert there: {token}")

    serve(reader, workspace, host, port, said)


@app.command()
def report(
    study: Annotated[str | None, typer.Argument(help="The study.", show_default="the latest")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("report.html"),
    workspace: Workspace = HERE,
    force: Annotated[bool, typer.Option(help="Overwrite the file if it is there.")] = False,
    json: Json = False,
) -> None:
    """Write a study as one HTML file to send.

    It needs no server, no network and no script: what came of the study, its scores, which edit flips which task, the candidates
    with their diffs and decisions, the tasks, the evidence, and how it was made. What is sealed while a study goes on is sealed
    in it, too.
    """
    from lorimer.dashboard import report as room
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    made = room.report(reader, workspace, experiments_of(reader, study).id)
    room.write(made, out, force=force)
    if json:
        typer.echo(to_json({"file": out, "study": made.study, "bytes": made.size, "in_full": made.in_full}))
        return
    told = f"{made.in_full} of {made.candidates} candidates in full"
    typer.echo(f"wrote {out}: {made.study}, {told}, {made.size / 1e6:.1f} MB")
