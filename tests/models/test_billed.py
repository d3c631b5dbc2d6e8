"""What attempts that failed may be billed, through the real SDKs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lorimer.errors import ProviderOutage
from lorimer.harness.api import Usage, user
from lorimer.models.base import Billed
from lorimer.models.provider import Api, RetryPolicy, TokenPrice
from tests.models.test_streams import begun
from tests.support.model_clients import asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server
from tests.support.streams import stream

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
UNKNOWN = Billed()
COUNTED = Billed(Usage(10, 5), 20e-6)


def failures(api: Api) -> dict[str, tuple[Reply, list[Billed]]]:
    """What a server may answer in place of an answer, and what that may be billed."""
    broken: dict[str, Any] = {
        "chat": good("chat") | {"choices": [{"message": {"content": "hal"}, "finish_reason": "error"}]},
        "responses": good("responses") | {"status": "failed", "error": {"code": "server_error", "message": "m"}},
        "anthropic": good("anthropic") | {"stop_reason": "error"},
    }
    shapeless = {key: value for key, value in good(api).items() if key not in ("choices", "output", "content")}
    started = begun(api)
    return {
        "an HTTP error": (Reply({"error": {"message": "m"}}, status=503), []),
        "an HTTP error with counts": (
            Reply({"error": {"message": "m"}} | {"usage": good(api)["usage"]}, status=503),
            [],
        ),
        "an HTTP error in place of a stream that breaks off": (Reply("x" * 100, status=503, ending="half"), []),
        "no byte": (Reply(ending="close"), []),
        "no JSON": (Reply("<html>"), []),
        "an error inside": (Reply({"error": {"message": "m", "code": 500}}), []),
        "an error that was counted": (Reply(broken[api]), [COUNTED]),
        "no answer that was counted": (Reply(shapeless), [COUNTED]),
        "half an answer": (Reply(good(api), ending="half"), [UNKNOWN]),
        "silence": (Reply(ending="hang"), [UNKNOWN]),
        "a stream that breaks off": (Reply(pieces=started, ending="half"), [UNKNOWN]),
        "a stream that ends early": (Reply(pieces=started), [UNKNOWN]),
        "a stream that goes silent": (Reply(pieces=started, ending="hang"), [UNKNOWN]),
        "a stream of no JSON": (Reply(pieces=(*started, b"data: {]\n\n")), [UNKNOWN]),
    }


@ANY_API
@pytest.mark.parametrize("fault", failures("chat"))
async def test_an_attempt_that_failed_is_billed_what_was_counted_or_may_be_where_its_answer_had_begun(
    api: Api, fault: str
) -> None:
    reply, expected = failures(api)[fault]
    told = list[Billed]()

    async def billed(failed: Billed) -> None:
        told.append(failed)

    streamed = "stream" in fault
    retry = RetryPolicy(
        window_seconds=60, timeout_seconds=1.0 if fault == "silence" else 30.0, between_tokens_seconds=0.2
    )
    async with (
        scripted_server(reply, stream(api, good(api)) if streamed else Reply(good(api))) as server,
        client(server.url, api, stream=streamed, retry=retry, price=TokenPrice(1, 2)) as model,
    ):
        answered = await model.complete(asked(user("hi")), replace(context(), on_billed=billed))
    assert (answered.completion.text, answered.retries) == ("hello", 1)
    assert told == expected


@ANY_API
async def test_what_a_refused_connection_or_each_of_many_silent_attempts_may_be_billed(api: Api) -> None:
    told = list[Billed]()

    async def billed(failed: Billed) -> None:
        told.append(failed)

    async with scripted_server() as server:
        await server.go_down()
        async with client(server.url, api) as model:
            with pytest.raises(ProviderOutage, match="failed"):
                await model.complete(asked(user("hi")), replace(context(), on_billed=billed))
    assert told == []
    half = Reply(good(api), ending="half")
    async with scripted_server(half, half, half, Reply(good(api))) as server, client(server.url, api) as model:
        await model.complete(asked(user("hi")), replace(context(), on_billed=billed))
    assert told == [UNKNOWN] * 3


async def test_a_refusal_inside_a_success_is_paid_for_where_it_was_counted() -> None:
    refused = {"error": {"message": "blocked by content_filter", "code": 400}, "usage": good("chat")["usage"]}
    async with scripted_server(Reply(refused)) as server, client(server.url, "chat", price=TokenPrice(1, 2)) as model:
        reply = await model.complete(asked(user("hi")), context())
    assert (reply.completion.stop_reason, reply.completion.usage, reply.cost_usd) == ("refusal", Usage(10, 5), 20e-6)
