"""Every trajectory: list, read, search, query."""

from __future__ import annotations

from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Sealed, StudyName, Workspace
from lorimer.kinds import Stage, TrialOrder, TrialState

app = typer.Typer(help="Every trajectory: list, read, search, query.", no_args_is_help=True)


@app.command("ls")
def traces_ls(
    study: StudyName = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    state: Annotated[TrialState | None, typer.Option(help="Only trials in this state.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only trials of this stage.")] = None,
    harness: Annotated[str | None, typer.Option(help="Beginning of a harness's SHA-256.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only scored trials without the full reward.")] = False,
    sort: Annotated[TrialOrder, typer.Option(help="The newest first, or what took most.")] = "newest",
    every: Annotated[bool, typer.Option("--all", help="Trials of every study, checks included.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    sealed: Sealed = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """List the trials of a study.

    Those of sealed tasks are left out until it has finished.
    """
    from lorimer.errors import UserError
    from lorimer.meta_agent.state.sealed import sealed as sealed_in
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.trials import trials_text
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    if every and study:
        raise UserError("traces ls: --all and --study exclude each other; leave one out")
    matching = reader.trials(
        None if every else pick_study(reader, study).id,
        task=task,
        state=state,
        stage=stage,
        harness=harness,
        failed=failed,
        order=sort,
        limit=limit + 1,
        sealed=() if sealed else sealed_in(reader.studies()),
    )
    found = matching[:limit]
    typer.echo(to_json([trial.model_dump() for trial in found]) if json else trials_text(found))
    _say_if_more(len(matching), limit, "trials")


@app.command("show")
def traces_show(
    trial: Annotated[
        str, typer.Argument(help="A trial's id or a unique beginning of it; or a candidate, such as c001.")
    ],
    study: StudyName = None,
    first: Annotated[int, typer.Option(min=0, help="First step.")] = 0,
    last: Annotated[int | None, typer.Option(min=0, help="Last step.", show_default="the end")] = None,
    full: Annotated[bool, typer.Option(help="Long texts whole.")] = False,
    sealed: Sealed = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Read one trial, or the session that proposed a candidate.

    Every message, reasoning, command and output, as it happened.
    """
    from lorimer.terminal import trajectory
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    found = trajectory.trajectory(reader, trial, study, sealed=sealed)
    if json:
        typer.echo(to_json(trajectory.trajectory_value(reader, found, first, last)))
    else:
        typer.echo(trajectory.trajectory_text(reader, found, first, last, full=full))


@app.command("search")
def traces_search(
    words: Annotated[str, typer.Argument(help="Words, or FTS5 syntax: 'a OR b', '\"a phrase\"', 'pre*'.")],
    study: StudyName = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, best first.")] = 20,
    sealed: Sealed = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Search the text of all steps.

    The best matches come first. Where more than 20,000 steps match, the newest 20,000 are ranked and the others left out.
    Trials of sealed tasks are left out until their study has finished.
    """
    from lorimer.meta_agent.state.sealed import sealed as sealed_in
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import table, to_json

    reader = open_reader(workspace)
    if study:
        reader.study(study)
    matching = reader.search(words, study, limit + 1, sealed=() if sealed else sealed_in(reader.studies()))
    hits = matching[:limit]
    columns = ("owner", "step", "kind", "text")
    rows = [(hit.step.owner, hit.step.index, hit.step.kind, hit.snippet) for hit in hits]
    if json:
        typer.echo(to_json([dict(zip(columns, row, strict=True)) for row in rows]))
    else:
        typer.echo(table(columns, rows) if rows else "nothing found")
    _say_if_more(len(matching), limit, "steps")


@app.command("sql")
def traces_sql(
    statement: Annotated[str, typer.Argument(help="One SELECT over the tables of docs/traces.md.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Query the trace store with SQL, read-only.

    It hides nothing: rows of sealed tasks are read as well while a study goes on, by `trial.stage = 'holdout'`.
    """
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import table, to_json

    found = open_reader(workspace).sql(statement, limit + 1)
    rows = found.rows[:limit]
    if json:
        typer.echo(to_json([dict(zip(found.columns, row, strict=True)) for row in rows]))
    else:
        typer.echo(table(found.columns, [[repr(v) if isinstance(v, float) else v for v in row] for row in rows]))
    _say_if_more(len(found.rows), limit, "rows")


def _say_if_more(found: int, limit: int, what: str) -> None:
    """Say that a listing is cut, beside it: whoever counts its lines would count wrongly."""
    if found > limit:
        typer.echo(f"lorimer: only the first {limit:,} {what} are shown; --limit shows more", err=True)


@app.command("export")
def traces_export(
    to: Annotated[str, typer.Option("--to", help="atif, jsonl, dataset or otlp.")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o", "--out", help="Folder, file, or a collector's address.", show_default="traces-..., or this machine"
        ),
    ] = None,
    study: StudyName = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    state: Annotated[
        TrialState | None, typer.Option(help="Only trials in this state.", show_default="scored and errored")
    ] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only trials of this stage.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Only this candidate's harness, such as c003; or seed.")] = None,
    harness: Annotated[str | None, typer.Option(help="Beginning of a harness's SHA-256.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only scored trials without the full reward.")] = False,
    workspace: Workspace = HERE,
    force: Annotated[bool, typer.Option(help="Overwrite what is there.")] = False,
    json: Json = False,
) -> None:
    """Write trajectories for other tools.

    atif is a folder of files in Harbor's Agent Trajectory Interchange Format; jsonl a file with one trial per line; dataset a
    folder for `datasets.load_from_disk`, messages with rewards; otlp sends OpenTelemetry spans to a collector. Trials of sealed
    tasks are left out until the study has finished (docs/traces-out.md).
    """
    from lorimer.exports.trajectories import Selection
    from lorimer.exports.wrote import export
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.words import to_json

    reader = open_reader(workspace)
    selection = Selection(pick_study(reader, study), task, state, stage, candidate, harness, failed)
    done = export(reader, selection, to, out, force=force)
    if json:
        typer.echo(to_json(done))
        return
    typer.echo(f"wrote {done.trials:,} trials of {done.study} as {done.to} to {done.place}: {done.said}")
    if done.dropped:
        typer.echo(f"{done.dropped:,} trials are left out, as their steps were dropped ([store] keep)")
    if done.sealed:
        left = f"{done.sealed:,} trials of sealed tasks are left out: they are told once {done.study} has finished"
        typer.echo(left)
