"""What a person decides: propose, review, revert, pause, tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lorimer.commands.options import HERE, Json, Set, Study, StudyName, Workspace
from lorimer.commands.shared import config_of, experiments_of, goes_on, harness_of, run_to_end
from lorimer.terminal.here import from_here
from lorimer.wording import visible

app = typer.Typer()

Why = Annotated[str, typer.Option("--why", help="The reason, for the log and for the meta-agent.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides.", show_default="git's user.name and user.email")]


@app.command()
def review(
    candidate: Annotated[
        str | None, typer.Argument(help="Which, to be sure.", show_default="the one that waits")
    ] = None,
    approve: Annotated[
        bool | None, typer.Option("--approve/--refuse", help="The answer.", show_default="show it")
    ] = None,
    why: Why = "",
    by: By = None,
    study: StudyName = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Show, approve or refuse a promotion that waits for a person.

    A study holds its promotions where lorimer.toml says `[review] required = true` when it begins: a candidate that passed every
    stage waits, and the study pauses. The answer, its reason, who gave it and when are kept in the chain of decisions.
    `lorimer resume` then goes on.
    """
    from lorimer.meta_agent.reports import review as page
    from lorimer.meta_agent.state.world import scan
    from lorimer.meta_agent.study.people import hand
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    config = config_of(workspace, None)
    reader = open_reader(workspace)
    row = experiments_of(reader, study)
    if approve is None:
        found = page.held(reader, row, scan(reader, row.id))
        if json:
            typer.echo(to_json(found))
        else:
            typer.echo(visible(page.text(found)) if found else f"no promotion of {row.id} waits for a review")
        return
    who = hand.person(hand.workspace_of(workspace, config), by, why)
    said = run_to_end(hand.review(workspace, row, candidate, who, approve=approve))
    typer.echo(to_json({"study": row.id, "said": said}) if json else goes_on(said, row, workspace))


@app.command()
def propose(
    edit: Annotated[Path | None, typer.Option("--edit", help="The edited harness, a file.")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="In place of an edit of yours: take out what the champion may not need.")
    ] = False,
    why: Why = "",
    fixes: Annotated[
        list[str] | None,
        typer.Option(
            "--fixes",
            help="A train task that it should fix; without any, those are tried whose failed trials it touches.",
        ),
    ] = None,
    at_risk: Annotated[list[str] | None, typer.Option("--at-risk", help="A train task that it may break.")] = None,
    study: StudyName = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Put an edit of your own before the gate, or take one out.

    Your edit must pass the same checks as the meta-agent's, is refused in the same words, and is then tried like one of those. A
    process that runs the study comes to it when its own candidate is done; without one, `lorimer resume` does. With `--prune` one
    hunk of the champion is taken out: one that fired in no trial, else one of the oldest promotion. Repeat it for the next.
    """
    from lorimer.errors import UserError
    from lorimer.meta_agent.study.candidates import edits, pruning
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    if prune == (edit is not None):
        raise UserError("propose: give either --edit FILE or --prune")
    text = harness_of(edit) if edit is not None else ""
    row = experiments_of(open_reader(workspace), study)
    if prune:
        found = run_to_end(pruning.prune(workspace, row))
    else:
        found = run_to_end(edits.propose(workspace, row, text, why, fixes or (), at_risk or ()))
    if json:
        typer.echo(to_json(found))
        return
    touches = f", and {found.touches}" if found.touches else ""
    typer.echo(
        goes_on(f"{found.candidate} ({found.title}) is put before the gate of {row.id}{touches}", row, workspace)
    )


@app.command()
def revert(
    candidate: Annotated[str, typer.Argument(help="An earlier champion, such as c003; `seed` is the seed harness.")],
    why: Why = "",
    by: By = None,
    drop: Annotated[bool, typer.Option("--drop", help="Give up a candidate that is under way.")] = False,
    study: StudyName = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Make an earlier champion the champion again.

    It is a commit on top of those that there are, and a decision in the chain, with the reason, who took it and when. Candidates
    that come later meet the earlier champion; its stored trials stand for it.
    """
    from lorimer.meta_agent.study.people import hand
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    config = config_of(workspace, None)
    row = experiments_of(open_reader(workspace), study)
    who = hand.person(hand.workspace_of(workspace, config), by, why)
    found = run_to_end(hand.revert(workspace, row, candidate, who, drop=drop))
    if json:
        typer.echo(to_json(found))
        return
    said = f"{found.champion} is the champion of {row.id} again, after {found.before} (commit {found.commit[:12]})"
    typer.echo(goes_on(said, row, workspace))
    if found.note:
        typer.echo(from_here(found.note, workspace))


@app.command()
def pause(
    study: Study = None,
    why: Why = "",
    by: By = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Ask whoever runs a study to pause it.

    It stops as by Ctrl-C in its own terminal: trials under way are given up, finished ones are kept, and `lorimer resume` goes
    on. Who asked, when and why is kept in the chain.
    """
    from lorimer.meta_agent.study.people import asking, hand
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.words import to_json

    row = pick_study(open_reader(workspace), study)
    who = hand.person(hand.workspace_of(workspace, config_of(workspace, None)), by, why)
    said = run_to_end(asking.pause(workspace, row, who))
    typer.echo(to_json({"study": row.id, "said": said}) if json else from_here(said, workspace))


@app.command()
def tune(
    study: Study = None,
    at_once: Annotated[
        int | None, typer.Option("--at-once", "-j", min=1, help="Trials at once: sandbox.concurrency.")
    ] = None,
    width: Annotated[int | None, typer.Option("--width", min=1, help="Proposals per round: search.width.")] = None,
    set_: Set = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="A bound to take away: budget.usd.")] = None,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Change a study's budget, trials at once or proposals per round.

    The study may be running: its process hears of the change within a few seconds, and the change holds for what comes after. A
    round that has begun keeps its proposals. The change is stored and chained like those of a resume. `--set` takes [budget],
    search.width and sandbox.concurrency.
    """
    from lorimer.config.settings import overrides
    from lorimer.meta_agent.study.people import asking
    from lorimer.terminal.opening import open_reader, pick_study
    from lorimer.terminal.words import to_json

    row = pick_study(open_reader(workspace), study)
    asked = {**overrides(set_ or []), **dict.fromkeys(unset or ())}
    asked |= {"sandbox.concurrency": at_once} if at_once is not None else {}
    asked |= {"search.width": width} if width is not None else {}
    found = run_to_end(asking.tune(workspace, row, asked))
    typer.echo(to_json({"study": row.id, "changed": found}) if json else visible("\n".join(map(str, found))))
