"""Whether a task can be scored at all: its solution must score 1 and doing nothing 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lorimer.benchmarks.base import Isolation, Task
from lorimer.task_agent.executor import Executor, PlannedTrial, TrialOutcome
from lorimer.traces.schema import Stage, TrialState


@dataclass(frozen=True)
class CheckResult:
    """What checking one task found."""

    task: str
    digest: str
    oracle: TrialOutcome | None
    """`None` where the task ships no solution."""
    nop: TrialOutcome
    isolation: Isolation

    @property
    def problem(self) -> str:
        """Why the task is not valid; empty when it is."""
        return problem(self.oracle, self.nop)


class Seen(Protocol):
    """A finished trial: an outcome, or a stored row."""

    @property
    def state(self) -> str: ...
    @property
    def reward(self) -> float | None: ...
    @property
    def cause(self) -> str: ...
    @property
    def detail(self) -> str: ...


def problem(oracle: Seen | None, nop: Seen) -> str:
    """Why a task whose oracle and nop trials came out so is not valid; empty when it is. No oracle: no solution to run."""
    for agent, wanted, seen in (("oracle", 1.0, oracle), ("nop", 0.0, nop)):
        if seen is None:
            continue
        if seen.state != TrialState.SCORED or seen.reward is None:
            return f"{agent} errored: {seen.cause}: {seen.detail}"
        if seen.reward != wanted:
            return f"{agent} scored {seen.reward:g}, not {wanted:g}" + (f" ({seen.detail})" if seen.detail else "")
    return ""


async def check_tasks(
    make_executor: Callable[[dict[str, Task]], Executor],
    study: str,
    tasks: Sequence[Task],
) -> list[CheckResult]:
    """Run oracle and nop on every task as it says; under `same` again where it says nothing and the oracle fails so.

    Each trial is stored under `study`. Raises what `Executor.run` raises.
    """
    found: dict[str, CheckResult] = {}
    for isolation in sorted({task.isolation for task in tasks}):
        alike = [task for task in tasks if task.isolation == isolation]
        found.update(await _pass(make_executor, study, alike, isolation))
    unsolved = [
        task
        for task in tasks
        if task.isolation == "restart" and task.solution and found[task.id].problem.startswith("oracle")
    ]
    if unsolved:
        again = await _pass(make_executor, study, unsolved, "same")
        found.update({name: result for name, result in again.items() if not result.problem})
    return [found[task.id] for task in tasks]


async def _pass(
    make_executor: Callable[[dict[str, Task]], Executor], study: str, tasks: Sequence[Task], isolation: Isolation
) -> dict[str, CheckResult]:
    evaluation = f"{study}/{isolation}"
    isolated = {task.id: dataclasses.replace(task, isolation=isolation) for task in tasks}
    plan = [
        PlannedTrial(f"{evaluation}/{agent}/{task.id}", study, evaluation, Stage.BASELINE, agent, task.id, 0, 0)
        for task in tasks
        for agent in ("oracle", "nop")
        if agent == "nop" or task.solution is not None
    ]
    outcomes = await make_executor(isolated).run(plan, "")
    by_name = {(outcome.planned.harness, outcome.planned.task): outcome for outcome in outcomes}
    return {
        task.id: CheckResult(task.id, task.digest, by_name.get(("oracle", task.id)), by_name["nop", task.id], isolation)
        for task in tasks
    }
