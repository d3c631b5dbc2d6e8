"""What people see of a preview."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

from lorimer.task_agent.shadow.outcome import NotPreviewable, Touched
from lorimer.task_agent.shadow.previewed import Preview, Previewed
from lorimer.terminal.words import table
from lorimer.wording import count


@dataclass(frozen=True)
class PreviewedTrial:
    """One trial, for `--json`."""

    trial: str
    task: str
    repeat: int
    solved: bool
    outcome: str
    """`untouched`, `touched` or `not previewable`."""
    says: str
    step: int | None = None
    """The first call that is different, from 1."""
    of: int | None = None
    method: str | None = None
    kinds: tuple[str, ...] = ()
    diff: str = ""


@dataclass(frozen=True)
class PreviewRows:
    """A preview, for `--json`."""

    says: str
    champion: str
    inert: bool
    failed_touched: int
    failed: int
    solved_touched: int
    solved: int
    not_previewable: int
    idle: tuple[str, ...]
    """Parts of the edit that make no difference by themselves, in a sentence each without its full stop."""
    trials: tuple[PreviewedTrial, ...]


def rows(preview: Preview) -> PreviewRows:
    """A preview as plain values."""
    touches, trials = preview.touches, tuple(_row(each) for each in preview.trials)
    counts = (*touches.failed, *touches.solved, touches.untold)
    return PreviewRows(str(touches), preview.champion, touches.inert, *counts, touches.idle, trials)


def _row(each: Previewed) -> PreviewedTrial:
    outcome = each.outcome
    row = PreviewedTrial(each.trial, each.task, each.repeat, each.solved, "untouched", says=str(outcome))
    if isinstance(outcome, Touched):
        shown = {name: getattr(outcome, name) for name in ("step", "of", "method", "kinds", "says", "diff")}
        return dataclasses.replace(row, outcome="touched", **shown)
    return dataclasses.replace(row, outcome="not previewable") if isinstance(outcome, NotPreviewable) else row


def text(preview: Preview, *, diffs: bool) -> str:
    """One line per trial, then all of it in a line or two."""
    if not preview.trials:
        return "there is no recorded trial of the champion on a train task yet"
    lines = [table(("task", "repeat", "reward", "what the edit does"), [_cells(each) for each in preview.trials])]
    seen = set[str]()
    for each in preview.trials if diffs else ():
        if isinstance(each.outcome, Touched) and each.outcome.diff not in seen:
            seen.add(each.outcome.diff)
            lines.append(f"\n{each.trial}, {each.outcome}\n{each.outcome.diff}")
    lines.append(f"\n{preview}")
    kinds = Counter(
        f"{each.outcome.method}: {', '.join(each.outcome.kinds)}"
        for each in preview.trials
        if isinstance(each.outcome, Touched)
    )
    lines += [f"first difference: {kind}, {count(trials, 'trial')}" for kind, trials in kinds.most_common()]
    lines += preview.idle
    if preview.touches.inert:
        lines.append("the edit is inert: no recorded trial would have asked for anything else, or finished otherwise")
    return "\n".join(lines)


def _cells(each: Previewed) -> tuple[str, int, str, str]:
    return each.task, each.repeat, "solved" if each.solved else "failed", str(each.outcome)
