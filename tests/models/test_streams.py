"""Streamed answers over a real socket: the same as in one piece, asked for when a server wants it, and broken in every way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lorimer.errors import ProviderOutage
from lorimer.harness.api import Tool, user
from lorimer.keys import Keys
from lorimer.models.provider import Api, ProviderConfig, RetryPolicy
from lorimer.models.registry import open_model
from tests.support.model_clients import BASH, FakeTime, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server
from tests.support.streams import events, stream

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
REFUSED = Reply({"error": {"message": "Stream must be set to true"}}, status=400)
CALLS = (("c1", "bash", {"command": "ls"}), ("c2", "bash", {"command": 'echo "a\u2028b"'}))


@ANY_API
async def test_a_stream_gives_what_the_answer_in_one_piece_gives(api: Api) -> None:
    answer = good(api, "Grüße, 世界", CALLS) | {"model": "gpt-x-2026-05-01"}
    request = asked(user("hi"), tools=(BASH,))
    async with scripted_server(Reply(answer), stream(api, answer)) as server:
        async with client(server.url, api, stream=False) as model:
            plain = await model.complete(request, context())
        async with client(server.url, api, stream=True) as model:
            streamed = await model.complete(request, context())
    assert streamed.completion == plain.completion
    assert streamed.answered == plain.answered == "gpt-x-2026-05-01"
    assert [call.arguments["command"] for call in streamed.completion.tool_calls] == ["ls", 'echo "a\u2028b"']
    assert (streamed.completion.usage.input_tokens, streamed.completion.usage.estimated) == (10, False)
    assert "stream" not in server.bodies[0]
    assert server.bodies[1]["stream"] is True
    assert server.bodies[1].get("stream_options") == ({"include_usage": True} if api == "chat" else None)
    assert streamed.notes == ()


@ANY_API
async def test_a_server_that_asks_for_a_stream_gets_one_at_once_and_from_then_on(api: Api) -> None:
    time, waits = FakeTime(), list[tuple[float, str]]()
    async with (
        scripted_server(REFUSED, otherwise=stream(api, good(api))) as server,
        client(server.url, api, time=time) as model,
    ):
        replies = [await model.complete(asked(user("hi")), context(waits)) for _ in range(3)]
    assert [bool(body.get("stream")) for body in server.bodies] == [False, True, True, True]
    assert {(reply.completion.text, reply.retries) for reply in replies} == {("hello", 0)}
    assert (waits, time.slept) == ([], [])
    said = "local/model asks for streamed requests: all are streamed from now on ([providers.local]: stream = true)"
    assert [(note.kind, note.text) for note in replies[0].notes] == [("stream", said)]
    assert replies[2].notes == replies[0].notes


@ANY_API
async def test_a_server_that_refuses_streams_with_the_same_words_is_not_asked_for_them_again(api: Api) -> None:
    async with scripted_server(otherwise=REFUSED) as server, client(server.url, api) as model:
        replies = [await model.complete(asked(user("hi")), context()) for _ in range(2)]
    assert [bool(body.get("stream")) for body in server.bodies] == [False, True, False]
    assert {(reply.completion.stop_reason, reply.completion.error) for reply in replies} == {
        ("rejected", "Stream must be set to true")
    }
    assert replies[1].notes == ()


@ANY_API
@pytest.mark.parametrize("setting", [True, False])
async def test_the_setting_has_the_last_word(api: Api, setting: bool) -> None:
    async with scripted_server(otherwise=REFUSED) as server, client(server.url, api, stream=setting) as model:
        reply = await model.complete(asked(user("hi")), context())
    assert [bool(body.get("stream")) for body in server.bodies] == [setting]
    assert reply.completion.stop_reason == "rejected"


@ANY_API
async def test_a_server_that_answers_in_one_piece_whatever_it_is_asked_is_understood(api: Api) -> None:
    async with scripted_server(otherwise=Reply(good(api))) as server, client(server.url, api, stream=True) as model:
        assert (await model.complete(asked(user("hi")), context())).completion.text == "hello"


@ANY_API
async def test_a_server_that_streams_whatever_it_is_asked_is_understood(api: Api) -> None:
    async with scripted_server(otherwise=stream(api, good(api))) as server, client(server.url, api) as model:
        assert (await model.complete(asked(user("hi")), context())).completion.text == "hello"
    assert "stream" not in server.bodies[0]


async def test_a_server_without_stream_options_is_sent_none_and_its_usage_is_estimated() -> None:
    unknown = Reply({"error": {"message": "Unsupported parameter: stream_options"}}, status=400)
    silent = stream("chat", {**good("chat"), "usage": None})
    async with scripted_server(unknown, otherwise=silent) as server, client(server.url, "chat", stream=True) as model:
        replies = [await model.complete(asked(user("hi")), context()) for _ in range(2)]
    assert ["stream_options" in body for body in server.bodies] == [True, False, False]
    assert all(reply.completion.usage.estimated for reply in replies)
    assert all(body["stream"] for body in server.bodies)


def begun(api: Api) -> tuple[bytes, ...]:
    """A stream until after its first token."""
    return tuple(events(api, good(api, "hello world")))[: 2 if api == "chat" else 4]


def broken(api: Api) -> dict[str, tuple[Reply, str]]:
    """Streams that go wrong, and what is said of each."""
    started = begun(api)
    in_chat = {"error": {"message": "engine died", "code": 503}}
    flat = {"type": "error", "code": "server_error", "message": "engine died", "param": None}
    nested = {"type": "error", "error": {"type": "overloaded_error", "message": "engine died"}}
    told = {"chat": in_chat, "responses": flat, "anthropic": nested}[api]
    status = {"chat": 503, "responses": 500, "anthropic": 529}[api]
    error = f"event: error\ndata: {json.dumps(told)}\n\n".encode()
    return {
        "breaks off": (Reply(pieces=started, ending="half"), "the stream broke off: RemoteProtocolError"),
        "ends early": (Reply(pieces=started), "the stream ended before its answer did"),
        "error event": (Reply(pieces=(*started, error)), f"HTTP {status}: engine died"),
        "error first": (Reply(pieces=(error,)), f"HTTP {status}: engine died"),
        "not JSON": (Reply(pieces=(*started, b'data: {"a": tru\n\n')), 'the stream holds what is not JSON: {"a": tru'),
        "no event": (Reply(pieces=(*started, b"data: 5\n\n")), "the stream holds what is no event: 5"),
        "empty": (Reply(pieces=(b"\n",)), "the stream ended before its answer did"),
        "only comments": (Reply(pieces=(b": hi\n\n",) * 3), "the stream ended before its answer did"),
        "a web page": (Reply("<html>bad gateway</html>"), "the answer is not JSON: <html>"),
    }


@ANY_API
@pytest.mark.parametrize("fault", broken("chat"))
async def test_a_broken_stream_is_tried_again(api: Api, fault: str) -> None:
    reply, said = broken(api)[fault]
    waits = list[tuple[float, str]]()
    async with scripted_server(reply, stream(api, good(api))) as server, client(server.url, api, stream=True) as model:
        answered = await model.complete(asked(user("hi")), context(waits))
    assert (answered.completion.text, answered.retries) == ("hello", 1)
    assert waits[0][1].startswith(said)


@ANY_API
@pytest.mark.parametrize("status", [400, 401, 429, 500, 502, 529])
@pytest.mark.parametrize(
    ("ending", "headers", "error"),
    [
        ("half", {}, "RemoteProtocolError"),
        ("full", {"content-encoding": "gzip"}, "DecodingError"),
        ("full", {"content-encoding": "deflate"}, "DecodingError"),
    ],
    ids=["half", "gzip", "deflate"],
)
async def test_an_error_in_a_streams_place_that_cannot_be_read_is_tried_again(
    api: Api, status: int, ending: Any, headers: dict[str, str], error: str
) -> None:
    waits = list[tuple[float, str]]()
    bad = Reply({"error": {"message": "x" * 3000}}, status=status, headers=headers, ending=ending)
    async with scripted_server(bad, stream(api, good(api))) as server, client(server.url, api, stream=True) as model:
        answered = await model.complete(asked(user("hi")), context(waits))
    assert (answered.completion.text, answered.retries) == ("hello", 1)
    assert waits[0][1].startswith(f"the answer could not be read: {error} ")


@ANY_API
async def test_only_the_end_marker_of_a_whole_answer_may_be_missing(api: Api) -> None:
    """The answer is whole; the server lets the connection stand, or breaks it off, in place of an end."""
    whole = tuple(events(api, good(api)))
    for ending in ("hang", "half", "trickle"):
        async with (
            scripted_server(Reply(pieces=whole, ending=ending)) as server,
            client(server.url, api, stream=True) as model,
        ):
            reply = await model.complete(asked(user("hi")), context())
        assert (reply.completion.text, reply.retries) == ("hello", 0)
        assert not reply.completion.usage.estimated


def impatient(url: str, api: Api, on_tokens: Callable[[float], None] = lambda tokens: None, **retry: float) -> Any:
    policy = RetryPolicy(window_seconds=0.1, initial_seconds=0.01, **retry)
    provider = ProviderConfig("local", api=api, base_url=f"{url}/v1", retry=policy, stream=True)
    return open_model("local/model", {"local": provider}, keys=Keys({}), on_tokens=on_tokens)


@ANY_API
@pytest.mark.parametrize("ending", ["hang", "trickle"])
async def test_a_stream_that_goes_silent_ends_though_comments_show_that_the_server_lives(api: Api, ending: Any) -> None:
    async with scripted_server(otherwise=Reply(pieces=begun(api), ending=ending)) as server:
        model = impatient(server.url, api, between_tokens_seconds=0.3)
        with pytest.raises(ProviderOutage) as caught:
            await model.complete(asked(user("hi")), context())
        await model.close()
    assert (caught.value.kind, caught.value.why) == ("slow", "no token for 0.3 s in the middle of an answer")


@ANY_API
async def test_the_first_token_may_take_as_long_as_the_request(api: Api) -> None:
    whole = tuple(events(api, good(api)))
    late = Reply(pieces=(whole[0], 0.5, b": reading the prompt\n\n", 0.5, *whole[1:]))
    async with scripted_server(late) as server:
        model = impatient(server.url, api, between_tokens_seconds=0.3)
        reply = await model.complete(asked(user("hi")), context())
        await model.close()
    assert reply.completion.text == "hello"


@ANY_API
async def test_a_stream_without_end_has_the_requests_time_limit(api: Api) -> None:
    token = begun(api)[-1]
    endless = Reply(pieces=(*begun(api), *(each for _ in range(400) for each in (token, 0.01))))
    async with scripted_server(otherwise=endless) as server:
        model = impatient(server.url, api, timeout_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(ProviderOutage) as caught:
            await model.complete(asked(user("hi")), context())
        await model.close()
    assert (caught.value.kind, caught.value.why) == ("slow", "no answer within 0.5 s")
    assert time.monotonic() - began < 30


@ANY_API
async def test_tokens_are_told_as_they_come(api: Api) -> None:
    heard = list[float]()
    async with scripted_server(stream(api, good(api, "x" * 400, CALLS))) as server:
        model = impatient(server.url, api, heard.append)
        await model.complete(asked(user("hi"), tools=(Tool("bash", "", {}),)), context())
        await model.close()
    assert len(heard) >= 4
    assert 100 <= sum(heard) <= 130


async def test_thoughts_that_are_signed_and_items_that_are_encrypted_come_back_as_they_were() -> None:
    """What goes back with the second call is the same, streamed or not."""
    signed = good("anthropic", "", CALLS[:1])
    signed["content"] = [
        {"type": "thinking", "thinking": "let me see", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        *signed["content"],
    ]
    sealed = good("responses", "", CALLS[:1])
    sealed["output"] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z2VoZWlt"},
        *sealed["output"],
    ]
    google = good("chat", "", CALLS[:1])
    google["choices"][0]["message"] |= {
        "reasoning_content": "let me see",
        "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "let me see", "signature": "s"}],
    }
    google["choices"][0]["message"]["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "abc"}}
    for api, answer in (("anthropic", signed), ("responses", sealed), ("chat", google)):
        sent = []
        for reply in (Reply(answer), stream(api, answer)):  # type: ignore[arg-type]
            async with scripted_server(reply, reply) as server:
                async with client(server.url, api, stream=bool(reply.pieces)) as model:  # type: ignore[arg-type]
                    first = (await model.complete(asked(user("hi"), tools=(BASH,)), context())).completion
                    await model.complete(asked(user("hi"), first.message, tools=(BASH,)), context())
                body = server.bodies[1]
                sent.append((first, body.get("messages") or body["input"]))
        assert sent[0] == sent[1]
        said = json.dumps(sent[1][1])
        assert {"anthropic": "c2lnbmVk", "responses": "Z2VoZWlt", "chat": "thought_signature"}[api] in said
