"""Trials of inspect_ai in its Docker sandbox; prints seconds of wall time per trial. Runs in a Python that has inspect_ai.

    python inspect_trials.py IMAGE TRIALS AT_ONCE CALLS EXECS

One sample is one trial: `mockllm` answers the model calls within the process, the solver runs the commands, the scorer runs the
verifier's in the same container. Each container is of the image as it is, without a network, and its stop is not waited for.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox

COMPOSE = """\
services:
  default:
    image: {image}
    command: ["/bin/sh", "-c", "while :; do sleep 3600; done"]
    network_mode: none
    stop_signal: SIGKILL
    mem_limit: 256m
    cpus: 1.0
"""


@solver
def acts(calls: int, execs: int) -> Solver:
    """Asks the model and runs the commands."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        for _ in range(calls):
            state = await generate(state)
        for _ in range(execs):
            await sandbox().exec(["sh", "-c", "mkdir -p /app; echo one > /app/answer; cat /app/answer"])
        return state

    return solve


@scorer(metrics=[accuracy()])
def checked() -> Scorer:
    """1 where the answer is there."""

    async def score(state: TaskState, target: Target) -> Score:
        done = await sandbox().exec(["sh", "-c", "grep -q one /app/answer"])
        return Score(value=1.0 if done.success else 0.0)

    return score


def answers(*asked: object) -> ModelOutput:
    """One answer. It has its usage, which Inspect would count with a tokenizer from the network otherwise."""
    said = ModelOutput.from_content(model="mockllm", content="hello")
    said.usage = ModelUsage(input_tokens=10, output_tokens=2, total_tokens=12)
    return said


def main() -> None:
    image, *numbers = sys.argv[1:]
    trials, at_once, calls, execs = map(int, numbers)
    Path("compose.yaml").write_text(COMPOSE.format(image=image))
    task = Task(
        dataset=[Sample(input="Say hello.", id=number) for number in range(trials)],
        solver=acts(calls, execs),
        scorer=checked(),
        sandbox=("docker", str(Path("compose.yaml").absolute())),
    )
    began = time.perf_counter()
    (log,) = eval(
        task,
        model=get_model("mockllm/model", custom_outputs=answers),
        display="log",  # which says why it cannot begin, where it cannot
        max_samples=at_once,
        max_sandboxes=at_once,
        max_subprocesses=at_once,
    )
    seconds = time.perf_counter() - began
    scores = (
        [] if log.results is None else [metric.value for each in log.results.scores for metric in each.metrics.values()]
    )
    if log.status != "success" or scores != [1.0]:
        raise SystemExit(f"inspect_ai ended with {log.status}, {scores}: {log.error}")
    print(seconds / trials)


if __name__ == "__main__":
    main()
