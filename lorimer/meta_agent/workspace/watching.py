"""What a running study tells whoever watches: events, waits for a provider, remarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lorimer.benchmarks.base import Suite
from lorimer.harness import outside
from lorimer.meta_agent.workspace.events import ImageReady, Progress, TrialFinished
from lorimer.meta_agent.workspace.where import store_at
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.traces import place
from lorimer.traces.databases.sqlite import Sqlite
from lorimer.traces.schema import Stage


class Watcher(Progress, Protocol):
    """Whoever shows what happens: events, waits for a provider, tokens that arrive, and remarks."""

    def on_wait(self, seconds: float, why: str) -> None: ...

    def on_tokens(self, tokens: float) -> None:
        """Hear that tokens of a streamed answer have arrived; their number is an estimate."""
        ...

    def say(self, line: str) -> None: ...


def tellers(watcher: Watcher) -> tuple[Callable[[TrialOutcome], None], Callable[[ImageReport], None]]:
    """What to tell of a trial that has its outcome, and of an image that is ready.

    A task that cannot be scored for want of a scale is named once, as one that cannot be read is.
    """
    named: set[str] = set()

    def on_trial(outcome: TrialOutcome) -> None:
        watcher.on_event(TrialFinished(outcome))
        task = outcome.planned.task
        if outcome.cause == Cause.REWARD_SCALE and task not in named:
            named.add(task)
            sealed = f"task {task}: its rewards are not from 0 to 1; say what they mean by scale under [verifier]"
            watcher.say(f"left out: {sealed if outcome.planned.stage is Stage.HOLDOUT else outcome.detail}")

    return on_trial, lambda report: watcher.on_event(ImageReady(report))


def tell_place(root: Path, watcher: Watcher) -> None:
    """Warn of a network drive under the traces."""
    database = store_at(root)
    said = place.remark(database.path.parent) if isinstance(database, Sqlite) else ""
    if said:
        watcher.say(said)


def tell_outside(path: str, harness: str, watcher: Watcher) -> None:
    """Warn of what the harness does in its jail and may mean for the task."""
    said = outside.told(path, harness)
    if said:
        watcher.say(f"warning: {said}")


def tell_problems(suite: Suite, watcher: Watcher) -> None:
    for note in suite.notes:
        watcher.say(f"note: {note}")
    for bad in suite.problems:
        watcher.say(f"left out: {bad}")
