"""How long it takes to preview an edit, and to replay an unchanged harness, on 100 recorded trials of ten calls each.

The trials are recorded first, of a scripted model and a sandbox that runs nothing. Then all records are read from their store
and run in the jails of a real provider: with the harness as it is (`lorimer doctor --replay`), with an edit that touches nothing,
and with a reworded prompt, which touches all at their first call, so that each is run with the recorded harness too.

Beside it stands a floor of the same machine in the same minute: a plain process of Python for each trial that imports the same
harness and ends, as many at once as there are cores. Machines are busy and idle, so the targets are ratios.

    python -m bench.shadows [TRIALS] [docker|bubblewrap]
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import lorimer
from lorimer.benchmarks.base import Script, Suite, Task
from lorimer.config.settings import BudgetSettings, Config, parse
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.harness.version import sha
from lorimer.meta_agent.replay.preview import touched
from lorimer.meta_agent.replay.unchanged import replays
from lorimer.meta_agent.workspace.parts import create
from lorimer.models.base import ModelReply
from lorimer.models.replay import ReplayModel
from lorimer.sandbox.base import ExecOutput, PythonImage, SandboxProvider
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.sandbox.select import choose
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, Stage
from lorimer.traces.writing.store import Store

CALLS = 10
TARGET = 1.0
"""Times the floor: less than it takes to start Python once for each trial. Measured on two cores under a load of 16: 0.2 for an
unchanged harness and for an inert edit, 0.3 for a reworded prompt (6.3, 7.4 and 9.9 s; the floor 30 s)."""
PROMPT = "You solve a task on a Linux machine."
HARNESS = f'''
import json
import re

from lorimer.harness.api import Tool, user

PROMPT = "{PROMPT}"
SHELL = Tool("shell", "Run a command.", {{"type": "object", "properties": {{"command": {{"type": "string"}}}}}})

def solve(task, env, llm):
    messages = [user(task.instruction)]
    for turn in range(4):
        messages.append(llm.complete(messages, system=PROMPT, tools=[SHELL]).message)
        out = env.exec(f"echo {{json.dumps(turn)}}; cat data.csv").stdout
        messages.append(user(re.sub("x+", "y", out)))
    env.write("/app/answer", "one")
    return "done"
'''
"""Four answers, four commands, a file and `finish`."""


def machine(command: str, sandbox: FakeSandbox) -> ExecOutput:
    """The sandbox in which the trials are recorded: every command prints 2 kB, and a verifier finds what it looks for."""
    if "/tests/test.sh" in command:
        sandbox.files["/logs/verifier/reward.txt"] = b"1\n"
    return ExecOutput(f"{command}\n".encode() + b"1,2,3,x\n" * 250, b"", 0)


async def record(store: Store, folder: Path, trials: int) -> None:
    """Run the trials."""
    folder.mkdir()
    (folder / "test.sh").write_text("true\n")
    script = Script(folder, "/tests", "sh /tests/test.sh", 60.0)
    tasks = [Task(f"t{n}", f"Do {n}.", PythonImage(), script, workdir="/app") for n in range(trials)]
    suite, config = Suite("shadows", tuple(tasks)), parse({})
    await create(store, study="bench", kind="run", suite=suite, holdout=(), config=config, harness=HARNESS)
    plan = [
        PlannedTrial(f"bench/{n}", "bench", "bench", Stage.BASELINE, sha(HARNESS), task.id, 0, 0)
        for n, task in enumerate(tasks)
    ]
    said = "I shall look at the data and then write down what I found. " * 8
    reply = ModelReply(Completion(assistant(said), "end", Usage(500, 120)), cost_usd=0.0)
    budget = Budget("bench", BudgetSettings(), store)
    provider = FakeProvider(machine, allow_unsandboxed_jail=True)
    rooms = Machine(provider, store, Metered(ReplayModel(lambda key: reply), budget, store, 100))
    attempts = StudyAttempts(rooms, Config(), {task.id: task for task in tasks}, budget)
    outcomes = await Scheduler(attempts, concurrency=os.cpu_count() or 1, retries=0).run(plan, HARNESS)
    await provider.close()
    failed = [outcome for outcome in outcomes if outcome.reward != 1.0]
    if failed:
        raise SystemExit(f"bench: {len(failed)} of {trials} trials did not score 1: {failed[:1]}")


def floor(trials: int) -> float:
    """Seconds of wall time that a plain process of Python for each trial takes, each of which imports the harness."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        Path(folder, "agent.py").write_text(HARNESS)
        command = [sys.executable, "-S", "-B", "-c", "import agent"]
        path = os.pathsep.join([folder, str(Path(lorimer.__file__).parents[1])])

        def one(_: int) -> None:
            subprocess.run(command, env={"PYTHONPATH": path, "PATH": os.environ["PATH"]}, check=True)

        one(0)  # the first one pays for the file system's caches
        began = time.perf_counter()
        list(pool.map(one, range(trials)))
        return time.perf_counter() - began


async def unchanged(reader: StudyReader, provider: SandboxProvider) -> None:
    """What `doctor --replay` does. Raises SystemExit where not every trial replays."""
    found = await replays(reader, "bench", lambda: nullcontext(provider), Config())
    calls = {each.calls for each in found.trials}
    if found.whole != len(found.trials) or calls != {CALLS}:
        raise SystemExit(f"bench: {found.whole} of {len(found.trials)} trials replay, of {calls} calls")


async def edited(reader: StudyReader, provider: SandboxProvider, text: str, inert: bool) -> None:
    """What `preview` does. Raises SystemExit where it says what is not so."""
    found = (await touched(reader, "bench", text, provider, Config())).touches
    if found.inert != inert or found.untold:
        raise SystemExit(f"bench: {found}")


async def timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def measure(trials: int, kind: str) -> tuple[str, dict[str, float], float]:
    """The provider's name, the seconds of each by its name, and those of the floor."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder, "bench.db")) as store:
        await record(store, Path(folder, "tests"), trials)
        provider = await choose("docker" if kind == "docker" else "bubblewrap")
        try:
            with StoreReader(store) as reader:
                before = floor(trials)
                seconds = {
                    "unchanged": await timed(unchanged(reader, provider)),
                    "inert": await timed(edited(reader, provider, f"{HARNESS}\n# a comment\n", True)),
                    "reworded": await timed(edited(reader, provider, HARNESS.replace(PROMPT, "Work."), False)),
                }
                return provider.name, seconds, (before + floor(trials)) / 2
        finally:
            await provider.close()


def main() -> None:
    trials = next((int(word) for word in sys.argv[1:] if word.isdigit()), 100)
    kind = "docker" if "docker" in sys.argv else "bubblewrap"
    name, seconds, base = asyncio.run(measure(trials, kind))
    print(f"{trials} recorded trials of {CALLS} calls, jails of {name}, {os.cpu_count()} at once")
    print(f"  floor      {base:6.2f} s   a process of Python for each trial, which imports the harness")
    for what, took in seconds.items():
        print(f"  {what:10} {took:6.2f} s   {took / base:.1f} times the floor (target {TARGET})")
    raise SystemExit(name == "bubblewrap" and any(took / base > TARGET for what, took in seconds.items()))


if __name__ == "__main__":
    main()
