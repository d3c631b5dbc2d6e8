"""The gate: decide again what was decided."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Study, Workspace
from lorimer.commands.shared import experiments_of
from lorimer.kinds import PolicyName
from lorimer.wording import visible

app = typer.Typer(help="The gate: decide again what was decided.", no_args_is_help=True)


@app.command("replay")
def gate_replay(
    study: Study = None,
    policy: Annotated[PolicyName | None, typer.Option(help="Another policy.", show_default="the study's")] = None,
    alpha: Annotated[float | None, typer.Option(help="Another level.", show_default="the study's")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Fewer trials per task: the first ones.", show_default="the study's")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Tell of those that come out as before too.")] = False,
    workspace: Workspace = HERE,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting of [gate], such as gate.futility=0.")
    ] = None,
    json: Json = False,
) -> None:
    """Decide a study again under another gate.

    It reads stored trials, runs nothing and changes nothing. Candidates that come out as they did are counted alone;
    --json has each.
    """
    from lorimer.config.settings import overrides
    from lorimer.meta_agent.reports import replay as regate
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.regated import text
    from lorimer.terminal.words import to_json

    named = {"gate.policy": policy, "gate.alpha": alpha, "gate.repeats": repeats}
    changes = overrides(set_ or []) | {key: value for key, value in named.items() if value is not None}
    reader = open_reader(workspace)
    found = regate.replay(reader, experiments_of(reader, study).id, changes)
    typer.echo(to_json(found) if json else visible(text(found, whole=all_)))
