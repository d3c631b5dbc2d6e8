"""A conversation that a provider fails at, and a provider that is down: one plain question tells them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from lorimer.errors import CallFailed, ConfigError, ProviderOutage
from lorimer.harness.api import user
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.models.failing.retry import PATIENCE
from lorimer.models.provider import Api
from lorimer.task_agent.serving.refusals import QUESTION, is_answered, plain_question
from tests.support.model_clients import FakeTime, asked, client, good
from tests.support.scripted_server import Reply, scripted_server

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
BOOM = Reply({"error": {"message": "Failed to parse input at pos 31: <tool_call>"}}, status=500)
TOKENS_PER_MINUTE = "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29500. Please try again in 1s."
"""OpenAI's words."""
POISON = asked(user("poison"), system="be brief")


def asking(complete: Callable[[ModelRequest, CallContext], Awaitable[ModelReply]]) -> CallContext:
    """A context that asks the same model."""

    async def answers() -> bool:
        return await is_answered(complete(plain_question(POISON, own_form=True), CallContext("task", once=True)))

    return CallContext("task", answers=answers)


@ANY_API
async def test_a_call_that_fails_for_ever_while_others_are_answered_is_given_up_soon(api: Api) -> None:
    time, ok = FakeTime(), Reply(good(api, "ok"))
    async with (
        scripted_server(*[BOOM] * PATIENCE, ok, BOOM) as server,
        client(server.url, api, time=time) as model,
    ):
        with pytest.raises(CallFailed) as caught:
            await model.complete(POISON, asking(model.complete))
    assert str(caught.value) == (
        "local/model: failed 5 times at this conversation and answered a plain question meanwhile: HTTP 500: Failed to parse "
        "input at pos 31: <tool_call>"
    )
    assert [QUESTION in request.raw.decode() for request in server.requests] == [False] * 4 + [True, False]
    assert sum(time.slept) < 10


@ANY_API
async def test_a_provider_that_is_back_when_it_is_asked_answers_the_call_too(api: Api) -> None:
    script = [BOOM] * PATIENCE + [Reply(good(api, "ok")), Reply(good(api))]
    async with scripted_server(*script) as server, client(server.url, api) as model:
        reply = await model.complete(POISON, asking(model.complete))
    assert (reply.completion.text, reply.retries) == ("hello", PATIENCE)


@ANY_API
async def test_a_provider_that_answers_nobody_is_waited_for_and_then_down(api: Api) -> None:
    time = FakeTime()
    async with scripted_server(otherwise=BOOM) as server, client(server.url, api, time=time) as model:
        with pytest.raises(ProviderOutage, match="retry window of 100 s used up: HTTP 500"):
            await model.complete(POISON, asking(model.complete))
    # Once after four failures, and once before it is given up.
    assert sum(QUESTION in request.raw.decode() for request in server.requests) == 2
    assert sum(time.slept) > 50


@ANY_API
@pytest.mark.parametrize("words", ["slow down", TOKENS_PER_MINUTE])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}], ids=["silent", "header"])
async def test_a_rate_limit_is_everybodys_and_nothing_is_asked(api: Api, words: str, headers: dict[str, str]) -> None:
    limited = Reply({"error": {"message": words}}, status=429, headers=headers)
    async with (
        scripted_server(otherwise=limited) as server,
        client(server.url, api, adaptive_concurrency=False) as model,  # a question would wait for the clock
    ):
        with pytest.raises(ProviderOutage, match="HTTP 429"):
            await model.complete(POISON, asking(model.complete))
    assert not any(QUESTION in request.raw.decode() for request in server.requests)


@ANY_API
@pytest.mark.parametrize("status", [403, 404, 405])
async def test_a_403_or_404_is_the_calls_own_where_the_provider_answers_others(api: Api, status: int) -> None:
    refused = Reply({"error": {"message": "not for this one"}}, status=status)
    async with (
        scripted_server(refused, Reply(good(api, "ok")), refused, refused) as server,
        client(server.url, api) as model,
    ):
        with pytest.raises(
            CallFailed, match="refused this conversation and answered a plain question meanwhile: not for"
        ):
            await model.complete(POISON, asking(model.complete))
        with pytest.raises(ConfigError, match="not for this one"):
            await model.complete(POISON, asking(model.complete))
    assert len(server.requests) == 4


@ANY_API
async def test_a_wrong_key_and_an_empty_account_ask_nothing(api: Api) -> None:
    for status in (401, 402):
        async with scripted_server(Reply({}, status=status)) as server, client(server.url, api) as model:
            with pytest.raises(ConfigError):
                await model.complete(POISON, asking(model.complete))
        assert len(server.requests) == 1


async def test_a_question_that_is_refused_is_no_answer() -> None:
    refused = Reply({"error": {"message": "no"}}, status=400)
    async with scripted_server(refused, BOOM) as server, client(server.url, "chat") as model:
        alone = dataclasses.replace(CallContext("task"), once=True)
        assert not await is_answered(model.complete(POISON, alone))
        assert not await is_answered(model.complete(POISON, alone))
    assert len(server.requests) == 2
