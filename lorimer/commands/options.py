"""Options that several commands share, and their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorimer.terminal.here import find_workspace

HERE = Path()
WORKSPACE = "lorimer.workspace"
"""Where a command's context keeps the workspace that was named, for messages that name commands."""


def _noted(context: typer.Context, workspace: Path) -> Path:
    """The workspace around the folder that was named, as git looks for its repository. Raises UserError where there is none."""
    if not workspace.is_dir():
        from lorimer.errors import UserError

        raise UserError(f"-C {workspace}: {'is no folder' if workspace.exists() else 'no such folder'}")
    found = find_workspace(workspace)
    context.meta[WORKSPACE] = found
    return found


Workspace = Annotated[
    Path,
    typer.Option(
        "--workspace",
        "-C",
        help="A folder with lorimer.toml, or one below it.",
        show_default="here",
        callback=_noted,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; progress as JSON lines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A setting for this command, such as gate.alpha=0.05.")]
Study = Annotated[str | None, typer.Argument(help="Name of the study.", show_default="the latest")]
StudyName = Annotated[str | None, typer.Option("--study", help="Name of the study.", show_default="the latest")]
Sealed = Annotated[
    bool, typer.Option("--sealed", help="Trials of sealed tasks as well, though their study goes on (docs/traces.md).")
]
