"""How trials on a Ray cluster scale with its workers, and how many of them the study's process can take.

    python -m bench.scale [TRIALS]        # 10,000 simulated ones

Waiting: clusters of 1, 2 and 4 workers on this machine, each with AT_ONCE trials at once of CALLS calls to a model that takes two
seconds, in bubblewrap. Four workers are to run FASTER times as many trials per second as one. All share this machine's
processors, so a trial that computes would not scale here.

Simulated: trials without a sandbox, whose calls and steps go the same way as a worker's (pickled, answered, billed, stored). What
they take is the study's process alone: the most trials that one study can run, however many nodes it has.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.trials import Thinking
from lorimer.benchmarks.base import Task
from lorimer.config.settings import BudgetSettings, Config, parse
from lorimer.harness.api import user
from lorimer.meta_agent.workspace.nodes import open_nodes
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.models.base import CallContext, ModelRequest
from lorimer.sandbox.base import ImageSpec
from lorimer.sandbox.fake import FakeProvider
from lorimer.sandbox.hosts import Host, Hosts
from lorimer.task_agent.cluster.messages import Said, Told, TrialEnded
from lorimer.task_agent.cluster.node import Link, Node, OnNode
from lorimer.task_agent.cluster.worker import FarModel, FarSink, Outbox, TaskModelSpec
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.hosts import OnHosts
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.spec import TrialSpec
from lorimer.task_agent.trial import Machine
from lorimer.traces.schema import PlannedTrial, Stage, StepData, StepKind, TrialEnd, TrialState
from lorimer.traces.writing.store import Store

WORKERS = (1, 2, 4)
FASTER = 3.5
AT_ONCE, WAVES = 8, 6
"""Waves so many that the start of the workers, which a night has once, does not decide."""
CALL_SECONDS, CALLS = 2.0, 10
SIMULATED, SIMULATED_CALLS, NODES, ON_EACH = 10_000, 10, 4, 50

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    messages = [user(task.instruction)]
    for turn in range(CALLS):
        messages.append(llm.complete(messages).message)
        messages.append(user(env.exec("ls -l").stdout))
    return "done"
""".replace("CALLS", str(CALLS))

MODEL = TaskModelSpec(Thinking.id, 1000)


class Simulated(Link):
    """A worker whose trials need no sandbox: each makes its calls and its steps, and scores 1."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._sink = FarSink(self._outbox)
        self._model = FarModel(MODEL, self._outbox, lambda tokens_in, tokens_out: 0.0)

    async def run(self, written: str) -> None:
        spec, began = TrialSpec.model_validate_json(written), time.monotonic()
        planned, owner = spec.start.planned, spec.start.id
        messages = [user("List the files of this folder and tell which is the largest.")]
        for number in range(SIMULATED_CALLS):
            context = CallContext("task", planned.seed, planned.harness, planned.task, planned.repeat, number)
            request = ModelRequest(tuple(messages))
            reply = await self._model.complete(request, context, owner=owner, began=began, call=2 * number)
            listing = f"{number} total 64\n" + "-rw-r--r-- 1 agent agent 1034 Jan 1 00:00 notes.txt\n" * 10
            data = {"command": "ls -l", "exit_code": 0, "stdout": listing, "stderr": ""}
            self._sink.step(StepData(owner, StepKind.EXEC, 0.0, 0.0, data, listing, 2 * number + 1))
            messages += [reply.completion.message, user(listing)]
        end = TrialEnd(owner, TrialState.SCORED, "finished", reward=1.0)
        self._outbox.say(TrialEnded(owner, end))

    async def image(self, spec: ImageSpec) -> int | None:
        return None

    async def take(self) -> list[Said]:
        said: list[Said] = pickle.loads(pickle.dumps(await self._outbox.take()))
        return said

    async def tell(self, events: Sequence[Told]) -> None:
        for event in pickle.loads(pickle.dumps(events)):
            self._outbox.hear(event)

    async def answers(self) -> None:
        return

    async def reap(self) -> int:
        return 0

    async def close(self) -> None:
        return


async def run(hosts: Hosts[Node], config: Config, tasks: Mapping[str, Task], seconds: float, trials: int) -> float:
    """Run so many trials of the first of these tasks, under a model that takes so long; the trials per second."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder, "bench.db")) as store:
        task = next(iter(tasks))
        plan = [
            PlannedTrial(f"bench/{number}", "bench", "bench", Stage.BASELINE, "bench", task, number, 0)
            for number in range(trials)
        ]
        budget = Budget("bench", BudgetSettings(), store)
        machine = Machine(FakeProvider(), store, Metered(Thinking(seconds), budget, store, 1000))
        executor = OnHosts(hosts, lambda node: OnNode(node, machine))
        attempts = StudyAttempts(machine, config, tasks, budget, executor=executor)
        began = time.perf_counter()
        outcomes = await Scheduler(attempts, concurrency=config.sandbox.concurrency, retries=0).run(plan, HARNESS)
        took = time.perf_counter() - began
    failed = [outcome for outcome in outcomes if outcome.reward is None]
    if failed:
        raise SystemExit(f"bench: {len(failed)} of {trials} trials have no score: {failed[0]}")
    return trials / took


async def waiting(workers: int) -> float:
    """Trials per second on a cluster of so many workers."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster: Any = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(workers - 1):
        cluster.add_node(**node)
    settings: dict[str, Any] = {
        "benchmark": {"source": "starter"},
        "sandbox": {"provider": "bubblewrap", "concurrency": AT_ONCE * workers},
        "executor": {"kind": "ray", "ray_address": cluster.address},
    }
    with tempfile.TemporaryDirectory() as folder:
        config = parse(settings)
        nodes = await open_nodes(Path(folder), config, MODEL, {}, print)
        try:
            tasks = {task.id: task for task in load_suite(Path(folder), config).tasks}
            return await run(nodes.hosts, config, tasks, CALL_SECONDS, WAVES * AT_ONCE * workers)
        finally:
            await nodes.close()
            cluster.shutdown()


async def simulated(trials: int) -> tuple[float, float]:
    """Trials per second, and seconds of this process for each."""

    async def opened() -> Link:
        return Simulated()

    config = parse({"sandbox": {"concurrency": NODES * ON_EACH}})
    hosts = Hosts([Host(f"node {at}", Node(opened)) for at in range(NODES)], NODES * ON_EACH, 60)
    tasks = {task.id: task for task in load_suite(Path(), parse({"benchmark": {"source": "starter"}})).tasks}
    busy = time.process_time()
    rate = await run(hosts, config, tasks, 0.0, trials)
    busy = time.process_time() - busy
    await hosts.close()
    return rate, busy / trials


def main() -> None:
    """Print what was measured; exit 1 where four workers are not FASTER times as fast as one."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else SIMULATED
    ideal = AT_ONCE / (CALLS * CALL_SECONDS)
    rates = {}
    for workers in WORKERS:
        rates[workers] = asyncio.run(waiting(workers))
        share = rates[workers] / (ideal * workers)
        print(
            f"{workers} workers, {AT_ONCE * workers} at once: {rates[workers]:.2f} trials per second, "
            f"{rates[workers] / rates[1]:.2f} times one worker's, {share:.2f} of the ideal",
            flush=True,
        )
    rate, seconds = asyncio.run(simulated(trials))
    print(
        f"{trials:,} simulated trials of {SIMULATED_CALLS} calls, {NODES * ON_EACH} at once: {rate:.1f} per second, "
        f"{1000 * seconds:.1f} ms of the study's process for each: {86400 * rate:,.0f} per day"
    )
    raise SystemExit(rates[WORKERS[-1]] < FASTER * rates[1])


if __name__ == "__main__":
    main()
