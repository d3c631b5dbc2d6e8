"""Peak memory of the lorimer process with 32 trials under way: the optimiser's own, without its sandboxes.

Each trial holds a long conversation with a scripted model, as real ones do: every call sends all that went before, and every
command returns as much output as the default limit lets through. All steps go into a real store.

    python -m bench.memory [TRIALS] [CONCURRENCY] [docker|bubblewrap]
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from bench.trials import run_trials
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.kinds import SandboxName
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import PythonImage
from lorimer.sandbox.select import choose

TARGET_MB = 300

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    messages = [user(task.instruction)]
    for turn in range(12):
        messages.append(llm.complete(messages).message)
        out = env.exec(f"echo turn {turn}; seq 1 60000").stdout
        messages.append(user(f"{turn}: {out[:20_000]}"))
    return env.exec("echo one > /app/answer").stdout
"""


class Slow:
    """A model that takes as long as it must for all trials to be under way together."""

    id = "scripted/slow"

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        await asyncio.sleep(1.0)
        tokens = sum(len(message.text) for message in request.messages) // 4
        return ModelReply(Completion(assistant("next " * 200), "end", Usage(tokens, 250)), cost_usd=0.0, seconds=1.0)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0

    async def close(self) -> None:
        return


async def run(trials: int, concurrency: int, kind: SandboxName) -> str:
    """Run them all; returns the name of the provider that served."""
    provider = await choose(kind, prefer_bubblewrap=True)
    await run_trials(provider, PythonImage(), Slow(), HARNESS, trials=trials, at_once=concurrency)
    return provider.name


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    concurrency = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    kind: SandboxName = "docker" if "docker" in sys.argv else "bubblewrap" if "bubblewrap" in sys.argv else "auto"
    started = time.perf_counter()
    provider = asyncio.run(run(trials, concurrency, kind))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - started
    print(f"{trials} trials of 12 turns on {provider}, {concurrency} at once, {seconds:.0f} s")
    print(f"  peak memory of lorimer {peak:6.0f} MB   (target {TARGET_MB})")
    raise SystemExit(peak > TARGET_MB)


if __name__ == "__main__":
    main()
