"""What lorimer itself adds to a trial: 30 trials in Docker, each one model call answered at once, two execs and a verifier.

Once with jails in Docker too, and once in bubblewrap where this machine has that. The clock runs from before the provider is
opened until everything is closed: pool warm-up and teardown are inside. Beside both stands the floor of the same machine in the
same run (raw Engine API: create, start, two execs, remove), and that of the same work: a trial's container is restarted before
its verifier, and two more execs clear the verifier's place and run it.

    python -m bench.overhead [TRIALS] [CONCURRENCY]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.floor import floor
from lorimer.benchmarks.base import Script, Task
from lorimer.config import BudgetSettings, Config
from lorimer.errors import PrerequisiteError
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.models.base import ModelReply
from lorimer.models.replay import ReplayModel
from lorimer.sandbox.base import PulledImage, SandboxLimits, SandboxProvider
from lorimer.sandbox.beside import JailsBeside
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.pool import Pool
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.local import LocalAttempts
from lorimer.task_agent.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.store import Store

IMAGE = "debian:bookworm"
TARGET_SECONDS = 0.8

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    llm.complete([user(task.instruction)])
    env.exec("echo one > /app/answer")
    return env.exec("cat /app/answer").stdout
"""


def jails_in_bubblewrap() -> SandboxProvider:
    """Docker's sandboxes with jails in bubblewrap. Raises PrerequisiteError."""
    return JailsBeside(DockerProvider(), BubblewrapProvider())


async def measure(trials: int, concurrency: int, provide: Callable[[], SandboxProvider] = DockerProvider) -> float:
    """Seconds of wall time a trial."""
    with tempfile.TemporaryDirectory() as folder:
        tests = Path(folder, "tests")
        tests.mkdir()
        (tests / "test.sh").write_text("grep -q one /app/answer && echo 1 > /logs/verifier/reward.txt\n")
        task = Task(
            "overhead",
            "Say hello.",
            PulledImage(IMAGE),
            Script(tests, "/tests", "bash /tests/test.sh", 30.0),
            limits=SandboxLimits(cpus=1, memory_mb=256),
            workdir="/app",
        )
        reply = ModelReply(Completion(assistant("hello"), "end", Usage(10, 2)), cost_usd=0.0)
        plan = [
            PlannedTrial(f"bench/{number}", "bench", "bench", Stage.BASELINE, "bench", task.id, number, 0)
            for number in range(trials)
        ]
        started = time.perf_counter()
        provider = Pool(provide(), jails=concurrency, sandboxes=concurrency)
        with Store.open(Path(folder, "bench.db")) as store:
            budget = Budget("bench", BudgetSettings(), store)
            machine = Machine(provider, store, Metered(ReplayModel(lambda key: reply), budget, store, 100))
            attempts = LocalAttempts(machine, Config(), {task.id: task}, budget)
            outcomes = await Scheduler(attempts, concurrency=concurrency, retries=0).run(plan, HARNESS)
            await provider.close()
        seconds = time.perf_counter() - started
        failed = [outcome for outcome in outcomes if outcome.reward != 1.0]
        if failed or len(outcomes) != trials:
            raise SystemExit(f"bench: {len(failed)} of {len(outcomes)} trials did not score 1: {failed[:1]}")
        return seconds / trials


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    ways: dict[str, Callable[[], SandboxProvider]] = {"jails in Docker": DockerProvider}
    with suppress(PrerequisiteError):
        asyncio.run(jails_in_bubblewrap().close())
        ways["jails in bubblewrap"] = jails_in_bubblewrap
    asyncio.run(measure(4, concurrency))  # the first trials pay for imports and the engine's caches
    seconds = {way: asyncio.run(measure(trials, concurrency, provide)) for way, provide in ways.items()}
    base = floor(image=IMAGE, concurrency=concurrency)
    same = floor(image=IMAGE, concurrency=concurrency, execs=4, restarts=1)
    print(f"{trials} trials in Docker ({IMAGE}), concurrency {concurrency}, warm-up and teardown inside the clock")
    for way, took in seconds.items():
        ratio = f"{took / base.concurrent:.1f} of the floor, {took / same.concurrent:.1f} of that of the same work"
        print(f"  {way:21} {took:6.2f} s a trial   {ratio}   (target {TARGET_SECONDS})")
    for floors, which in ((base, "floor"), (same, "same work")):
        for seconds_each, how in ((floors.concurrent, f"{concurrency} at once"), (floors.sequential, "sequential")):
            print(f"  {which + ', ' + how:21} {seconds_each:6.2f} s a trial")
    raise SystemExit(min(seconds.values()) > TARGET_SECONDS)


if __name__ == "__main__":
    main()
