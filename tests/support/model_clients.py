"""Clients of the three APIs against a scripted server, and minimal good answers in each API's form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from lorimer.harness.api import Message, Tool
from lorimer.keys import Keys
from lorimer.models.base import CallContext, ModelClient, ModelRequest
from lorimer.models.failing.retry import RetryClock
from lorimer.models.provider import Api, ProviderConfig, RetryPolicy
from lorimer.models.registry import open_model

KEY = "sk-test-0123456789abcdef"
BASH = Tool("bash", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
PYTHON = Tool("python", "Run Python.", {"type": "object", "properties": {"code": {"type": "string"}}})


@dataclass
class FakeTime:
    """A clock that only waiting moves."""

    now: float = 1_000_000.0
    chance: float = 0.5
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> RetryClock:
        return RetryClock(lambda: self.now, lambda: self.now, self.sleep, lambda: self.chance)


@asynccontextmanager
async def client(
    url: str, api: Api, *, time: FakeTime | None = None, real: bool = False, name: str = "local", **settings: Any
) -> AsyncIterator[ModelClient]:
    """A client of `name/model` whose requests go to `url`; waits take no time, unless it is to be `real`."""
    provider = ProviderConfig(
        name, api=api, base_url=f"{url}/v1", key_env="TEST_KEY", retry=RetryPolicy(window_seconds=100)
    )
    model = open_model(
        f"{name}/model",
        {name: replace(provider, **settings)},
        keys=Keys({"TEST_KEY": KEY}),
        clock=RetryClock() if real else (time or FakeTime()).clock(),
    )
    try:
        yield model
    finally:
        await model.close()


def provider_at(url: str, api: Api, *, timeout: float = 30.0) -> ProviderConfig:
    """A provider without a key, which is waited for `timeout` seconds."""
    return ProviderConfig("local", api=api, base_url=f"{url}/v1", retry=RetryPolicy(timeout_seconds=timeout))


def asked(*messages: Message, **settings: Any) -> ModelRequest:
    return ModelRequest(messages, **settings)


def context(waits: list[tuple[float, str]] | None = None) -> CallContext:
    kept = [] if waits is None else waits
    return CallContext("task", on_wait=lambda seconds, why: kept.append((seconds, why)))


def good(api: Api, text: str = "hello", calls: Sequence[tuple[str, str, Any]] = ()) -> dict[str, Any]:
    """A good answer: text, and calls as (id, tool, arguments)."""
    if api == "anthropic":
        blocks: list[Mapping[str, Any]] = [{"type": "text", "text": text}] if text else []
        blocks += [{"type": "tool_use", "id": id_, "name": tool, "input": given} for id_, tool, given in calls]
        return {
            "type": "message",
            "role": "assistant",
            "content": blocks,
            "stop_reason": "tool_use" if calls else "end_turn",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    if api == "responses":
        items: list[Mapping[str, Any]] = (
            [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
            if text
            else []
        )
        items += [
            {"type": "function_call", "call_id": id_, "name": tool, "arguments": _json(given)}
            for id_, tool, given in calls
        ]
        return {"status": "completed", "output": items, "usage": {"input_tokens": 10, "output_tokens": 5}}
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": tool, "arguments": _json(given)}}
            for id_, tool, given in calls
        ]
    return {
        "choices": [{"message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }


def _json(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given)
