"""A branch of the workspace's repository with a commit per edit that the winner rests on, and what a pull request says of it.

Nothing is pushed: the commands for that are said.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from lorimer.errors import UserError
from lorimer.exports.winner import Change, Winner
from lorimer.meta_agent.reports.evidence import Measured
from lorimer.meta_agent.state.result import at_first
from lorimer.meta_agent.workspace.branches import branch_of, possible
from lorimer.meta_agent.workspace.series import SeriesCommit, SeriesWorkspace
from lorimer.wording import count

DESCRIPTION = "PULL_REQUEST.md"
LONGEST = 60_000
"""Characters of the description: code hosts take 65,536."""


def files(winner: Winner) -> dict[str, bytes]:
    """The description. Raises UserError where the winner is the seed harness."""
    if not winner.changes:
        raise UserError(
            f"the winner of {winner.evidence.study} is the seed harness: nothing was promoted, so there is nothing to propose"
        )
    return {DESCRIPTION: _description(winner).encode()}


def place(winner: Winner, root: Path, folder: Path, force: bool) -> tuple[str, ...]:
    """Make the branch; what was made, and the commands that are left to the user. Raises UserError, PrerequisiteError."""
    series = SeriesWorkspace(root, winner.harness_path)
    steps = [SeriesCommit(_message(winner, change), change.text, change.made) for change in winner.changes]
    name = possible(f"{branch_of(winner.evidence.study)}-{winner.evidence.winner}", series.branches())
    made = series.branch(name, winner.evidence.seed_harness, steps, force=force)
    opened = ["gh", "pr", "create", "--head", name, "--title", title(winner), "--body-file", str(folder / DESCRIPTION)]
    commits = f"{len(made.commits)} commit{'s' if len(made.commits) > 1 else ''} on top of {made.base[:12]}"
    return (
        f"{'made the branch' if made.new else 'the branch is there already:'} {name}, {commits}; nothing was pushed",
        f"push it: {series.push(made)}"
        + ("" if made.remote else " (this repository has no remote yet: `git remote add origin URL`)"),
        f"then open it: {shlex.join(opened)}",
    )


def title(winner: Winner) -> str:
    """The title of the pull request."""
    before, after = winner.evidence.baseline.score, winner.evidence.audit.score
    scores = "" if before is None or after is None else f": {before:.3f} to {after:.3f} on {winner.evidence.benchmark}"
    return f"{'Simulated: ' if winner.evidence.simulated else ''}A better agent harness{scores}"


def _message(winner: Winner, change: Change) -> str:
    reasons = {each.candidate: each.reasons.get("full", "") for each in winner.evidence.lineage}
    subject = " ".join(change.title.split()) or f"Promote {change.candidate}"
    # No trailer of a promotion (`workspace.repository`): by those, the loop finds its own commits.
    origin = f"Exported-From: {winner.evidence.study}/{change.candidate}"
    parts = (subject, change.hypothesis.strip(), reasons.get(change.candidate, "").strip(), origin)
    return "\n\n".join(part for part in parts if part) + "\n"


def _description(winner: Winner) -> str:
    found = winner.evidence
    flips = found.tasks
    head = [
        f"# {title(winner)}",
        "",
        *(
            ["> **Simulated.** No language model was asked: the scores say nothing about any.", ""]
            if found.simulated
            else []
        ),
        f"`{winner.harness_path}` as lorimer's study `{found.study}` left it, `{found.winner}`: {_each(winner)} promoted by a "
        f"gate, after a full run of the benchmark and {_fresh(winner)}.",
        "",
        "| | score, 95% interval | trials |",
        "|---|---|---|",
        f"| before, the seed harness | {_score(found.baseline, found.baseline_first)} |",
        f"| after, on {_trials(winner)} | {_score(found.audit)} |",
        "",
        f"- tasks: {flips}",
        *([f"- fixed: {', '.join(flips.fixed)}"] if flips.fixed else []),
        *([f"- broken: {', '.join(flips.broke)}"] if flips.broke else []),
        *([f"- {word}: {said}" for word, said in found.gain.lines()] if found.gain else []),
        f"- tried: {count(found.candidates, 'candidate')}, {found.holdout_queries} queries of the sealed tasks; "
        f"{found.false_promotions}",
        f"- models: task `{found.task_model}`, meta `{found.meta_model}`",
        f"- benchmark: {found.benchmark}, digest `{found.benchmark_digest[:12]}`",
        f"- harness: SHA-256 `{found.harness}`",
        "",
        "## Commits",
        "",
    ]
    tail = ["", f"The whole evidence is in `EVIDENCE.md` beside this page. To check it: {found.replay}."]
    room = LONGEST - sum(len(line) + 1 for line in (*head, *tail)) - 100
    lines = list[str]()
    for number, change in enumerate(winner.changes):
        said = f"{number + 1}. **{' '.join(change.title.split()) or change.candidate}** (`{change.candidate}`)"
        said += f"\n   {' '.join(change.hypothesis.split())}" if change.hypothesis.strip() else ""
        room -= len(said) + 1
        if room < 0:
            lines.append(f"\nAnd {len(winner.changes) - number} more, told in `EVIDENCE.md`.")
            break
        lines.append(said)
    return "\n".join([*head, *lines, *tail]) + "\n"


def _each(winner: Winner) -> str:
    return (
        "each commit was"
        if all(each.promoted for each in winner.changes)
        else "the commits that do not say otherwise were"
    )


def _fresh(winner: Winner) -> str:
    if winner.evidence.gate.get("policy") == "pooled":
        return "a confirmation in fresh trials, side by side with the harness before it"
    return "fresh trials that it did not win by"


def _trials(winner: Winner) -> str:
    """The trials that the winner's score is of."""
    found = winner.evidence
    if found.audit_won:
        return "the trials that confirmed it, so rather too high"
    return f"trials that {'decided nothing' if found.gain and found.gain.decided_nothing else 'it did not win by'}"


def _score(found: Measured, first: Measured | None = None) -> str:
    if found.score is None:
        return f"{found} | "
    begun = at_first(first.trials, first.score) if first else ""
    return f"{found}{begun} | {found.trials}"
