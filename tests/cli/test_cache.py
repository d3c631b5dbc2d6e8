"""What the provider's cache held, and what a harness lost there: the real command against a server that caches prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.provider import at, lorimer
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, Request, scripted_server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

BLOCK = 128
"""What is cached comes in whole blocks of so many tokens."""

CLOCK = 'llm.complete(messages, system=("" if len(messages) == 1 else str(hash(str(messages)))) + SYSTEM_PROMPT'
"""What a clock does from the second call on: the system prompt begins otherwise in every call."""


class Caching:
    """A provider that keeps every prompt, and reads what two begin with in common from there: four tokens a character."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, request: Request) -> Reply:
        prompt = json.dumps(request.body["messages"])[:-1]
        common = max((_common(prompt, each) for each in self.prompts), default=0)
        self.prompts.append(prompt)
        usage = {
            "prompt_tokens": 4 * len(prompt),
            "prompt_tokens_details": {"cached_tokens": 4 * common // BLOCK * BLOCK},
            "completion_tokens": 5,
        }
        return Reply(good("chat", "I am done.") | {"usage": usage})


def _common(a: str, b: str) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


async def ran(workspace: Path) -> tuple[str, str]:
    """What a run said at its end, and its status."""
    async with scripted_server(otherwise=Caching()) as server:
        at(server, workspace)
        said = await lorimer(workspace, "run")
    assert said.code == 0, said
    return said.out, (await lorimer(workspace, "status", "--study", "run-1")).out


async def test_the_share_that_was_read_from_the_cache_is_told(bubblewrap: None, workspace: Path) -> None:
    out, status = await ran(workspace)
    task = StoreReader(workspace / STORE).spent("run-1").task
    share = task.cached_tokens / task.input_tokens
    line = f"{100 * share:.0f}% of the input tokens of trials were read from the provider's cache"
    assert 0.3 < share < 1
    assert f"\ncache: {line}\n" in out
    assert f"\n  cache       {line}\n" in status
    assert "cache lost" not in out + status
    found = json.loads((await lorimer(workspace, "status", "--study", "run-1", "--json")).out)["cache"]
    assert (found["task"], found["meta"], found["breaks"]["calls"]) == (pytest.approx(share), None, 0)


async def test_a_harness_that_loses_its_cache_is_named(bubblewrap: None, workspace: Path) -> None:
    path = workspace / "harness" / "agent.py"
    text = path.read_text()
    assert "llm.complete(messages, system=SYSTEM_PROMPT" in text
    path.write_text(text.replace("llm.complete(messages, system=SYSTEM_PROMPT", CLOCK))
    out, status = await ran(workspace)
    breaks = StoreReader(workspace / STORE).cache_breaks("run-1")
    assert breaks.calls == breaks.changed > 0
    assert breaks.lost_tokens >= 1024 * breaks.calls / 2
    assert "cache lost" in out, breaks
    said = next(line for line in status.splitlines() if line.startswith("  cache lost"))
    assert f"{breaks.lost_tokens:,} tokens; {breaks.changed} of them began otherwise than the call before; " in said
    assert said.endswith(f"such as step {breaks.step} of {breaks.trial}: its system prompt had changed")
