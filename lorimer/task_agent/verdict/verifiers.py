"""Tells verifiers that fail for want of a download, or alike for task after task, from tasks that fail, before a 0 is believed.

A trial without a reward above 0 whose verifier tells of a failed download (`downloads`) is not scored by that alone, nor is one
whose verifier gave no reward and said what those of `TASKS_IN_A_ROW` tasks in a row have said. The task is verified again without
its agent: with its own solution where it has one, else with nothing done. So an agent that breaks the
network of its sandbox wins nothing, not even a second try.

- The control works: the 0 is believed. Where its verifier says the same, that means nothing on this task, and is asked no more.
- The control fails too: the trial errors (`verifier_broken`) and is retried as others are; as long as its task's control goes on
  to fail, no model is paid for it. Where that is so of `TASKS_IN_A_ROW` tasks, and no verifier worked meanwhile, it is an
  outage (`verifier_outage`): it is waited for, then the study pauses.

Verifiers that do neither cost nothing here, and the outcome of their trials depends on nothing here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping

from lorimer.benchmarks.base import Task
from lorimer.task_agent.causes import SCORED, SUSPECT, Cause
from lorimer.task_agent.output import last_line
from lorimer.task_agent.verdict.downloads import LONGEST_LINE, failed_download, reason
from lorimer.traces.schema import PlannedTrial, TrialEnd, TrialState

TASKS_IN_A_ROW = 3
"""One task may have lost its download for good, and two may share a host; of three it is the network, or what all need."""
POLL_SECONDS = 15.0
"""The pause before it is asked again whether a verifier works: a control takes seconds, and an outage minutes."""
HOLDS_SECONDS = 600.0
"""How long it is believed that a verifier works without an agent. Where a task's agents break it again and again, a control
is run six times an hour, and not for each trial."""

VERIFIERS = "verifiers"
"""What notes about them are about, where others name a model (`Budget.note`)."""

Control = Callable[[PlannedTrial, int, str], Awaitable[TrialEnd]]
"""Runs `oracle` or `nop` for an attempt of this number at a planned trial, and stores that. Raises EngineOutage."""


class Verifiers:
    """What is known of the verifiers of one study in this process.

    Args:
        tasks: by id.
        control: runs a control.
        tell: takes what people should know, and a name under which it is told once.
        wait: waits so many seconds, and says why.
        patience: seconds for which an outage is waited for.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        control: Control,
        tell: Callable[[str, str], None],
        wait: Callable[[float, str], Awaitable[None]],
        patience: float,
    ) -> None:
        self._tasks, self._control, self._tell, self._wait, self._patience = tasks, control, tell, wait, patience
        self._poll = min(POLL_SECONDS, patience / 8)
        self._asking = {name: asyncio.Lock() for name in tasks}
        self._waiting = asyncio.Lock()
        self._worked: dict[str, float] = {}
        """When the last control of a task that worked began."""
        self._down: dict[str, str] = {}
        """Tasks whose last control failed, and what their verifiers said."""
        self._row: list[str] = []
        """Those since a verifier worked."""
        self._means_nothing: set[tuple[str, str]] = set()
        """Tasks, and what their verifiers say where they work too."""
        self._alike, self._alike_said = list[str](), ""
        """Tasks in a row whose verifiers gave no reward, and what they said alike."""
        self._given_up = False

    def doubts(self, task: str) -> bool:
        """Whether `before` is to be asked before an attempt at a task."""
        return task in self._down or len(self._row) >= TASKS_IN_A_ROW

    async def before(self, planned: PlannedTrial, number: int) -> tuple[Cause, str] | None:
        """Why an attempt need not begin, as its verifier failed and goes on to; else `None`.

        Raises EngineOutage, BudgetExhausted.
        """
        task = planned.task
        if len(self._row) >= TASKS_IN_A_ROW:
            async with self._waiting:  # whoever noticed the outage waits for all
                pass
        if task not in self._down:
            return None
        async with self._asking[task]:
            if task in self._down:
                await self._wait(self._poll, self._said(task))
                await self._ask(planned, number, self._down[task])
        return await self._failed(planned, number) if task in self._down else None

    async def judged(self, planned: PlannedTrial, number: int, end: TrialEnd) -> TrialEnd:
        """An attempt's end as it is to be stored. Raises EngineOutage, BudgetExhausted."""
        task = planned.task
        verified = end.cause in SCORED or (end.cause in SUSPECT and end.cause != Cause.SANDBOX_LOST)
        line = failed_download(end.verifier_output) if verified else ""
        if verified and not line and end.reward is None:
            line = self._said_alike(task, end)
        same = (task, reason(line))
        if end.reward or not line or same in self._means_nothing:
            if end.reward and line:
                self._means_nothing.add(same)
            if end.state is TrialState.SCORED:
                self._works(task)
            return end
        async with self._asking[task]:
            held = time.monotonic() - self._worked[task] < HOLDS_SECONDS if task in self._worked else False
            if task not in self._down and not held:
                await self._ask(planned, number, line)
        if task not in self._down:
            said = f'task {task}: its verifier says "{line}", and works without the agent: it is believed'
            self._tell(f"{task}/works", said)
            return end
        cause, detail = await self._failed(planned, number)
        return dataclasses.replace(
            end, state=TrialState.ERRORED, cause=cause.value, detail=detail, reward=None, rewards={}
        )

    def _works(self, task: str) -> None:
        self._down.pop(task, None)
        self._row.clear()
        self._alike.clear()

    def _said_alike(self, task: str, end: TrialEnd) -> str:
        """What a verifier said that gave no reward, where others before it said the same; else ""."""
        said = last_line(end.verifier_output) or end.detail
        if reason(said) != self._alike_said:
            self._alike, self._alike_said = [], reason(said)
        if task not in self._alike:
            self._alike.append(task)
        return said[:LONGEST_LINE] if len(self._alike) >= TASKS_IN_A_ROW else ""

    def _said(self, task: str) -> str:
        own = "on its own solution too" if self._tasks[task].solution_runs else "where nothing is done too"
        return f'task {task}: its verifier says "{self._down[task]}", {own}'

    async def _ask(self, planned: PlannedTrial, number: int, line: str) -> None:
        """Verify the task without its agent. Raises EngineOutage.

        Args:
            line: what the verifier is known to say.
        """
        task, began = planned.task, time.monotonic()
        agent = "oracle" if self._tasks[task].solution_runs else "nop"
        end = await self._control(planned, number, agent)
        said = failed_download(end.verifier_output)
        # Nothing done is worth 0: of it there is no more to ask than whether its verifier had what it needs.
        if end.reward or (agent == "nop" and end.state is TrialState.SCORED and not said):
            if said:
                self._means_nothing.add((task, reason(said)))
            self._worked[task] = began
            self._works(task)
            return
        self._worked.pop(task, None)
        self._down[task] = said or line
        if task not in self._row:
            self._row.append(task)

    async def _failed(self, planned: PlannedTrial, number: int) -> tuple[Cause, str]:
        """The cause of an attempt whose task's control fails, and what to say. An outage is waited for."""
        task = planned.task
        said = self._said(task)
        self._tell(f"{task}/down", f"{said}; its trials error until that is put right")
        if len(self._row) < TASKS_IN_A_ROW:
            return Cause.VERIFIER_BROKEN, said
        why = f"the verifiers of {len(self._row)} tasks in a row fail without an agent too, such as of {said}"
        async with self._waiting:
            until = time.monotonic() + self._patience
            while self._row and not self._given_up:
                left = until - time.monotonic()
                if left <= 0:
                    self._given_up = True
                    break
                await self._wait(min(self._poll, left), why)
                await self._ask(planned, number, self._down.get(task, ""))
            return (Cause.VERIFIER_OUTAGE, why) if self._given_up else (Cause.VERIFIER_BROKEN, said)
