"""Recorded replies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lorimer.errors import ConfigError
from lorimer.harness.api import ToolCall, assistant, user
from lorimer.models.base import CallContext
from lorimer.models.replay import RecordingModel, ReplayModel, content_hash, replay_key
from tests.support.model_clients import BASH, asked, client, good
from tests.support.scripted_server import Reply, scripted_server

CALL = CallContext("task", seed=3, harness="ab" * 32, task="t-1", attempt=1, call_index=2)


async def test_what_was_recorded_is_replayed() -> None:
    request = asked(user("hi"), tools=(BASH,))
    async with scripted_server(Reply(good("chat"))) as server, client(server.url, "chat") as model:
        recorder = RecordingModel(model)
        recorded = await recorder.complete(request, CALL)
        assert (recorder.id, recorder.price(1, 1)) == (model.id, None)
    replay = ReplayModel(recorder.replies)
    assert await replay.complete(request, CALL) == recorded
    assert await ReplayModel(recorder.replies.get).complete(request, CALL) == recorded
    assert (replay.id, replay.price(10, 10)) == ("replay/recorded", 0.0)


@pytest.mark.parametrize(
    "change", [{"role": "meta"}, {"seed": 4}, {"harness": "cd"}, {"task": "t-2"}, {"attempt": 0}, {"call_index": 3}]
)
async def test_a_call_that_was_not_recorded_is_named(change: dict[str, object]) -> None:
    request = asked(user("hi"))
    async with scripted_server(Reply(good("chat"))) as server, client(server.url, "chat") as model:
        recorder = RecordingModel(model)
        await recorder.complete(request, CALL)
    with pytest.raises(ConfigError, match=r"replay/recorded: no recorded reply for \w+ call \d of 't-\d', attempt \d"):
        await ReplayModel(recorder.replies).complete(request, replace(CALL, **change))  # type: ignore[arg-type]


def test_the_key_knows_content_and_not_the_order_of_mappings() -> None:
    def request(arguments: dict[str, object]) -> str:
        return content_hash(asked(user("hi"), assistant("", [ToolCall("c", "bash", arguments)])))

    assert request({"a": 1, "b": 2}) == request({"b": 2, "a": 1})
    assert request({"a": 1}) != request({"a": 2})
    assert replay_key(asked(user("a")), CALL) != replay_key(asked(user("b")), CALL)
