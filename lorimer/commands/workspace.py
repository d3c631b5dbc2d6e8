"""A workspace: made, looked at, cleaned up after."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Workspace
from lorimer.commands.shared import (
    config_of,
    config_or_default,
    run_to_end,
)
from lorimer.kinds import SeedName
from lorimer.wording import count, visible

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it; made if missing.")] = HERE,
    benchmark: Annotated[str, typer.Option(help="starter, harbor:DIR, hf:NAME and so on.")] = "starter",
    model: Annotated[str, typer.Option(help="PROVIDER/NAME of the task model.")] = "simulated/apprentice",
    harness: Annotated[
        SeedName | None, typer.Option(help="What to begin with.", show_default="react, or plain for a simulated model")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Commit to the git repository around it, unasked.")] = False,
    own_repository: Annotated[bool, typer.Option("--own-repository", help="Make one in the folder instead.")] = False,
) -> None:
    """Make a workspace.

    It holds lorimer.toml, program.md and harness/agent.py, in a git repository: promotions are commits there. Harnesses to
    begin with: react calls one shell tool, natively or in text; blocks has one block of shell commands in each answer and no
    tools, for models without them; oneshot is one answer alone, to compare with; plain is a react that reads fewer forms.
    """
    from lorimer import scaffold

    def agree(top: Path) -> None:
        if not yes:
            _ask_for(folder, top)

    written = scaffold.init(
        folder, source=benchmark, model=model, harness=harness, own_repository=own_repository, agree=agree
    )
    for path in written:
        typer.echo(f"wrote {path}")
    for name in scaffold.unguarded(folder):
        ignore = f"echo {name} >> {shlex.quote(str(folder / '.gitignore'))}"
        typer.echo(f"warning: git would take {folder / name} along; keep it out with: {ignore}")
    if benchmark.startswith(scaffold.ROWS):
        typer.echo(f"set instruction and answer, columns of the data, in {folder / 'lorimer.toml'}, [benchmark.hf]")
    if model.startswith(scaffold.LOCAL):
        typer.echo(f"set base_url of your server in {folder / 'lorimer.toml'}, [providers.local]")
    there = [] if folder == HERE else ["-C", str(folder)]
    steps = (["doctor"], ["run"], ["optimize"])
    then = ", ".join(f"`{shlex.join(['lorimer', *step, *there])}`" for step in steps)
    typer.echo(f"next: edit {folder / 'program.md'}; then {then}")


def _ask_for(folder: Path, top: Path) -> None:
    """Whether lorimer may commit to a repository that is there. Raises UserError where nobody can be asked."""
    from lorimer.errors import UserError

    said = (
        f"{folder} is in the git repository {top}: lorimer would commit its files there now, and every promotion later"
    )
    if not sys.stdin.isatty():
        raise UserError(said, "say --yes to that, or --own-repository to have one made in the folder")
    typer.echo(said)
    if not typer.confirm("Go on?"):
        typer.echo("lorimer: nothing was written; --own-repository makes a repository in the folder instead", err=True)
        raise typer.Exit(1)


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask no model.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of a model's answer.")] = 30.0,
    replay: Annotated[
        bool, typer.Option("--replay", help="Only run the champion against its own recorded trials.")
    ] = False,
    study: Annotated[
        str | None, typer.Option("--study", help="With --replay: whose champion.", show_default="the latest")
    ] = None,
    model: Annotated[
        bool, typer.Option("--model", help="Ask each model six tiny questions, and keep what its server honours.")
    ] = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Say what is missing here, and what fixes it.

    Doctor looks at this machine and this workspace, and names the command that mends each fault. It loads the harness in its jail
    and asks each model one tiny question, which costs a few tokens. With --model it asks six more: whether the server holds the
    model to a JSON Schema and to a tool that must be called, passes tools and a system prompt on, streams, and shows it pictures.

    With --replay it says only how many recorded trials of an unchanged champion replay to their end, why the others do not, and
    what to do, which bounds what `lorimer preview` can tell; no model is asked then.
    """
    if replay or study is not None:
        _replay(workspace, study, asked=replay, json=json)
        return
    from datetime import UTC, datetime

    from lorimer.doctor.examine import examine
    from lorimer.doctor.findings import text
    from lorimer.doctor.models import Asking
    from lorimer.terminal.words import to_json

    def say(line: str) -> None:
        if not json:
            typer.echo(line, err=True)

    asking = None if offline else Asking(seconds, say, datetime.now(UTC).date(), probes=model)
    findings = run_to_end(examine(workspace, asking))
    typer.echo(to_json(findings) if json else visible(text(findings)))
    raise typer.Exit(3 if any(finding.level == "missing" for finding in findings) else 0)


def _replay(workspace: Path, name: str | None, *, asked: bool, json: bool) -> None:
    """`doctor --replay`. Raises UserError."""
    from lorimer.errors import UserError
    from lorimer.meta_agent.replay.unchanged import measured
    from lorimer.terminal import replayed
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.words import to_json

    if not asked:
        raise UserError("--study belongs to --replay", "lorimer doctor --replay --study NAME")
    config = config_of(workspace, None)
    reader = open_reader(workspace)
    found = run_to_end(measured(reader, pick_study(reader, name).id, config))
    typer.echo(to_json(replayed.rows(found)) if json else visible(replayed.text(found)))


@app.command()
def gc(
    images: Annotated[bool, typer.Option("--images", help="Also remove the task images that lorimer built.")] = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Remove what dead lorimer processes left behind.

    That is containers, networks and folders, and with --images also the task images that lorimer built.
    """
    from lorimer.meta_agent.study import campaign
    from lorimer.terminal.words import to_json

    found = run_to_end(campaign.collect_garbage(config_or_default(workspace), images=images))
    if json:
        typer.echo(to_json(found))
        return
    typer.echo(f"removed {found.removed}")
    if found.images is not None:
        kept = f"; {found.images.kept} in use stay" if found.images.kept else ""
        typer.echo(f"removed {count(found.images.removed, 'image')}, {found.images.bytes / 1e9:.2f} GB{kept}")
