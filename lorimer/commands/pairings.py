"""The options of a grid of pairings, and `lorimer compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorimer.commands.options import HERE, Json, Quiet, Set, Workspace
from lorimer.commands.shared import config_of, open_terminal, run_to_end, say_json
from lorimer.wording import visible

if TYPE_CHECKING:
    from lorimer.meta_agent.pairings.spec import Spec

app = typer.Typer()

TaskModels = Annotated[str | None, typer.Option("--task", help="Task models, such as a/one,b/two.")]
MetaModels = Annotated[str | None, typer.Option("--meta", help="Meta models likewise.")]
Searches = Annotated[int | None, typer.Option(min=1, help="Independent searches of each pairing.", show_default="2")]
Trials = Annotated[int | None, typer.Option(min=1, help="Trials of all searches together.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens of all searches together.")]
Usd = Annotated[float | None, typer.Option(help="Dollars of all searches together.")]
Spec_ = Annotated[
    Path | None, typer.Option("--spec", help="A pairings.toml elsewhere.", show_default="the workspace's")
]


def spec_of(workspace: Path, file: Path | None, **given: Any) -> Spec:
    """The spec that options and pairings.toml make. Raises UserError, ConfigError."""
    from lorimer.meta_agent.pairings import spec

    budget = {unit: given.pop(unit) for unit in spec.UNITS}
    models = {key: _listed(given.pop(key)) for key in ("task", "meta")}
    chosen = {unit: value for unit, value in budget.items() if value is not None}
    return spec.read(workspace, {**models, **given, "budget": chosen}, file)


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def refuse_without(option: str, given: dict[str, Any]) -> None:
    """Raises UserError where options of a grid are given, and no grid is asked for."""
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if named:
        from lorimer.errors import UserError

        raise UserError(f"{', '.join(named)}: only {option} takes {'it' if len(named) == 1 else 'them'}")


@app.command()
def compare(
    task: TaskModels = None,
    meta: MetaModels = None,
    searches: Searches = None,
    trials: Trials = None,
    tokens: Tokens = None,
    usd: Usd = None,
    name: Annotated[str | None, typer.Option(help="Of the grid.", show_default="pairs")] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Run each winner under each other task model as well.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Only show what there is; nothing is run.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the result there as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write it there as one page with plots.")] = None,
    spec: Spec_ = None,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare same-model with cross-model pairings.

    A grid of searches, task models against meta models, in turns and with equal budgets, by pairings.toml or by options. Given
    again, it goes on where it was stopped.
    """
    from lorimer.terminal import paired

    config = config_of(workspace, set_)
    given = {"task": task, "meta": meta, "searches": searches, "trials": trials, "tokens": tokens, "usd": usd}
    wanted = spec_of(workspace, spec, **given, name=name, transfer=transfer or None)
    if report:
        from lorimer.meta_agent.pairings import collecting
        from lorimer.terminal.opening import open_reader

        found = collecting.reported(open_reader(workspace), wanted, config)
    else:
        from lorimer.meta_agent.pairings import running

        with open_terminal(workspace, json, quiet) as terminal:
            found = run_to_end(
                running.compare(workspace, config, wanted, terminal),
                resumable=workspace,
                again="the same `lorimer compare` goes on",
            )
    for path, made in ((markdown, paired.markdown), (html, paired.html)):
        if path is not None:
            paired.write(path, made(found))
    if json:
        say_json(found)
    else:
        typer.echo(visible(paired.result_text(found)))
