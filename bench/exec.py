"""How long a command in a task's Docker container takes as the harness sees it: one of a series, whose commands share an exec,
beside a plain exec, in turns in one run; with a pause between two commands as a model's thinking makes it, and with none.

    python -m bench.exec [COMMANDS]

The last lines are what whole trials of five commands cost that come without a pause: seconds, and the processors' time of the
whole machine, lorimer's and the engine's, so measure where nothing else runs.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lorimer.sandbox.base import ExecOutput, Owner, PulledImage, Sandbox, SandboxLimits, SandboxRequest
from lorimer.sandbox.docker.provider import DockerProvider

IMAGE = "debian:bookworm"
TARGET_SECONDS = 0.008
"""The median of a round trip after a second's pause."""

PAUSES = (0.0, 0.05, 1.0)
TURN = 5
"""Commands of one way until it is the other's turn."""

TRIALS, AT_ONCE, COMMANDS_OF_ONE = 16, 4, 5
ROUNDS = 4

Exec = Callable[[], Awaitable[ExecOutput]]


@dataclass(frozen=True)
class Spent:
    """What some trials took."""

    seconds: float
    busy: float
    """Seconds of all processors."""


def busy_seconds() -> float:
    """Seconds in which a processor of this machine worked, since it began."""
    words = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _, _, interrupts, soft = map(int, words[:7])
    return (user + nice + system + interrupts + soft) / 100


async def turn(run: Exec, pause: float) -> list[float]:
    """Seconds of each command."""
    took = []
    for _ in range(TURN):
        await asyncio.sleep(pause)
        began = time.perf_counter()
        ran = await run()
        took.append(time.perf_counter() - began)
        if ran.stdout != b"hello\n":
            raise SystemExit(f"bench: a command ended as {ran}")
    return took


async def round_trips(sandbox: Sandbox, pause: float, commands: int) -> tuple[list[float], list[float]]:
    """Seconds of the commands of a series, and of plain ones."""
    ahead: list[float] = []
    plain: list[float] = []
    while len(ahead) < commands:
        series = sandbox.series()
        ahead += await turn(lambda: series.exec("echo hello", timeout=60), pause)  # noqa: B023  awaited at once
        await series.close()
        plain += await turn(lambda: sandbox.exec("echo hello", timeout=60), pause)
    return ahead, plain


async def trials(provider: DockerProvider, request: SandboxRequest, *, in_series: bool) -> Spent:
    """Sandboxes with some commands each and a restart, as before a verifier; several at once."""

    async def one(sandbox: Sandbox, places: asyncio.Semaphore) -> None:
        async with places:
            series = sandbox.series() if in_series else None
            for _ in range(COMMANDS_OF_ONE):
                await (series or sandbox).exec("echo hello", timeout=60)
            if series is not None:
                await series.close()
            await sandbox.restart()

    sandboxes = [await provider.acquire(request) for _ in range(TRIALS)]
    places = asyncio.Semaphore(AT_ONCE)
    began, busy = time.perf_counter(), busy_seconds()
    await asyncio.gather(*(one(sandbox, places) for sandbox in sandboxes))
    spent = Spent((time.perf_counter() - began) / TRIALS, (busy_seconds() - busy) / TRIALS)
    for sandbox in sandboxes:
        await sandbox.close()
    return spent


async def measure(commands: int) -> float:
    """Print it all; seconds of a round trip after the longest pause."""
    provider = DockerProvider()
    try:
        image = await provider.prepare(PulledImage(IMAGE))
        request = SandboxRequest(image, Owner("bench", "exec"), SandboxLimits(cpus=1, memory_mb=256))
        sandbox = await provider.acquire(request)
        await round_trips(sandbox, 0.0, TURN)  # the first pay for imports and the engine's caches
        print(f"round trips of `echo hello` in {IMAGE}, {commands} each way, in turns")
        print("  pause       in series: median      p90      plain: median      p90    ratio of medians")
        for pause in PAUSES:
            ahead, plain = await round_trips(sandbox, pause, commands)
            (middle, late), (other, other_late) = (summary(each) for each in (ahead, plain))
            print(
                f"  {pause:4.2f} s            {middle * 1e3:8.1f} ms {late * 1e3:5.1f} ms        {other * 1e3:6.1f} ms "
                f"{other_late * 1e3:5.1f} ms    {middle / other:.2f}"
            )
        await sandbox.close()
        print(
            f"trials of {COMMANDS_OF_ONE} commands without a pause and a restart, {AT_ONCE} at once, medians of {ROUNDS}"
        )
        both: dict[bool, list[Spent]] = {True: [], False: []}
        for number in range(2 * ROUNDS):
            in_series = number % 2 == 0
            both[in_series].append(await trials(provider, request, in_series=in_series))
        seconds = {way: statistics.median(each.seconds for each in found) for way, found in both.items()}
        busy = {way: statistics.median(each.busy for each in found) for way, found in both.items()}
        for way, name in ((True, "in series"), (False, "plain")):
            print(f"  {name:9} {seconds[way]:.3f} s a trial, {busy[way]:.3f} s of processors")
        print(f"  ratio     {seconds[True] / seconds[False]:.2f}           {busy[True] / busy[False]:.2f}")
        return middle
    finally:
        await provider.close()


def summary(took: list[float]) -> tuple[float, float]:
    """The median and what nine of ten keep."""
    return statistics.median(took), statistics.quantiles(took, n=10)[-1]


def main() -> None:
    commands = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    raise SystemExit(asyncio.run(measure(commands)) > TARGET_SECONDS)


if __name__ == "__main__":
    main()
