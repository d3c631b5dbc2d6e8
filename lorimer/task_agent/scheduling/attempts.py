"""Attempts at the trials of a study: each one counted, run, judged where an agent may have broken its verifier, and stored."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lorimer.benchmarks.base import Task
from lorimer.config.settings import Config
from lorimer.errors import EngineOutage
from lorimer.models.base import ModelNote
from lorimer.sandbox.base import Owner
from lorimer.task_agent.budget import Budget, Owned
from lorimer.task_agent.causes import SUSPECT, WORLD, Cause
from lorimer.task_agent.outcome import SUSPECT_ATTEMPTS, suspect_count
from lorimer.task_agent.paired.carried import carried
from lorimer.task_agent.scheduling.executor import Executor
from lorimer.task_agent.scheduling.images import ImagePreparer, ImageReport
from lorimer.task_agent.scheduling.local import Local
from lorimer.task_agent.spec import is_harness, spec_of
from lorimer.task_agent.trial import Machine, dry_start
from lorimer.task_agent.verdict.downloads import failed_download
from lorimer.task_agent.verdict.verifiers import VERIFIERS, Verifiers
from lorimer.traces.schema import NOTHING, PlannedTrial, Replayed, StepData, StepKind, TrialEnd, TrialStart, TrialState
from lorimer.traces.wired import Gap, Record

ENGINE_POLL_SECONDS = 1.0
"""The pause between two looks whether the sandbox engine is back. A restart takes seconds."""


class StudyAttempts:
    """Makes attempts at the trials of one study (`scheduler.Attempts`), wherever they run.

    Args:
        machine: the trace and the model of all trials; on its sandboxes a harness is loaded that is only looked at.
        tasks: by id, all that plans will name.
        executor: what runs the trials; by default this machine.
    """

    def __init__(
        self,
        machine: Machine,
        settings: Config,
        tasks: Mapping[str, Task],
        budget: Budget,
        *,
        executor: Executor | None = None,
        on_image: Callable[[ImageReport], None] = lambda report: None,
    ) -> None:
        self._machine, self._settings, self._tasks, self._budget = machine, settings, tasks, budget
        self._executor = executor or Local(machine)
        self._images = ImagePreparer(self._executor.image, on_image)
        self._nop_is_clean: dict[str, bool] = {}
        self._waiting = asyncio.Lock()
        self._asking_nop = {name: asyncio.Lock() for name in tasks}
        self._controls = Counter[tuple[str, int, str]]()
        """How many of each kind an attempt has had, which tells their names."""
        self._verifiers = Verifiers(
            tasks,
            self._control,
            lambda name, said: budget.note(VERIFIERS, ModelNote(name, said)),
            self._wait,
            settings.retries.engine_seconds,
        )

    def at_once(self, trials: int) -> None:
        """So many run at once from now on, and each is stored with that."""
        sandbox = self._settings.sandbox.model_copy(update={"concurrency": trials})
        self._settings = self._settings.model_copy(update={"sandbox": sandbox})
        self._executor.at_once(trials)

    async def prepare(self, plan: Sequence[PlannedTrial]) -> None:
        await self._images.prepare(self._tasks[planned.task] for planned in plan)

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        return await self._attempt(planned, harness, len(tried), tried, record)

    async def engine_answers(self, why: str) -> None:
        async with self._waiting:  # one asks for all
            until = time.monotonic() + self._settings.retries.engine_seconds
            while True:
                try:
                    await self._executor.answers()
                    return
                except EngineOutage as error:
                    left, why = until - time.monotonic(), str(error)
                    if left <= 0:
                        raise EngineOutage(why) from None
                    wait = min(ENGINE_POLL_SECONDS, left)
                    self._machine.on_wait(wait, why)
                    await asyncio.sleep(wait)

    async def dry_start(self, harness: str, owner: Owner) -> str:
        return await dry_start(self._machine.provider, self._settings, harness, owner)

    async def _wait(self, seconds: float, why: str) -> None:
        self._machine.on_wait(seconds, why)
        await asyncio.sleep(seconds)

    async def _attempt(
        self,
        planned: PlannedTrial,
        harness: str,
        number: int,
        tried: Sequence[TrialEnd] | None = None,
        record: Record | Gap | None = None,
    ) -> TrialEnd:
        """One attempt, stored.

        Args:
            tried: how the attempts before it ended; `None` of a control, which nobody judges. Should one be suspect for the
                last time, the nop agent decides whether it scores 0.
        """
        machine, task = self._machine, self._tasks[planned.task]
        whole = next((end.detail for end in reversed(tried or ()) if end.cause == Cause.RECORD_PARTED), "")
        whole = record.why if isinstance(record, Gap) else whole
        answers = carried(record) if isinstance(record, Record) and not whole else None
        judged = tried is not None and is_harness(planned)
        known: tuple[Cause, str] | None = None
        start = TrialStart(
            planned=planned,
            attempt=number,
            model=machine.model.id if machine.model and is_harness(planned) else "",
            sandbox=machine.provider.name,
            network=task.limits.network and self._settings.sandbox.network != "none",
        )
        self._budget.begin_trial()
        try:
            opened = judged and self._verifiers.doubts(planned.task)
            if opened:
                machine.sink.open_trial(start)
                known = await self._verifiers.before(planned, number)
            if known is not None:
                end = TrialEnd(start.id, TrialState.ERRORED, known[0].value, known[1])
            else:
                spec = spec_of(start, harness, task, self._settings, answers)
                end = await self._executor.run(spec, task, opened=opened)
                if end.used == NOTHING:  # what it ran on was lost, and knew alone what was used
                    end = dataclasses.replace(end, used=self._budget.of(start.id).at_most)
                if record is not None and whole:
                    end = dataclasses.replace(end, replayed=Replayed(record.trial, whole=whole))
                if judged:
                    end = await self._verifiers.judged(planned, number, end)
                else:
                    end = _control_end(planned, end, network=start.network)
            judge = tried is not None and suspect_count(tried) + 1 >= SUSPECT_ATTEMPTS
            if judge and end.cause in SUSPECT and await self._verifies_cleanly(planned, number):
                detail = f"{end.detail}; the task verifies cleanly without the agent, so it scores 0"
                end = dataclasses.replace(end, state=TrialState.SCORED, reward=0.0, detail=detail)
        except BaseException:
            # Cancelled, out of budget, or misconfigured: the attempt is kept as evidence and counts for nothing.
            await asyncio.shield(machine.sink.close_trial(_cancelled(start.id, self._budget.of(start.id))))
            raise
        finally:
            self._budget.forget(start.id)
        verdict = {"state": end.state.value, "reward": end.reward, "cause": end.cause, "detail": end.detail}
        machine.sink.step(StepData(start.id, StepKind.VERDICT, end.seconds, 0.0, verdict, end.detail))
        await asyncio.shield(machine.sink.close_trial(end))
        return end

    async def _control(self, planned: PlannedTrial, number: int, agent: str) -> TrialEnd:
        """Run `oracle` or `nop` for an attempt at a planned trial, under a name of its own. Raises EngineOutage."""
        again = self._controls[planned.id, number, agent]
        self._controls[planned.id, number, agent] += 1
        name = f"{planned.id}/{agent}" + (f"-{again}" if again else "")
        control = dataclasses.replace(planned, id=name, evaluation=f"{planned.evaluation}/{agent}", harness=agent)
        end = await self._attempt(control, "", number)
        if end.cause == Cause.ENGINE_OUTAGE:
            raise EngineOutage(end.detail)
        return end

    async def _verifies_cleanly(self, planned: PlannedTrial, number: int) -> bool:
        """Whether the task's own verifier gives a reward when no agent acts. Asked once a task."""
        async with self._asking_nop[planned.task]:
            known = self._nop_is_clean.get(planned.task)
            if known is not None:
                return known
            end = await self._control(planned, number, "nop")
            if end.cause not in WORLD:  # an engine that fails says nothing of the task
                self._nop_is_clean[planned.task] = end.state is TrialState.SCORED
            return end.state is TrialState.SCORED


def _control_end(planned: PlannedTrial, end: TrialEnd, *, network: bool) -> TrialEnd:
    """A control's end: where a download fails by a network that there is, it says nothing of the task's solution."""
    line = failed_download(end.verifier_output)
    if planned.harness != "oracle" or not network or end.reward or end.state is not TrialState.SCORED or not line:
        return end
    return dataclasses.replace(
        end,
        state=TrialState.ERRORED,
        cause=Cause.VERIFIER_BROKEN.value,
        detail=f'its verifier says "{line}"',
        reward=None,
        rewards={},
    )


def _cancelled(trial: str, owned: Owned) -> TrialEnd:
    """The end of a trial that was stopped, with what its calls are known to have used."""
    unanswered = owned.unanswered
    calls = "a model call was" if unanswered == 1 else f"{unanswered} model calls were"
    return TrialEnd(
        trial,
        TrialState.CANCELLED,
        Cause.CANCELLED.value,
        detail=f"{calls} not answered; the cost holds what was set aside for that" if unanswered else "",
        used=owned.at_most,
    )
