"""Benchmarks: what there is, and whether it can be scored."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Quiet, Set, Workspace
from lorimer.commands.shared import (
    benchmark_config,
    open_terminal,
    run_to_end,
    say_json,
)
from lorimer.wording import count

app = typer.Typer(help="Benchmarks: what there is, and whether it can be scored.", no_args_is_help=True)


@app.command("ls")
def benchmarks_ls(
    source: Annotated[
        str | None, typer.Argument(help="Such as starter or harbor:DIR.", show_default="the workspace's")
    ] = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """List a benchmark's tasks, or the kinds there are.

    Tasks that cannot be read are named with the reason; where none can be read, the exit code is 2. Outside a workspace the kinds
    of benchmark are listed.
    """
    from lorimer.benchmarks.registry import KINDS
    from lorimer.config.settings import FILE_NAME
    from lorimer.meta_agent.workspace.suite import read_suite
    from lorimer.terminal.words import table, to_json

    # A benchmark of which nothing can be read is listed too: why each task is refused is what somebody came for.
    if source is None and not (workspace / FILE_NAME).exists():
        typer.echo(to_json(KINDS) if json else table(("kind", "source"), list(KINDS.items())))
        return
    suite = read_suite(workspace, benchmark_config(workspace, source))
    rows = [(task.id, task.difficulty, task.category, task.limits.network, task.agent_timeout) for task in suite.tasks]
    columns = ("task", "difficulty", "category", "network", "agent_timeout")
    if json:
        listed = [dict(zip(columns, row, strict=True)) for row in rows]
        typer.echo(
            to_json(
                {
                    "name": suite.name,
                    "tasks": listed,
                    "problems": [str(bad) for bad in suite.problems],
                    "notes": suite.notes,
                }
            )
        )
        raise typer.Exit(0 if rows else 2)
    if rows:
        typer.echo(table(columns, rows))
    for note in suite.notes:
        typer.echo(f"note: {note}", err=True)
    for problem in suite.problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"{suite.name}: {count(len(suite.tasks), 'task')}, {len(suite.problems)} that cannot be read")
    raise typer.Exit(0 if rows else 2)


@app.command("check")
def benchmarks_check(
    source: Annotated[
        str | None, typer.Argument(help="Such as starter or harbor:DIR.", show_default="the workspace's")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only these tasks.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Trials of each a task; several find flaky verifiers.")] = 1,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that every task can be scored.

    Its own solution (oracle) must score 1, and doing nothing (nop) 0.
    """
    from lorimer.meta_agent.study import checking
    from lorimer.terminal.here import from_here
    from lorimer.terminal.words import table

    config = benchmark_config(workspace, source, set_)
    with open_terminal(workspace, json, quiet) as terminal:
        results = run_to_end(checking.check(workspace, config, terminal, tuple(task or ()), repeats))
    rows = [
        (
            result.task,
            None if result.oracle is None else result.oracle.reward,
            result.nop.reward,
            result.isolation,
            f"{result.seconds:.1f}",
            result.problem or "valid",
        )
        for result in results
    ]
    columns = ("task", "oracle", "nop", "isolation", "seconds", "verdict")
    bad = sum(bool(result.problem) for result in results)
    if json:
        say_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        typer.echo(table(columns, rows))
        typer.echo(f"{len(results) - bad} of {len(results)} tasks are valid")
        if first := next((result.shown for result in results if result.shown), ""):
            said = f"`lorimer traces show {first}` shows what was run of the first that is not, and what its verifier printed"
            typer.echo(from_here(said, workspace))
    raise typer.Exit(1 if bad else 0)
