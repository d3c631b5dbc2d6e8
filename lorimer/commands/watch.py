"""A study in a terminal: `watch`."""

from __future__ import annotations

import sys

import typer

from lorimer.commands.options import HERE, Study, Workspace

app = typer.Typer()


@app.command()
def watch(
    study: Study = None,
    workspace: Workspace = HERE,
) -> None:
    """Follow a study in this terminal, whoever runs it.

    It shows the champion's score history, what runs now, the latest decisions, what was spent and what is left, from the store
    alone. q or Ctrl-C ends it, and the study goes on. Where the output is no terminal, it is printed once.
    """
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.watch.watching import watch as follow

    reader = open_reader(workspace)
    follow(reader, workspace, pick_study(reader, study).id, sys.stdout, sys.stdin)
