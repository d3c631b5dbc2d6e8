"""The options of a grid of pairings, and `lorimer compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lorimer.meta_agent.pairings.spec import Spec

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
