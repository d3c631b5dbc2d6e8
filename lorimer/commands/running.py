"""What runs trials, and what tells their price before: run, optimize, resume, demo, power."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Quiet, Set, Study, Workspace
from lorimer.commands.pairings import (
    MetaModels,
    Searches,
    Spec_,
    TaskModels,
    Tokens,
    Trials,
    Usd,
    refuse_without,
    spec_of,
)
from lorimer.commands.shared import (
    config_of,
    config_or_default,
    exit_for,
    kind_of,
    open_terminal,
    read_or_not,
    run_to_end,
    say_json,
    say_result,
    say_two,
)
from lorimer.kinds import SandboxName
from lorimer.terminal.here import from_here

app = typer.Typer()


@app.command()
def run(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks or patterns.", show_default="all")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Trials per task.")] = 1,
    test: Annotated[bool, typer.Option("--test", help="The tasks that the latest study kept for the end.")] = False,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the harness on the benchmark or on named tasks.

    --test runs it on the tasks that the latest study kept for the end.
    """
    from lorimer.meta_agent.study import campaign
    from lorimer.terminal.words import duration, score_text, table
    from lorimer.wording import dollars, visible_line

    config = config_of(workspace, set_)
    with open_terminal(workspace, json, quiet) as terminal:
        work = campaign.run(workspace, config, terminal, only=tuple(tasks or ()), repeats=repeats, test=test)
        report = run_to_end(work, resumable=workspace, terminal=terminal)
    with read_or_not(workspace, report.result):
        if json:
            say_json(report)
        else:
            rows = [(line.task, line.reward, line.trials, line.causes, line.trial) for line in report.tasks]
            typer.echo(table(("task", "reward", "trials", "cause", "trial"), rows))
            score = report.result.final
            cost = f"{dollars(report.cost_usd)}, {report.tokens} tokens, {duration(report.seconds)}"
            typer.echo(f"{report.result.study}: {score_text(score) if score else 'no score'}; {cost}")
            if report.result.refusal:
                typer.echo(from_here(f"refused: such as {report.result.refusal}", workspace))
            # Why a run stopped is its last line: what it met is told there, and not here as well.
            stopped = "" if report.result.state == "finished" else report.result.reason
            for ending in (each for each in report.endings if each.words not in stopped):
                typer.echo(from_here(f"{ending.cause}: {ending}", workspace))
            if report.lacking:
                typer.echo(
                    f'verifiers: no trial has any reward, and after each its verifier said "{visible_line(report.lacking)}"; '
                    "if that is not the agent's to bring, the tasks' images lack it, and these scores say nothing of the harness"
                )
            for word, said in (*report.cache.lines(), *report.trust.lines()):
                typer.echo(from_here(f"{word}: {said}", workspace))
            if report.result.state == "finished" and score is None:  # its budget ended it before its last trial, say
                typer.echo(from_here(f"ended: {report.result.reason}", workspace))
    exit_for(workspace, report.result)


@app.command()
def optimize(
    candidates: Annotated[
        int | None, typer.Option(min=1, help="How many to try.", show_default="as configured")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="An earlier study to go on from: its winner, its memory, its split.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only price the plan; nothing is run, no model asked.")
    ] = False,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Improve the harness until the budget is spent.

    Each edit is proposed, spot-checked and re-run in full; what the gate accepts is promoted. Ctrl-C is clean.
    """
    extra = [f"budget.candidates={candidates}"] if candidates else []
    extra += [f"study.continues={from_}"] if from_ else []
    config = config_of(workspace, [*(set_ or []), *extra])
    if dry_run:
        from lorimer.meta_agent.forecast.price import estimate
        from lorimer.terminal import outlook
        from lorimer.terminal.words import to_json

        plan = estimate(workspace, config)
        typer.echo(to_json(plan) if json else from_here(outlook.estimate_text(plan), workspace))
        return
    from lorimer.meta_agent.study import campaign

    with open_terminal(workspace, json, quiet) as terminal:
        work = campaign.optimize(workspace, config, terminal)
        result = run_to_end(work, resumable=workspace, terminal=terminal)
    say_result(workspace, result, json)


@app.command()
def resume(
    study: Study = None,
    workspace: Workspace = HERE,
    set_: Set = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="In a process of its own, whose output is kept beside the store.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="From a process on a machine that is gone or renamed.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a study that was stopped or ran out.

    The study keeps the settings that it began with, and no finished trial is run again. These alone can be changed, here or in
    lorimer.toml: [budget], [providers], [executor], [notify], [store], search.width, sandbox.concurrency and sandbox.warm. With
    --detach the study goes on in a process of its own, which `lorimer watch` shows and `lorimer pause` stops.
    """
    from lorimer.config.settings import overrides
    from lorimer.meta_agent.study import campaign

    if detach and take_over:
        from lorimer.errors import UserError

        raise UserError("--take-over watches the other process first, so it goes without --detach")
    if detach:
        from lorimer.meta_agent.study.people import apart
        from lorimer.terminal.opening import open_reader, pick_study
        from lorimer.terminal.words import to_json

        overrides(set_ or [])  # to refuse here what the other process would
        reader = open_reader(workspace)
        found = apart.resume(reader, workspace, pick_study(reader, study), set_ or ())
        typer.echo(to_json(found) if json else from_here(f"{found}; `lorimer watch {found.study}` shows it", workspace))
        return
    with open_terminal(workspace, json, quiet) as terminal:
        terminal.study = study or ""
        work = campaign.resume(workspace, terminal, study, overrides(set_ or []), over=take_over)
        result = run_to_end(work, resumable=workspace, terminal=terminal)
    say = say_two if kind_of(workspace, result.study) == "ab" else say_result
    say(workspace, result, json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to make the demo's workspace.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the study and of the simulated model's luck.")] = 0,
    candidates: Annotated[int, typer.Option(min=1, help="How many to try.")] = 6,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Trials at once.", show_default="one a core")] = None,
    model: Annotated[str, typer.Option(help="A simulated model.")] = "simulated/apprentice",
    provider: Annotated[SandboxName, typer.Option(help="What runs its sandboxes.")] = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try the whole loop with a simulated model.

    It runs on the starter benchmark: no key, no Docker, a few minutes.
    """
    from lorimer import demo as room

    workers = concurrency or os.cpu_count() or 2
    folder = room.fresh(folder)
    with open_terminal(folder, json, quiet) as terminal:
        report = run_to_end(
            room.demo(
                folder, terminal, seed=seed, candidates=candidates, concurrency=workers, model=model, provider=provider
            ),
            resumable=folder,
            terminal=terminal,
        )
    if json:
        say_json(report)
    else:
        typer.echo(room.text(report))


@app.command()
def power(
    study: Annotated[
        str | None,
        typer.Option(
            "--study", help="A study to forecast the rest of, or a run to take trials from.", show_default="a new study"
        ),
    ] = None,
    assume: Annotated[
        str | None, typer.Option(help="Pass rates instead of trials, such as 0.95x28,0.1-0.9x20,0x10.")
    ] = None,
    pairings: Annotated[bool, typer.Option("--pairings", help="A grid of pairings instead of one study.")] = False,
    task: TaskModels = None,
    meta: MetaModels = None,
    searches: Searches = None,
    trials: Trials = None,
    tokens: Tokens = None,
    usd: Usd = None,
    spec: Spec_ = None,
    workspace: Workspace = HERE,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Forecast what a study can find, and its price.

    The forecast has noise, false promotions, the smallest gain that is found, trials, dollars and hours. It also says how many of
    its recorded trials the champion itself replays to their end, which bounds what a preview can tell. With --pairings it is
    about a grid: which difference between same-model and cross-model pairings it could tell, and its price.
    """
    from lorimer.config.settings import overrides
    from lorimer.meta_agent.forecast import known as planning
    from lorimer.terminal import outlook
    from lorimer.terminal.words import to_json

    grid = {"task": task, "meta": meta, "searches": searches, "trials": trials, "tokens": tokens, "usd": usd}
    if pairings:
        from lorimer.meta_agent.pairings import planning as grids
        from lorimer.terminal import paired

        wanted = spec_of(workspace, spec, **grid)
        outlook_of = grids.plan(workspace, config_of(workspace, set_), wanted, assume=assume)
        typer.echo(to_json(outlook_of) if json else paired.forecast_text(outlook_of))
        return
    refuse_without("--pairings", {**grid, "spec": spec})
    config = config_or_default(workspace, set_) if assume else config_of(workspace, set_)
    found = planning.plan(workspace, config, study=study, assume=assume, overrides=overrides(set_ or []))
    replays = run_to_end(planning.replays(workspace, config, found.study)) if found.study else None
    said = outlook.outlook(found, replays)
    typer.echo(to_json(said) if json else from_here(outlook.power_text(said), workspace))
