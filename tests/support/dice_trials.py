"""Trials without agents: each draws its reward from dice, and is stored as a real one would be."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import random
import signal
from collections.abc import Callable, Sequence

from lorimer.errors import BudgetExhausted, LorimerError
from lorimer.sandbox.base import Owner
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.traces.schema import (
    Conditions,
    LinesRan,
    PlannedTrial,
    Replayed,
    TraceSink,
    TrialEnd,
    TrialStart,
    TrialState,
    Used,
)
from lorimer.traces.wired import Gap, Record


class Killed(BaseException):
    """Stands for `kill -9`: nothing after it runs, so a test abandons the store's claims with it."""


class Sigkill(Killed):
    """The real thing: no handler runs, no lock is let go, no buffer is written."""

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DiceTrials:
    """Attempts (`scheduler.Attempts`) that finish in an order of their own where several are under way.

    Args:
        sink: where trials are written.
        rate: chance of a full reward, by harness text and planned trial; `None` errors the attempt.
        used: what an attempt has used, by the same.
        ran_of: which lines of the harness ran, by the same.
        failed_by: why an attempt without reward failed.
        parts: why a trial cannot go on from the record that it is given, which an attempt finds before the whole one is run;
            empty where it can.
        order: seed of the order of completion.
        fail_after: that many attempts may finish, then `failure` is raised.
    """

    def __init__(
        self,
        sink: TraceSink,
        rate: Callable[[str, PlannedTrial], float | None],
        *,
        order: int = 0,
        fail_after: int | None = None,
        failure: type[BaseException] = Killed,
        broken: Callable[[str], str] = lambda text: "",
        used: Callable[[str, PlannedTrial], Used] = lambda text, planned: Used(calls=4, input_tokens=10),
        under: Callable[[PlannedTrial], Conditions] = lambda planned: Conditions(),
        ran_of: Callable[[str, PlannedTrial], LinesRan | None] = lambda text, planned: None,
        failed_by: Callable[[PlannedTrial], Cause] = lambda planned: Cause.FINISHED,
        parts: Callable[[PlannedTrial], str] = lambda planned: "",
    ) -> None:
        self._sink, self._rate = sink, rate
        self._order = random.Random(order)
        self._left, self._failure, self._broken = fail_after, failure, broken
        self._used, self._under, self._ran_of, self._failed_by = used, under, ran_of, failed_by
        self._parts = parts
        self._turn = asyncio.Lock()
        self._at_once, self.most_at_once = 0, 0
        """Attempts that were under way at the same time, at most."""
        self.ran: list[str] = []
        """Ids of planned trials in the order in which they were scored."""
        self.given: dict[str, str] = {}
        """The trials whose records were handed over, by the planned trial's id."""

    def scheduler(self, *, width: int = 1, retries: int = 2) -> Scheduler:
        """Runs plans of these attempts, `width` at once."""
        return Scheduler(self, concurrency=width, retries=retries)

    async def prepare(self, plan: Sequence[PlannedTrial]) -> None:
        return

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        if record is not None:
            self.given[planned.id] = record.trial
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._attempt(planned, harness, tried, record)
        finally:
            self._at_once -= 1

    async def _attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None
    ) -> TrialEnd:
        for _ in range(self._order.randrange(8)):
            await asyncio.sleep(0)  # others may overtake
        async with self._turn:
            if self._left is not None:
                if self._left == 0:
                    raise self._error()
                self._left -= 1
            start = TrialStart(planned, len(tried), "dice/fair")
            reward = self._reward(planned, harness)
            state, cause, detail = TrialState.SCORED, Cause.FINISHED, ""
            whole = self._parts(planned) if record is not None else ""
            if whole and all(end.cause != Cause.RECORD_PARTED for end in tried):
                reward, state, cause, detail = None, TrialState.ERRORED, Cause.RECORD_PARTED, whole
            elif reward is None:
                state, cause, detail = TrialState.ERRORED, Cause.ENGINE_FAILURE, "the engine is down"
            elif not reward:
                cause = self._failed_by(planned)
            used, under = self._used(harness, planned), self._under(planned)
            ran = self._ran_of(harness, planned)
            end = TrialEnd(start.id, state, cause.value, detail, reward, used=used, conditions=under, ran=ran)
            if record is not None:
                end = dataclasses.replace(end, replayed=Replayed(record.trial, whole=whole))
            self._sink.open_trial(start)
            # A process that is killed closes nothing; one that is cancelled between the two writes them both.
            await asyncio.shield(self._sink.close_trial(end))
            if reward is not None:
                self.ran.append(planned.id)
            return end

    async def engine_answers(self, why: str) -> None:
        return

    async def dry_start(self, harness: str, owner: Owner) -> str:
        return self._broken(harness)

    def _error(self) -> BaseException:
        if self._failure is BudgetExhausted:
            return BudgetExhausted("budget.trials", 50, 50)
        return self._failure("the dice were taken away") if issubclass(self._failure, LorimerError) else self._failure()

    def _reward(self, planned: PlannedTrial, text: str) -> float | None:
        rate = self._rate(text, planned)
        if rate is None:
            return None
        name = f"{planned.seed}/{planned.stage}/{planned.harness}/{planned.task}/{planned.repeat}"
        return float(int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12 < rate)
