"""Which recorded trials of the harness before it an edited harness touches, before anything is paid for it.

Only trials of train tasks are looked at: what is sealed stays sealed. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from lorimer.config.settings import Config
from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.kinds import SOLVED, TrialState
from lorimer.meta_agent.proposer.touching import with_idle
from lorimer.meta_agent.state.descent import own_trials
from lorimer.meta_agent.state.world import World, scan
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched, Untouched
from lorimer.task_agent.shadow.previewed import Preview, Previewed
from lorimer.task_agent.shadow.run import ShadowJail
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import Trial
from lorimer.traces.wired import Gap

PARTS = "a shadow of the recorded harness parts from its own record"

MOST_TRIALS = 200
"""Recorded trials that a candidate is held against. An edit that touches none of 200 touches fewer than 1 in 67 trials of such
tasks (at 95%), which no full run could tell from nothing; and of ten calls each, they take some 5 s on two cores, where one
trial takes minutes."""

GIVEN_UP_SECONDS = 300.0
"""After so long a preview is given up. One of 200 trials takes seconds; an edit that hangs at its beginning hangs in each."""


class Previews:
    """Holds edited harnesses against recorded trials of the harness that they are edits of.

    What that harness itself does to its records is found once, whatever the number of edits.

    Args:
        champion: the text of the harness that ran the trials.
        cases: the recorded trials by the names under which they are told of, in that order.
        settings: the limits of the jails.
        jails: how many shadows run at once; at most one a core.
        scrub: masks secrets in what is said of differences.
        turn: held while shadows run, by all who share the machine's jails; not by `preview` itself.
    """

    def __init__(
        self,
        reader: StudyReader,
        champion: str,
        sha: str,
        cases: Mapping[str, Trial],
        provider: SandboxProvider,
        settings: Config,
        owner: Owner,
        *,
        jails: int | None = None,
        scrub: Callable[[str], str] = lambda text: text,
        turn: asyncio.Lock | None = None,
    ) -> None:
        self._reader, self._champion, self._sha = reader, champion, sha
        self._cases, self._trials = cases, list(cases.values())
        self._provider, self._settings, self._owner, self._scrub = provider, settings, owner, scrub
        self._jails = min(jails or os.cpu_count() or 1, os.cpu_count() or 1)
        self._turn = turn or asyncio.Lock()
        self._own: dict[str, NotPreviewable | None] = {}
        self._known: dict[str, Preview] = {}

    async def preview(self, text: str) -> Preview:
        """Run an edited harness against all the records.

        Raises SandboxError and PrerequisiteError where there is no jail to be had, LorimerError where the store cannot be read.
        """
        found = await self._run(text, lambda trial, outcome: False)
        made = ((case, trial, found[trial.id]) for case, trial in self._cases.items())
        return Preview(self._sha, tuple(_previewed(*each) for each in made))

    async def attempt(self, text: str) -> Preview:
        """Preview `text`; where there is no jail to be had, or it takes too long, the preview says so and is of no trial."""
        if text not in self._known:
            try:
                async with self._turn, asyncio.timeout(GIVEN_UP_SECONDS):
                    self._known[text] = await self.preview(text)
            except (SandboxError, PrerequisiteError) as error:
                return Preview(self._sha, (), why=f"there was no jail for it ({error})")
            except TimeoutError:
                return Preview(self._sha, (), why=f"it was given up after {GIVEN_UP_SECONDS:g} s")
        return self._known[text]

    async def idle(self, text: str, beside: Preview | None = None) -> bool:
        """Whether an edited harness touches none of the trials, or does to each the same as in `beside`."""
        wanted = {} if beside is None else {each.trial: each.outcome for each in beside.trials}

        def differs(trial: str, outcome: Outcome) -> bool:
            same = wanted.get(trial)
            if same is None:
                return not isinstance(outcome, Untouched) and not self._never_told(trial)
            return outcome != same

        try:
            async with self._turn, asyncio.timeout(GIVEN_UP_SECONDS):
                found = await self._run(text, differs)
        except (SandboxError, PrerequisiteError, TimeoutError):
            return False
        return bool(found) and not any(differs(trial, outcome) for trial, outcome in found.items())

    def _never_told(self, trial: str) -> bool:
        """Whether nothing can be told of a trial, whatever the edit."""
        return self._own.get(trial) is not None

    async def _run(self, text: str, enough: Callable[[str, Outcome], bool]) -> dict[str, Outcome]:
        """What an edited harness does to the trials, by their ids: to all, or to some of them where `enough` says so of one."""
        queue = list(reversed(self._trials))
        found: dict[str, Outcome] = {}

        async def work() -> None:
            async with (
                ShadowJail(self._provider, self._settings, text, self._owner) as edited,
                ShadowJail(self._provider, self._settings, self._champion, self._owner) as own,
            ):
                while queue:
                    trial = queue.pop()
                    outcome = found[trial.id] = await self._outcome(trial.id, edited, own)
                    if enough(trial.id, outcome):
                        queue.clear()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(self._trials), self._jails)):
                    group.create_task(work())
        except ExceptionGroup as failures:  # the first says what is wrong
            raise failures.exceptions[0] from None
        return found

    async def _outcome(self, trial: str, edited: ShadowJail, own: ShadowJail) -> Outcome:
        # One at a time: a record of a long conversation is some megabytes.
        record = (await asyncio.to_thread(self._reader.records, [trial]))[trial]
        if isinstance(record, Gap):
            self._own[trial] = NotPreviewable(record.why)
            return NotPreviewable(record.why)
        outcome = self._scrubbed(await edited.run(record))
        if isinstance(outcome, Untouched):
            return outcome  # it drew nothing from chance, and so did what it does alike
        if trial not in self._own:
            # Is it the edit that parts here, or does the recorded harness not do twice what it did once?
            itself = self._scrubbed(await own.run(record))
            if isinstance(itself, Touched):
                itself = NotPreviewable(f"{PARTS} at step {itself.step}: {itself.says}")
            self._own[trial] = itself if isinstance(itself, NotPreviewable) else None
        return self._own[trial] or outcome

    def _scrubbed(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Touched):
            return replace(outcome, says=self._scrub(outcome.says), diff=self._scrub(outcome.diff))
        return replace(outcome, why=self._scrub(outcome.why)) if isinstance(outcome, NotPreviewable) else outcome


def of_harness(
    reader: StudyReader,
    world: World,
    sha: str,
    provider: SandboxProvider,
    settings: Config,
    owner: Owner,
    scrub: Callable[[str], str],
    turn: asyncio.Lock,
) -> Previews:
    """Holds edits of a harness against its own trials, of which `MOST_TRIALS` are chosen at most.

    They are those that the meta-agent reads about, so they are the same however often the study was killed, and at any
    concurrency.
    """
    cases = dict(own_trials(reader, world, sha))
    taken = {trial.id for trial in chosen(list(cases.values()), MOST_TRIALS)}
    held = {case: trial for case, trial in cases.items() if trial.id in taken}
    text, jails = reader.harness(sha).text, settings.sandbox.concurrency
    return Previews(reader, text, sha, held, provider, settings, owner, jails=jails, scrub=scrub, turn=turn)


def chosen(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Choose at most so many of these trials, in their order: as many failed as solved ones where there are enough, and of each
    the first trial of every task before any second one.
    """
    sides = [[trial for trial in trials if _solved(trial) is wanted] for wanted in (False, True)]
    room = [min(len(side), max(most // 2, most - len(other))) for side, other in zip(sides, sides[::-1], strict=True)]
    taken = {trial.id for side, count in zip(sides, room, strict=True) for trial in _spread(side)[:count]}
    return [trial for trial in trials if trial.id in taken]


async def touched(reader: StudyReader, study: str, text: str, provider: SandboxProvider, settings: Config) -> Preview:
    """Run an edited harness against all recorded trials of the champion on train tasks; those of its hunks that touch none of
    them are named.

    Args:
        text: the edited harness.
        settings: the limits of its jails.

    Raises UserError for an unknown study, SandboxError and PrerequisiteError where there is no jail to be had.
    """
    world = scan(reader, study)
    sha, train = world.champion_harness, frozenset(world.train)
    trials = reader.trials(study, harness=sha, state=TrialState.SCORED.value, limit=None)
    found = sorted((trial for trial in trials if trial.task in train), key=lambda trial: trial.id)
    mine = {trial.id: trial for trial in found}
    champion, owner = reader.harness(sha).text, Owner(study, "preview")
    previews = Previews(reader, champion, sha, mine, provider, settings, owner)
    return await with_idle(champion, text, text, await previews.preview(text), previews)


def _spread(trials: Iterable[Trial]) -> list[Trial]:
    """The first trial of each task, then the second ones, …"""
    counted: dict[str, int] = {}
    ranked = []
    for place, trial in enumerate(trials):
        rank = counted[trial.task] = counted.get(trial.task, -1) + 1
        ranked.append((rank, place, trial))
    return [trial for _, _, trial in sorted(ranked, key=lambda each: each[:2])]


def _solved(trial: Trial) -> bool:
    return (trial.reward or 0.0) >= SOLVED


def _previewed(case: str, trial: Trial, outcome: Outcome) -> Previewed:
    return Previewed(trial.id, trial.task, trial.repeat, _solved(trial), outcome, case)
