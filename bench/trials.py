"""Trials of one small task under a scripted model: what the measurements of whole trials run."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from lorimer.benchmarks.base import Script, Task
from lorimer.config.settings import BudgetSettings, Config
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.models.base import CallContext, ModelClient, ModelReply, ModelRequest
from lorimer.sandbox.base import ImageSpec, SandboxLimits, SandboxProvider
from lorimer.sandbox.pool import Pool
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.writing.store import Store

VERIFIER = "grep -q one /app/answer && echo 1 > /logs/verifier/reward.txt\n"
"""A task is solved by this word, which its harness writes as it ends."""


class Thinking:
    """A model that takes its time and says a few words.

    Args:
        seconds: that each call takes.
    """

    id = "scripted/thinking"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        await asyncio.sleep(self._seconds)
        completion = Completion(assistant("I look at the files. " * 10), "end", Usage(500, 60))
        return ModelReply(completion, cost_usd=0.0, seconds=self._seconds)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0

    async def close(self) -> None:
        return


def small_task(folder: Path, image: ImageSpec, memory_mb: int) -> Task:
    """The task; its verifier is written into the folder."""
    tests = folder / "tests"
    tests.mkdir()
    (tests / "test.sh").write_text(VERIFIER)
    return Task(
        "bench",
        "Say hello.",
        image,
        Script(tests, "/tests", "sh /tests/test.sh", 60.0),
        limits=SandboxLimits(cpus=1, memory_mb=memory_mb),
        workdir="/app",
    )


async def run_trials(
    provider: SandboxProvider,
    image: ImageSpec,
    model: ModelClient,
    harness: str,
    *,
    trials: int,
    at_once: int,
    memory_mb: int = 128,
) -> None:
    """Run them all with a real store, and close the provider. Raises SystemExit unless each of them scores 1."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder, "bench.db")) as store:
        settings = Config()
        task = small_task(Path(folder), image, memory_mb)
        plan = [
            PlannedTrial(f"bench/{number}", "bench", "bench", Stage.BASELINE, "bench", task.id, number, 0)
            for number in range(trials)
        ]
        pool = Pool(provider, jails=settings.sandbox.warm)
        try:
            budget = Budget("bench", BudgetSettings(), store)
            machine = Machine(pool, store, Metered(model, budget, store, 1000))
            attempts = StudyAttempts(machine, settings, {task.id: task}, budget)
            outcomes = await Scheduler(attempts, concurrency=at_once, retries=0).run(plan, harness)
        finally:
            await pool.close()
    failed = [outcome for outcome in outcomes if outcome.reward != 1.0]
    if failed or len(outcomes) != trials:
        raise SystemExit(f"bench: {len(failed)} of {len(outcomes)} trials did not score 1: {failed[:1]}")
