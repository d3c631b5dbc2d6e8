"""Which recorded trials of the champion an edited harness touches, before anything is paid for it.

Only trials of train tasks are looked at: what is sealed stays sealed. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from lorimer.config import Config
from lorimer.kinds import SOLVED, TrialState
from lorimer.meta_agent.study.world import scan
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched, Untouched
from lorimer.task_agent.shadow.run import ShadowJail
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import Trial
from lorimer.traces.wired import Gap, Record

PARTS = "a shadow of the recorded harness parts from its own record"


@dataclass(frozen=True)
class Previewed:
    """One recorded trial of the champion under an edited harness."""

    trial: str
    task: str
    repeat: int
    solved: bool
    outcome: Outcome
    """Where the trial cannot be replayed, `NotPreviewable` says why."""


@dataclass(frozen=True)
class Preview:
    """All of them."""

    champion: str
    """The SHA-256 of the harness whose trials they are."""
    trials: tuple[Previewed, ...]

    def touched(self, *, solved: bool) -> tuple[int, int]:
        """How many failed or solved trials are touched, of how many that can be told of."""
        mine = [each for each in self.trials if each.solved == solved and not isinstance(each.outcome, NotPreviewable)]
        return sum(isinstance(each.outcome, Touched) for each in mine), len(mine)

    @property
    def untold(self) -> int:
        """Trials of which it cannot be told."""
        return sum(isinstance(each.outcome, NotPreviewable) for each in self.trials)

    @property
    def inert(self) -> bool:
        """Whether the edit touches nothing that can be told of, and there is something that can."""
        told = [each.outcome for each in self.trials if not isinstance(each.outcome, NotPreviewable)]
        return bool(told) and all(isinstance(outcome, Untouched) for outcome in told)

    def __str__(self) -> str:
        """`touches 9 of 40 failed and 2 of 60 solved trials`."""
        (failed, of_failed), (solved, of_solved) = self.touched(solved=False), self.touched(solved=True)
        return f"touches {failed} of {of_failed} failed and {solved} of {of_solved} solved trials"


async def touched(
    reader: StudyReader, study: str, text: str, provider: SandboxProvider, settings: Config, *, jails: int | None = None
) -> Preview:
    """Run an edited harness against the champion's recorded trials on train tasks.

    Args:
        text: the edited harness.
        settings: the limits of its jails.
        jails: how many shadows run at once; one a core where it is `None`.

    Raises UserError for an unknown study, SandboxError and PrerequisiteError where there is no jail to be had.
    """
    world = scan(reader, study)
    sha, train = world.champion_harness, frozenset(world.train)
    trials = reader.trials(study, harness=sha, state=TrialState.SCORED.value, limit=None)
    mine = sorted((trial for trial in trials if trial.task in train), key=lambda trial: trial.id)
    records = await asyncio.to_thread(reader.records, [trial.id for trial in mine])
    champion = reader.harness(sha).text if mine else ""
    owner = Owner(study, "preview")
    queue = list(reversed(mine))
    found: dict[str, Outcome] = {}

    async def work() -> None:
        async with (
            ShadowJail(provider, settings, text, owner) as edited,
            ShadowJail(provider, settings, champion, owner) as own,
        ):
            while queue:
                trial = queue.pop()
                found[trial.id] = await _outcome(records[trial.id], edited, own)

    workers = min(len(mine), jails or os.cpu_count() or 1)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except ExceptionGroup as failures:  # the first says what is wrong
        raise failures.exceptions[0] from None
    return Preview(sha, tuple(_previewed(trial, found[trial.id]) for trial in mine))


async def _outcome(record: Record | Gap, edited: ShadowJail, own: ShadowJail) -> Outcome:
    if isinstance(record, Gap):
        return NotPreviewable(record.why)
    outcome = await edited.run(record)
    if isinstance(outcome, Untouched):
        return outcome  # it drew nothing from chance, and so did what it does alike
    # Is it the edit that parts here, or does the recorded harness not do twice what it did once?
    itself = await own.run(record)
    if isinstance(itself, NotPreviewable):
        return itself
    if isinstance(itself, Touched):
        return NotPreviewable(f"{PARTS} at step {itself.step}: {itself.says}")
    return outcome


def _previewed(trial: Trial, outcome: Outcome) -> Previewed:
    return Previewed(trial.id, trial.task, trial.repeat, (trial.reward or 0.0) >= SOLVED, outcome)
