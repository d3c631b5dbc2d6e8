"""Where a study stands and what came of it: status, log, export, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, StudyName, Workspace
from lorimer.commands.shared import experiments_of
from lorimer.terminal.here import from_here
from lorimer.wording import count

app = typer.Typer()


@app.command()
def studies(workspace: Workspace = HERE, json: Json = False) -> None:
    """List the studies that are here, with score and cost.

    They stand in the order in which they began. Other commands mean by "the latest" the last of them that is no check.
    """
    from lorimer.terminal import listing
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    found = listing.studies(open_reader(workspace))
    typer.echo(to_json(found) if json else listing.studies_text(found))


@app.command()
def status(study: StudyName = None, workspace: Workspace = HERE, json: Json = False) -> None:
    """Say where a study stands.

    State, scores with intervals, candidates, what was spent and what is left.
    """
    from lorimer.terminal import listing
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    found = listing.status(reader, pick_study(reader, study), workspace)
    typer.echo(to_json(found) if json else from_here(listing.status_text(found), workspace))


@app.command()
def log(
    study: StudyName = None,
    all_: Annotated[bool, typer.Option("--all", help="Tell all experiments in full.")] = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Tell every experiment of a study.

    What was tried, what it should have changed, what was decided and why. The newest 50 are told in full, and earlier ones in a
    line each; with --json all are. Of a comparison of two files it tells what that came to.
    """
    from lorimer.meta_agent.ledger import experiments
    from lorimer.meta_agent.reports.ab import ab
    from lorimer.terminal import listing
    from lorimer.terminal.ab import text
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    row = experiments_of(reader, study)
    if row.kind == "ab":
        two = ab(reader, row.id)
        typer.echo(to_json(two) if json else from_here(text(two), workspace))
        return
    recent = None if all_ or json else experiments.SHOWN
    found = listing.log(reader, row, recent)
    if json:
        typer.echo(to_json(found))
    else:
        typer.echo(from_here(experiments.render(found, recent) + listing.doubts(reader, row), workspace), nl=False)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write it; made if missing.")] = Path("winner"),
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="standalone, inspect, harbor, library, patch or pr.",
            show_default="agent.py, its diff and the evidence",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="An earlier champion, such as c003, or seed.", show_default="the champion"),
    ] = None,
    study: StudyName = None,
    workspace: Workspace = HERE,
    force: Annotated[bool, typer.Option(help="Overwrite files that are there.")] = False,
    json: Json = False,
) -> None:
    """Write the winning harness with its evidence.

    Without --to, the files are agent.py, its diff from the seed, and the evidence. standalone is a folder that runs without
    lorimer, by `python run.py --task "..."`; inspect is an agent for inspect_ai and harbor one for Harbor, both without lorimer;
    library is for `lorimer.load`; patch is a series for `git am`, one commit per edit that it rests on; pr makes these commits a
    branch of the workspace's repository, pushes nothing, and writes what to say of it. Each has the evidence as EVIDENCE.md and
    evidence.json (docs/export.md).
    """
    from lorimer.errors import UserError
    from lorimer.exports.winner import winner_of
    from lorimer.exports.write import write as write_target
    from lorimer.meta_agent.reports.export import export as write
    from lorimer.terminal.here import from_here
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    if folder == Path("-"):
        raise UserError("-: an export is a folder", "`lorimer harness champion` prints the harness alone")
    reader = open_reader(workspace)
    row = experiments_of(reader, study)
    if to is not None or at is not None:
        made = write_target(winner_of(reader, row.id, at), to or "library", folder, root=workspace, force=force)
        said = [
            f"wrote {count(len(made.files), 'file')} to {made.folder}: {made.winner} of {row.id}, with EVIDENCE.md",
            *made.in_short,
            *made.said,
        ]
        typer.echo(to_json(made) if json else from_here("\n".join(said), workspace))
        return
    written = write(reader, row.id, folder, force=force)
    for path in () if json else (written.harness, written.patch, written.card, written.evidence):
        typer.echo(f"wrote {path}")
    for line in () if json else written.in_short:
        typer.echo(from_here(line, workspace))
    if json:
        typer.echo(to_json(written))


@app.command()
def verify(
    study: Annotated[str | None, typer.Option("--study", help="Only this study.", show_default="all")] = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Check that what was decided and stored is unchanged.

    Decisions, trials, settings, benchmark files, harnesses and promotion commits. It changes nothing.
    """
    from lorimer.meta_agent.reports import audit as room
    from lorimer.terminal.opening import open_sealed
    from lorimer.terminal.words import to_json

    found = room.verify(workspace, open_sealed(workspace), study)
    typer.echo(to_json(found) if json else room.text(found))
    raise typer.Exit(0 if found.ok else 1)
