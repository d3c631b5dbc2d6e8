"""Whether a task can be scored at all: its solution must score 1 (on a scale: over 0) and doing nothing 0."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lorimer.benchmarks.base import ISOLATIONS, Isolation, Task
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.traces.schema import PlannedTrial, Stage, TrialState

WANTED = {"oracle": 1.0, "nop": 0.0}
"""What a valid task gives."""


@dataclass(frozen=True)
class CheckResult:
    """What checking one task found."""

    task: str
    digest: str
    oracles: tuple[TrialOutcome, ...]
    """One a repeat; none where the task ships no solution."""
    nops: tuple[TrialOutcome, ...]
    isolation: Isolation
    scaled: bool = False
    """Its rewards are read on a scale, of which the solution need not reach the best."""

    @property
    def oracle(self) -> TrialOutcome | None:
        """What stands for the oracle's trials: the first that was not as it should be, else the first."""
        return worst("oracle", self.oracles, scaled=self.scaled)

    @property
    def nop(self) -> TrialOutcome:
        """What stands for the nop trials, likewise."""
        found = worst("nop", self.nops, scaled=self.scaled)
        assert found is not None
        return found

    @property
    def problem(self) -> str:
        """Why the task is not valid; empty when it is. One that came out well at times and not at others is flaky."""
        for agent, trials in (("oracle", self.oracles), ("nop", self.nops)):
            bad = [trial for trial in trials if not as_it_should(agent, trial, scaled=self.scaled)]
            if 0 < len(bad) < len(trials):
                return f"flaky: {problem_of(agent, bad[0], scaled=self.scaled)} in {len(bad)} of {len(trials)} trials"
        return problem(self.oracle, self.nop, scaled=self.scaled)

    @property
    def shown(self) -> str:
        """The trial that `problem` is about, for `lorimer traces show`; "" where the task is valid."""
        both = (("oracle", self.oracle), ("nop", self.nop))
        bad = (seen for agent, seen in both if seen and not as_it_should(agent, seen, scaled=self.scaled))
        return next((seen.planned.id for seen in bad), "")

    @property
    def seconds(self) -> float:
        """What one oracle and one nop trial take, on the average."""
        return sum(
            sum(trial.seconds for trial in trials) / len(trials) for trials in (self.oracles, self.nops) if trials
        )


class FinishedTrial(Protocol):
    """A finished trial: an outcome, or a stored row."""

    @property
    def state(self) -> str: ...
    @property
    def reward(self) -> float | None: ...
    @property
    def cause(self) -> str: ...
    @property
    def detail(self) -> str: ...


SeenT = TypeVar("SeenT", bound=FinishedTrial)


def problem(oracle: FinishedTrial | None, nop: FinishedTrial, *, scaled: bool = False) -> str:
    """Why a task whose oracle and nop trials came out so is not valid; empty when it is. No oracle: no solution to run."""
    found = [
        problem_of(agent, seen, scaled=scaled) for agent, seen in (("oracle", oracle), ("nop", nop)) if seen is not None
    ]
    return next((each for each in found if each), "")


def problem_of(agent: str, seen: FinishedTrial, *, scaled: bool = False) -> str:
    """Why this trial of `oracle` or `nop` did not come out as a valid task's does; empty when it did."""
    if seen.state != TrialState.SCORED or seen.reward is None:
        return f"{agent} errored: {seen.cause}: {seen.detail}"
    if not as_it_should(agent, seen, scaled=scaled):
        wanted = "over 0" if scaled and agent == "oracle" else f"{WANTED[agent]:g}"
        return f"{agent} scored {seen.reward:g}, not {wanted}" + (f" ({seen.detail})" if seen.detail else "")
    return ""


def as_it_should(agent: str, seen: FinishedTrial, *, scaled: bool = False) -> bool:
    """Whether a trial of `oracle` or `nop` came out as a valid task's does.

    Args:
        scaled: the task's rewards are read on a scale: its solution must score over 0, as the best may be far above it.
    """
    if seen.state != TrialState.SCORED or seen.reward is None:
        return False
    return seen.reward > 0.0 if scaled and agent == "oracle" else seen.reward == WANTED[agent]


def worst(agent: str, trials: Sequence[SeenT], *, scaled: bool = False) -> SeenT | None:
    """The first trial that did not come out as a valid task's does; else the first; `None` where there is none."""
    bad = (trial for trial in trials if not as_it_should(agent, trial, scaled=scaled))
    return next(bad, trials[0] if trials else None)


async def check_tasks(
    make_scheduler: Callable[[dict[str, Task]], Scheduler],
    study: str,
    tasks: Sequence[Task],
    repeats: int = 1,
) -> list[CheckResult]:
    """Run oracle and nop on every task under its own isolation; where the oracle fails there, also under the others it may have.

    Args:
        repeats: trials of each agent per task; several find verifiers that do not always say the same.

    Each trial is stored under `study`. Raises what `Scheduler.run` raises.
    """
    found: dict[str, CheckResult] = {}
    for isolation in sorted({task.isolation for task in tasks}):
        alike = [task for task in tasks if task.isolation == isolation]
        found.update(await _pass(make_scheduler, study, alike, isolation, repeats))
    for isolation in ISOLATIONS:
        unsolved = [
            task
            for task in tasks
            if isolation in task.isolations[1:] and task.solution_runs and _may_need_another(found[task.id])
        ]
        if unsolved:
            again = await _pass(make_scheduler, study, unsolved, isolation, repeats)
            found.update({name: result for name, result in again.items() if not result.problem})
    return [found[task.id] for task in tasks]


def _may_need_another(result: CheckResult) -> bool:
    """Whether another isolation may help: the oracle fell short, and not for want of an image."""
    no_image = any(trial.cause == Cause.IMAGE_BUILD for trial in result.oracles)
    return result.problem.startswith("oracle") and not no_image


async def _pass(
    make_scheduler: Callable[[dict[str, Task]], Scheduler],
    study: str,
    tasks: Sequence[Task],
    isolation: Isolation,
    repeats: int,
) -> dict[str, CheckResult]:
    evaluation = f"{study}/{isolation}"
    isolated = {task.id: dataclasses.replace(task, isolation=isolation) for task in tasks}
    plan = [
        PlannedTrial(
            f"{evaluation}/{agent}/{task.id}" + (f"/{repeat}" if repeats > 1 else ""),
            *(study, evaluation, Stage.BASELINE, agent, task.id, repeat, repeat),
        )
        for repeat in range(repeats)
        for task in tasks
        for agent in ("oracle", "nop")
        if agent == "nop" or task.solution_runs
    ]
    outcomes = await make_scheduler(isolated).run(plan, "", in_rounds=True)
    by_name: dict[tuple[str, str], list[TrialOutcome]] = defaultdict(list)
    for outcome in outcomes:
        by_name[outcome.planned.harness, outcome.planned.task].append(outcome)
    return {
        task.id: CheckResult(
            *(task.id, task.digest, tuple(by_name["oracle", task.id]), tuple(by_name["nop", task.id]), isolation),
            scaled=task.is_scaled,
        )
        for task in tasks
    }
