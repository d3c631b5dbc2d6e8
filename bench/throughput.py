"""How near many trials at once come to the ideal, where a model call takes two seconds and a trial has ten: and what each of them
costs this machine.

    python -m bench.throughput [bubblewrap|docker] [AT_ONCE …]        # 1 8 32 100, or 1 8 32 in Docker

Ideal are trials that cost nothing beside their model: twenty seconds each, all of them at once. The clock runs from before the
provider is opened until everything is closed, over WAVES times as many trials as run at once, so the first start and the last
end count. Memory is what lorimer's own process has at its peak beyond what it had before, per trial that runs; processors' time
is that of the whole machine, per trial, so measure where nothing else runs. Each number of trials has a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench.exec import busy_seconds
from bench.trials import Thinking, run_trials
from lorimer.kinds import SandboxName
from lorimer.sandbox.base import PythonImage
from lorimer.sandbox.select import choose

CALL_SECONDS, CALLS = 2.0, 10
WAVES = 3
AT_ONCE = {"bubblewrap": (1, 8, 32, 100), "docker": (1, 8, 32)}
TARGET = {"bubblewrap": 100, "docker": 32}
"""Trials at once that are to reach SHARE."""
SHARE = 0.9
MEGABYTES, MANY = 5.0, 32
"""The most memory of lorimer's own per trial, where so many run at once or more."""

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    messages = [user(task.instruction)]
    for turn in range(CALLS):
        messages.append(llm.complete(messages).message)
        messages.append(user(env.exec("echo one > /app/answer; ls -l /app").stdout))
    return "done"
""".replace("CALLS", str(CALLS))


def resident_megabytes() -> float:
    """The memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def one(kind: SandboxName, at_once: int) -> dict[str, float]:
    """Measure so many at once."""
    provider = await choose(kind, jails="auto")  # as a run does by default
    trials = WAVES * at_once
    before, busy, began = resident_megabytes(), busy_seconds(), time.perf_counter()
    await run_trials(provider, PythonImage(), Thinking(CALL_SECONDS), HARNESS, trials=trials, at_once=at_once)
    seconds = time.perf_counter() - began
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "share": WAVES * CALLS * CALL_SECONDS / seconds,
        "megabytes": (own.ru_maxrss / 1024 - before) / at_once,
        "busy": (busy_seconds() - busy) / trials,
        "own": (own.ru_utime + own.ru_stime) / trials,
    }


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(asyncio.run(one("docker" if sys.argv[2] == "docker" else "bubblewrap", int(sys.argv[3])))))
        return
    kinds = [kind for kind in AT_ONCE if kind in sys.argv[1:]] or list(AT_ONCE)
    asked = [int(number) for number in sys.argv[1:] if number.isdigit()]
    over = []
    print(f"{CALLS} calls of {CALL_SECONDS:g} s per trial, {WAVES} times as many trials as run at once")
    print(
        "| sandbox | at once | seconds | of the ideal | MB per trial | processors, s per trial | of that lorimer's own process |"
    )
    print("|---|---|---|---|---|---|---|")
    for kind in kinds:
        for at_once in asked or AT_ONCE[kind]:
            command = [sys.executable, "-m", "bench.throughput", "--one", kind, str(at_once)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            slow = found["share"] < SHARE and at_once <= TARGET[kind]
            large = found["megabytes"] > MEGABYTES and at_once >= MANY
            missed = slow or large
            over += [f"{at_once} in {kind}"] if missed else []
            print(
                f"| {kind} | {at_once} | {found['seconds']:.1f} | {found['share']:.2f}{' (under)' if missed else ''} "
                f"| {found['megabytes']:.1f} | {found['busy']:.2f} | {found['own']:.2f} |",
                flush=True,
            )
    raise SystemExit(f"over its target: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
