"""Many trials at once: in the order of their plan, retried where the world broke them, stopped where it is told.

The scheduler does not know where and how a trial runs: `Attempts` makes one attempt, and `attempts.StudyAttempts` makes it on
whatever executor it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from lorimer.errors import BudgetExhausted, EngineOutage, ProviderOutage, ProviderRefusal, VerifierOutage
from lorimer.sandbox.base import Owner
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome, outcome_of
from lorimer.task_agent.scheduling.places import Places
from lorimer.task_agent.scheduling.waiting import Durations, Waiting
from lorimer.traces.schema import PlannedTrial, TrialEnd
from lorimer.traces.wired import Gap, Record

OUTAGES = 3
"""After so many outages of the engine during one planned trial the study pauses: it may be this trial that brings it down."""


class Attempts(Protocol):
    """Makes attempts at planned trials. One conformance suite (`tests/task_agent/test_attempts.py`) runs on every kind."""

    async def prepare(self, plan: Sequence[PlannedTrial]) -> None:
        """Make ready what these trials will need, so that no trial's time is spent on it.

        What cannot be had is no error here: the trials that need it will say so. Raises PrerequisiteError where none can.
        """
        ...

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        """One attempt, start to verdict. It is stored when this returns, as `<planned trial>/<number of those tried>`.

        Args:
            harness: the harness's text; not read for `oracle` and `nop`.
            tried: how the attempts before this one ended, in order.
            record: of another trial of the task, which answers this one's calls until its harness asks for something else. An
                attempt that cannot go on from it ends as RECORD_PARTED, and those after it run whole; all do where it has a gap.

        One that is cancelled, or that ends in an error which stops the study, is stored as cancelled. Raises BudgetExhausted,
        ConfigError, PrerequisiteError, LorimerError where it cannot be stored.
        """
        ...

    async def engine_answers(self, why: str) -> None:
        """Returns when the engine of a trial that ended as ENGINE_OUTAGE answers again.

        Raises EngineOutage with the newest reason (`why` at first) where it does not in time.
        """
        ...

    async def dry_start(self, harness: str, owner: Owner) -> str:
        """Load a harness in a jail without a task; "" or why it does not start. Raises SandboxError, PrerequisiteError."""
        ...


class Scheduler:
    """Runs planned trials, `concurrency` at a time, and tells `on_trial` of each that has its outcome, in any order.

    Several plans may run at once. They share these places: a free one goes to whichever trial has waited longest for it.

    Args:
        retries: further attempts for a trial that the world broke.
        on_resize: told how many run at once, where that changes.
    """

    def __init__(
        self,
        attempts: Attempts,
        *,
        concurrency: int,
        retries: int,
        on_trial: Callable[[TrialOutcome], None] = lambda outcome: None,
        on_resize: Callable[[int], None] = lambda concurrency: None,
    ) -> None:
        self._attempts, self._retries, self._on_trial, self._on_resize = attempts, retries, on_trial, on_resize
        self._places = Places(concurrency)
        self._durations = Durations()

    def resize(self, concurrency: int) -> None:
        """Run so many trials at once from now on. Those under way end as they would have."""
        if concurrency != self._places.most:
            self._on_resize(concurrency)
            self._places.resize(concurrency)

    async def run(
        self,
        plan: Sequence[PlannedTrial],
        harness_text: str,
        *,
        past: Mapping[str, Sequence[TrialEnd]] | None = None,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        others: Mapping[str, str] | None = None,
        records: Mapping[str, Record | Gap] | None = None,
        in_rounds: bool = False,
    ) -> list[TrialOutcome]:
        """Run what of the plan is not settled by its `past` attempts.

        A plan may hold trials of further harnesses, whose texts are in `others` by SHA-256, and trials that are answered from a
        record at first, which are in `records` by the planned trial's id.

        `stop` is asked each time that the longest finished prefix of the plan has grown; when it says yes, trials under
        way are cancelled and no more start. Where a plan is run `in_rounds`, it has every task once, then every task again,
        and those trials of a round begin first that are expected to take longest.

        Returns the outcomes in plan order: all of them, or the prefix that `stop` accepted. A harness text of `oracle` or `nop`
        plans runs those agents.

        Raises BudgetExhausted once the trials under way have ended, each within what was set aside for it, and
        ProviderOutage, ProviderRefusal, VerifierOutage or EngineOutage after they were cancelled; what has finished is stored.
        """
        attempts = {planned.id: list((past or {}).get(planned.id, ())) for planned in plan}
        outcomes: dict[str, TrialOutcome] = {}
        for planned in plan:
            outcome = outcome_of(planned, attempts[planned.id], self._retries)
            if outcome is not None:
                outcomes[planned.id] = outcome
        await self._attempts.prepare([planned for planned in plan if planned.id not in outcomes])
        self._learn(plan, attempts)
        waiting = Waiting(plan, outcomes, self._durations, in_rounds=in_rounds)
        prefix = _Prefix(plan, outcomes, stop)
        under_way = _UnderWay(self._places)
        try:
            while not await prefix.is_enough():
                while waiting and under_way.has_room:
                    planned = waiting.take()
                    text = (others or {}).get(planned.harness, harness_text)
                    record = (records or {}).get(planned.id)
                    under_way.begin(self._settle(planned, text, attempts[planned.id], record))
                if not under_way.running:
                    under_way.raise_exhausted()
                    break
                async for outcome in under_way.ended():
                    outcomes[outcome.planned.id] = outcome
                    self._on_trial(outcome)
            return prefix.outcomes
        finally:
            await under_way.cancel()

    async def dry_start(self, harness_text: str, owner: Owner) -> str:
        """Load a harness in a jail; "" or why it does not start."""
        async with self._places:
            return await self._attempts.dry_start(harness_text, owner)

    def _learn(self, plan: Sequence[PlannedTrial], past: Mapping[str, Sequence[TrialEnd]]) -> None:
        """What an earlier process's attempts say of tasks that this one has not run yet."""
        unknown = [planned for planned in plan if not self._durations.known(planned.task)]
        for planned in unknown:
            for end in past[planned.id]:
                self._durations.learn(planned.task, end)

    async def _settle(
        self, planned: PlannedTrial, harness_text: str, tried: list[TrialEnd], record: Record | Gap | None
    ) -> TrialOutcome:
        """Attempts until the planned trial has its outcome, in one of the places."""
        async with self._places:
            return await self._attempted(planned, harness_text, tried, record)

    async def _attempted(
        self, planned: PlannedTrial, harness_text: str, tried: list[TrialEnd], record: Record | Gap | None
    ) -> TrialOutcome:
        outages = 0
        while True:
            end = await self._attempts.attempt(planned, harness_text, tried, record)
            tried.append(end)
            self._durations.learn(planned.task, end)
            if end.cause == Cause.PROVIDER_OUTAGE:
                raise ProviderOutage(end.detail)
            if end.cause == Cause.PROVIDER_REFUSAL:
                raise ProviderRefusal(end.detail)
            if end.cause == Cause.VERIFIER_OUTAGE:
                raise VerifierOutage(end.detail)
            if end.cause == Cause.ENGINE_OUTAGE:
                outages += 1
                if outages == OUTAGES:
                    raise EngineOutage(end.detail)
                await self._attempts.engine_answers(end.detail)
            outcome = outcome_of(planned, tried, self._retries)
            if outcome is not None:
                return outcome


class _Prefix:
    """The longest finished prefix of a plan.

    Args:
        outcomes: those that are known, by the planned trial's id; further ones are added by who has them.
        stop: says of a prefix that it is enough.
    """

    def __init__(
        self,
        plan: Sequence[PlannedTrial],
        outcomes: Mapping[str, TrialOutcome],
        stop: Callable[[Sequence[TrialOutcome]], bool] | None,
    ) -> None:
        self._plan, self._known, self._stop = plan, outcomes, stop
        self.outcomes = list[TrialOutcome]()

    async def is_enough(self) -> bool:
        """Whether `stop` accepts a prefix, after this one has grown by what is known by now.

        It is asked at every length, so that the answer never depends on which trials happened to finish together, and in a
        thread, as what it computes may take longer than running trials can wait.
        """
        for planned in self._plan[len(self.outcomes) :]:
            if planned.id not in self._known:
                break
            self.outcomes.append(self._known[planned.id])
            if self._stop is not None and await asyncio.to_thread(self._stop, self.outcomes):
                return True
        return False


class _UnderWay:
    """The trials of one plan that run now. Once the budget is exhausted none is begun, and those under way may end."""

    def __init__(self, places: Places) -> None:
        self.running = set[asyncio.Task[TrialOutcome]]()
        self._places = places
        self._done = set[asyncio.Task[TrialOutcome]]()
        self._resized = asyncio.create_task(places.resized(places.most))
        self._exhausted: BudgetExhausted | None = None

    @property
    def has_room(self) -> bool:
        """Whether another may be begun."""
        return self._exhausted is None and len(self.running) < self._places.most

    def begin(self, trial: Coroutine[Any, Any, TrialOutcome]) -> None:
        self.running.add(asyncio.create_task(trial))

    async def ended(self) -> AsyncIterator[TrialOutcome]:
        """The outcomes of those that have ended, once one has; none where the number of places has changed, or where the budget
        was exhausted. Raises what else a trial raised.
        """
        await asyncio.wait([*self.running, self._resized], return_when=asyncio.FIRST_COMPLETED)
        if self._resized.done():
            self._resized = asyncio.create_task(self._places.resized(self._places.most))
        self._done = {task for task in self.running if task.done()}
        self.running -= self._done
        for task in self._done:
            try:
                outcome = task.result()
            except BudgetExhausted as error:
                self._exhausted = error
            else:
                yield outcome

    def raise_exhausted(self) -> None:
        """Raises the BudgetExhausted that one of them met."""
        if self._exhausted is not None:
            raise self._exhausted

    async def cancel(self) -> None:
        """Cancel what still runs, and wait for its end."""
        for each in (*self.running, self._resized):
            each.cancel()
        # Those done as well: two may have failed at once, and only the first was heard.
        await asyncio.gather(*self.running, *self._done, self._resized, return_exceptions=True)
