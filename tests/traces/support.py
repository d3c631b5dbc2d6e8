"""Values for tests of the trace store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lorimer.harness.api import Completion, Message, Tool, Usage, assistant
from lorimer.traces.schema import (
    ModelCallData,
    PlannedTrial,
    Stage,
    StepData,
    StepKind,
    TrialEnd,
    TrialStart,
    TrialState,
)
from lorimer.traces.tables import Evaluation, StudyRow, TaskRow
from lorimer.traces.writing.store import Store

TOOLS = (Tool("shell", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}}),)


def study(name: str = "s", **changes: Any) -> StudyRow:
    values: dict[str, Any] = {
        "id": name,
        "kind": "optimize",
        "created": "2026-01-01T00:00:00+00:00",
        "state": "running",
        "seed": 1,
        "task_model": "simulated/apprentice",
        "meta_model": "simulated/apprentice",
        "benchmark": "starter",
        "suite_digest": "0" * 64,
        "config": {},
        "seed_harness": "a" * 64,
    }
    return StudyRow(**{**values, **changes})


def task(name: str, *, of: str = "s", position: int = 0, split: str = "train", instruction: str = "Do it.") -> TaskRow:
    return TaskRow(study=of, id=name, position=position, split=split, digest="d", instruction=instruction)


def evaluation(
    plan: Sequence[tuple[str, int]], name: str = "s/baseline/baseline", *, of: str = "s", stage: str = "baseline"
) -> Evaluation:
    return Evaluation(id=name, study=of, stage=stage, harness="a" * 64, plan=[list(item) for item in plan])


def start(
    task: str = "t",
    repeat: int = 0,
    attempt: int = 0,
    *,
    evaluation: str = "s/baseline/baseline",
    of: str = "s",
    stage: Stage = Stage.BASELINE,
    harness: str = "a" * 64,
) -> TrialStart:
    planned = PlannedTrial(f"{evaluation}/{task}#{repeat}", of, evaluation, stage, harness, task, repeat, 0)
    return TrialStart(planned, attempt, "simulated/apprentice")


def end(trial: str, reward: float | None = 1.0, **changes: Any) -> TrialEnd:
    state = TrialState.ERRORED if reward is None else TrialState.SCORED
    values: dict[str, Any] = {"id": trial, "state": state, "cause": "finished", "reward": reward}
    return TrialEnd(**{**values, **changes})


def ran(owner: str, command: str, output: str = "", exit_code: int = 0) -> StepData:
    data = {"command": command, "exit_code": exit_code, "stdout": output, "stderr": ""}
    return StepData(owner, StepKind.EXEC, at=1.0, data=data)


def call(
    owner: str,
    messages: Sequence[Message],
    answer: Message | None = None,
    *,
    system: str | None = "Be good.",
    tools: tuple[Tool, ...] = TOOLS,
) -> ModelCallData:
    completion = Completion(answer or assistant("ok"), "end", Usage(10, 5))
    return ModelCallData(
        owner,
        1.0,
        0.5,
        0.0,
        0,
        system,
        tools,
        tuple(messages),
        {"max_tokens": 100},
        completion,
        0.01,
        "simulated/apprentice",
    )


async def finished_trial(
    store: Store, begin: TrialStart, steps: Sequence[StepData] = (), reward: float | None = 1.0
) -> None:
    store.open_trial(begin)
    for step in steps:
        store.step(step)
    await store.close_trial(end(begin.id, reward))
