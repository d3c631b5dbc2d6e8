"""How many of the champion's recorded trials the champion itself replays to their end, and why the others part.

It is the bound on what a preview can tell: of a trial that the unchanged harness does not replay, nothing is known.
Only trials of train tasks are looked at. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from lorimer.config.settings import Config
from lorimer.errors import NotRemoved, SandboxError
from lorimer.meta_agent.state.world import scan
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.task_agent.shadow.outcome import Outcome, Untouched
from lorimer.task_agent.shadow.reasons import Reason, reasons
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import Attempt
from lorimer.traces.wired import Gap


@dataclass(frozen=True)
class TrialReplay:
    """One of them, run against its own record."""

    trial: str
    task: str
    repeat: int
    calls: int
    """Calls on record; 0 where the record has a gap."""
    outcome: Outcome | Gap

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why it did not replay to its end; empty where it did."""
        return reasons(self.outcome)


@dataclass(frozen=True)
class PartedTrials:
    """Trials that part for the same reasons."""

    reasons: tuple[Reason, ...]
    trials: tuple[TrialReplay, ...]


@dataclass(frozen=True)
class Replays:
    """All of them."""

    study: str
    champion: str
    of: int
    """How many trials there are; `trials` may be fewer."""
    trials: tuple[TrialReplay, ...]

    @property
    def whole(self) -> int:
        """How many replayed to their end."""
        return sum(isinstance(each.outcome, Untouched) for each in self.trials)

    @property
    def apart(self) -> tuple[PartedTrials, ...]:
        """The others by why they part, the most frequent first."""
        found: dict[tuple[Reason, ...], list[TrialReplay]] = {}
        for each in self.trials:
            if each.reasons:
                found.setdefault(each.reasons, []).append(each)
        groups = [PartedTrials(why, tuple(mine)) for why, mine in found.items()]
        return tuple(sorted(groups, key=lambda group: (-len(group.trials), group.reasons)))


async def replays(
    reader: StudyReader,
    study: str,
    sandboxes: Callable[[], AbstractAsyncContextManager[SandboxProvider]],
    settings: Config,
    *,
    most: int | None = None,
    wait: float | None = None,
) -> Replays:
    """Run a study's champion against its own recorded trials on train tasks.

    Args:
        sandboxes: opens them; not asked where no trial has a record.
        settings: the limits of its jails.
        most: how many trials at most; the first of every task before any second one.
        wait: seconds that a jail may take to be made; `None` leaves it to the provider.

    Raises UserError for an unknown study, SandboxError and PrerequisiteError where there is no jail to be had.
    """
    sha, mine = await asyncio.to_thread(_recorded, reader, study)
    taken = mine[:most]
    found = await asyncio.to_thread(_without_record, reader, taken)
    if len(found) < len(taken):
        text, owner = reader.harness(sha).text, Owner(study, "replay")
        async with sandboxes() as provider:
            found |= await _in_jails(reader, taken[len(found) :], provider, settings, text, owner, wait)
    return Replays(study, sha, len(mine), tuple(found[trial.id] for trial in taken))


async def measured(
    reader: StudyReader, study: str, settings: Config, most: int | None = None, wait: float | None = None
) -> Replays:
    """The same on the sandboxes that the settings ask for, which may take `wait` seconds to be there, too.

    Raises UserError for an unknown study, PrerequisiteError and SandboxError where there is no jail to be had.
    """
    return await replays(reader, study, partial(_opened, settings, wait), settings, most=most, wait=wait)


@asynccontextmanager
async def _opened(settings: Config, wait: float | None) -> AsyncIterator[SandboxProvider]:
    """The sandboxes that the settings ask for, closed at the end."""
    from lorimer.meta_agent.workspace.engines import open_provider

    try:
        async with asyncio.timeout(wait):
            provider = await open_provider(settings)
    except TimeoutError:
        raise SandboxError(f"the sandboxes were not there within {wait:g} s") from None
    failed: SandboxError | None = None
    try:
        yield provider
    except SandboxError as error:
        failed = error
        raise
    finally:
        try:
            await provider.close()
        except NotRemoved as left:
            if failed is None:
                raise
            raise SandboxError(f"{failed}; {left}") from None


def _recorded(reader: StudyReader, study: str) -> tuple[str, list[Attempt]]:
    """The champion's harness and its scored trials of train tasks, the first of every task before any second one."""
    world = scan(reader, study)
    sha, train = world.champion_harness, frozenset(world.train)
    mine = [trial for trial in reader.trials_of_harness(study, sha) if trial.task in train]
    return sha, sorted(mine, key=lambda trial: (trial.repeat, trial.task, trial.id))


def _without_record(reader: StudyReader, trials: Iterable[Attempt]) -> dict[str, TrialReplay]:
    """Those of the trials that come before the first with a whole record: of these no jail need be asked."""
    found = {}
    for trial in trials:
        record = reader.records([trial.id])[trial.id]
        if not isinstance(record, Gap):
            break
        found[trial.id] = TrialReplay(trial.id, trial.task, trial.repeat, 0, record)
    return found


async def _in_jails(
    reader: StudyReader,
    trials: Sequence[Attempt],
    provider: SandboxProvider,
    settings: Config,
    text: str,
    owner: Owner,
    wait: float | None,
) -> dict[str, TrialReplay]:
    from lorimer.task_agent.shadow.run import ShadowJail

    queue, found = iter(trials), dict[str, TrialReplay]()

    async def work() -> None:
        async with ShadowJail(provider, settings, text, owner, wait=wait) as jail:
            for trial in queue:
                # One at a time: a record of a long conversation is some megabytes.
                record = (await asyncio.to_thread(reader.records, [trial.id]))[trial.id]
                calls = 0 if isinstance(record, Gap) else sum(len(part.calls) for part in record.parts)
                outcome = record if isinstance(record, Gap) else await jail.run(record)
                found[trial.id] = TrialReplay(trial.id, trial.task, trial.repeat, calls, outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(trials), os.cpu_count() or 1)):
                group.create_task(work())
    except ExceptionGroup as failures:  # the first says what is wrong
        raise failures.exceptions[0] from None
    return found
