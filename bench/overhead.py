"""What lorimer itself adds to a trial in Docker: model calls that are answered at once, execs, a verifier; and what peers add.

Beside each other stand, in turns in one run, the floor of the same work (raw Engine API: create, start, restart before the
verifier, the agent's execs and two more that clear the verifier's place and run it, remove), lorimer with its jails in Docker,
lorimer with its jails in bubblewrap where this machine has that, and each peer whose Python is named. The clock of lorimer runs
from before its provider is opened until everything is closed; that of a peer runs over its evaluation alone, so that imports are
in neither. Models answer within the process: no HTTP is measured.

    python -m bench.overhead [--trials 16] [--at-once 8] [--calls 5] [--execs 5] [--rounds 3]
                             [--inspect PYTHON] [--harbor PYTHON]

PYTHON is an interpreter of an environment that has `inspect_ai` or `harbor` (3.12 or newer) installed. Both need the
`docker compose` command.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.floor import Life, seconds_per_life
from bench.trials import run_trials
from lorimer.errors import PrerequisiteError
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.models.base import ModelReply
from lorimer.models.replay import ReplayModel
from lorimer.sandbox.base import PulledImage, SandboxProvider
from lorimer.sandbox.beside import JailsBeside
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
from lorimer.sandbox.docker.provider import DockerProvider

IMAGE = "debian:bookworm"
TARGET = 1.5
"""Times the floor of the same work, at eight trials at once."""

VERIFIER_EXECS = 2
PEERS = Path(__file__).with_name("peers")

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    messages = [user(task.instruction)]
    for _ in range({calls}):
        messages.append(llm.complete(messages).message)
        messages.append(user("go on"))
    for _ in range({execs} - 1):
        env.exec("echo one > /app/answer")
    return env.exec("cat /app/answer").stdout
"""

Measured = Callable[[], float]
"""Does all the trials; seconds of wall time per trial."""


@dataclass(frozen=True)
class Work:
    """What is done by each way.

    Attributes:
        trials: how many trials.
        at_once: how many of them run at the same time.
        calls: model calls per trial.
        execs: commands of the agent's per trial; at least one.
    """

    trials: int = 16
    at_once: int = 8
    calls: int = 5
    execs: int = 5


def jails_in_bubblewrap() -> SandboxProvider:
    """Docker's sandboxes with jails in bubblewrap. Raises PrerequisiteError."""
    return JailsBeside(DockerProvider(), BubblewrapProvider())


async def lorimer(work: Work, provide: Callable[[], SandboxProvider]) -> float:
    """Seconds of wall time per trial."""
    reply = ModelReply(Completion(assistant("hello"), "end", Usage(10, 2)), cost_usd=0.0)
    harness = HARNESS.format(calls=work.calls, execs=work.execs)
    started = time.perf_counter()
    await run_trials(
        provide(), PulledImage(IMAGE), ReplayModel(lambda key: reply), harness, trials=work.trials, at_once=work.at_once
    )
    return (time.perf_counter() - started) / work.trials


def peer(python: str, script: str, work: Work, *more: str) -> float:
    """Seconds of wall time per trial, as a script in another Python says on its last line."""
    numbers = [str(number) for number in (work.trials, work.at_once, work.calls, work.execs)]
    command = [python, str(PEERS / script), IMAGE, *numbers, *more]
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"bench: {script} failed:\n{(ran.stdout + ran.stderr)[-3000:]}")
    return float(ran.stdout.split()[-1])


def ways(work: Work, inspect: str, harbor: str) -> dict[str, Measured]:
    """Each way to do the work that is there, by its name."""
    same = Life(IMAGE, work.execs + VERIFIER_EXECS, restarts=1)
    found: dict[str, Measured] = {
        "floor of the same work": partial(seconds_per_life, same, lives=work.trials, at_once=work.at_once),
        "lorimer, jails in Docker": lambda: asyncio.run(lorimer(work, DockerProvider)),
    }
    with suppress(PrerequisiteError):
        asyncio.run(jails_in_bubblewrap().close())
        found["lorimer, jails in bubblewrap"] = lambda: asyncio.run(lorimer(work, jails_in_bubblewrap))
    if inspect:
        found["inspect_ai"] = partial(peer, inspect, "inspect_trials.py", work)
    if harbor:
        found["harbor"] = partial(peer, harbor, "harbor_trials.py", work)
        found["harbor, its stop not waited for"] = partial(peer, harbor, "harbor_trials.py", work, "--kill")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m bench.overhead", description="Measure what a trial costs beside its model."
    )
    parser.add_argument("--trials", type=int, default=Work.trials)
    parser.add_argument("--at-once", type=int, default=Work.at_once)
    parser.add_argument("--calls", type=int, default=Work.calls, help="model calls per trial")
    parser.add_argument("--execs", type=int, default=Work.execs, help="commands of the agent's per trial")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inspect", default="", metavar="PYTHON", help="a Python that has inspect_ai")
    parser.add_argument("--harbor", default="", metavar="PYTHON", help="a Python that has harbor")
    asked = parser.parse_args()
    work = Work(asked.trials, asked.at_once, asked.calls, asked.execs)
    measured = ways(work, asked.inspect, asked.harbor)
    small = ways(Work(2, 2, work.calls, work.execs), asked.inspect, asked.harbor)
    for way in small.values():
        way()  # the first trials pay for imports and the engine's caches
    took: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(asked.rounds):
        for name, way in measured.items():
            took[name].append(way())
    print(
        f"{work.trials} trials in Docker ({IMAGE}), {work.at_once} at once, {work.calls} model calls and {work.execs} execs "
        f"each; medians of {asked.rounds} rounds"
    )
    medians = {name: statistics.median(rounds) for name, rounds in took.items()}
    base = next(iter(medians.values()))
    best = min(seconds for name, seconds in medians.items() if name.startswith("lorimer"))
    for name, seconds in medians.items():
        each = " ".join(f"{one:.2f}" for one in took[name])
        print(
            f"  {name:32} {seconds:6.2f} s per trial ({each})   {seconds / base:5.2f} of the floor   "
            f"{seconds / best:5.1f} of lorimer's best"
        )
    raise SystemExit(best > TARGET * base)


if __name__ == "__main__":
    main()
