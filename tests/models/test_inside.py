"""Failures inside successes, thoughts inside texts, and what a server says at an address that is none of its API."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.errors import ConfigError
from lorimer.harness.api import Reasoning, assistant, user
from lorimer.models.failing.inside import BROKEN, failure_inside
from lorimer.models.messages import split_thoughts
from lorimer.models.provider import Api
from tests.support.model_clients import FakeTime, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
GONE = {"code": 502, "message": "Upstream provider went away"}


def chat(change: dict[str, Any], **top: Any) -> dict[str, Any]:
    body = good("chat", "half an ans")
    body["choices"][0] |= change
    return body | top


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("api", "body", "words"),
    [
        ("chat", chat({"finish_reason": "error", "error": GONE}), "HTTP 502: Upstream provider went away"),
        ("chat", chat({"error": GONE}), "HTTP 502: Upstream provider went away"),
        ("chat", chat({"finish_reason": "error"}, error=GONE), "HTTP 502: Upstream provider went away"),
        ("chat", chat({"finish_reason": "error"}), "HTTP 500: the provider ended its answer with `error`"),
        (
            "chat",
            chat({"finish_reason": "network_error"}),
            "HTTP 500: the provider ended its answer with `network_error`",
        ),
        ("chat", chat({"finish_reason": "insufficient_system_resource"}), "insufficient_system_resource"),
        ("chat", {"error": {"code": "529", "message": "try later"}, "choices": []}, "HTTP 529: try later"),
        (
            "responses",
            good("responses") | {"status": "failed", "error": {"code": "server_error", "message": "m"}},
            "500: m",
        ),
        ("responses", good("responses") | {"status": "failed", "error": None}, "ended its answer with `failed`"),
        ("responses", good("responses") | {"status": "cancelled"}, "ended its answer with `cancelled`"),
        (
            "anthropic",
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "529: Overloaded",
        ),
        ("anthropic", {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, "HTTP 429: slow"),
        ("anthropic", good("anthropic") | {"stop_reason": "error"}, "ended its answer with `error`"),
        (
            "anthropic",
            'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n',
            "HTTP 529: Overloaded",
        ),
    ],
)
async def test_a_failure_inside_a_success_is_tried_again(api: Api, body: Any, words: str) -> None:
    waits = list[tuple[float, str]]()
    async with scripted_server(Reply(body), Reply(good(api))) as server, client(server.url, api) as model:
        reply = await model.complete(asked(user("hi")), context(waits))
    assert (reply.completion.text, reply.retries) == ("hello", 1)
    assert words in waits[0][1]


async def test_a_refusal_inside_a_success_is_one() -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages: none"}}
    async with scripted_server(Reply(body)) as server, client(server.url, "anthropic") as model:
        reply = await model.complete(asked(user("hi")), context())
    assert (reply.completion.stop_reason, reply.completion.error) == ("rejected", "messages: none")


@ANY_API
async def test_a_whole_answer_with_an_error_beside_it_is_an_answer(api: Api) -> None:
    body = good(api) | {"error": {"message": "a warning of no weight"}}
    async with scripted_server(Reply(body)) as server, client(server.url, api) as model:
        assert (await model.complete(asked(user("hi")), context())).completion.text == "hello"


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(sorted(BROKEN)),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "choices", "status", "code", "type", "finish_reason", "message"]), inner
            )
        ),
    )
)
def test_any_reply_is_looked_into(data: Any) -> None:
    failure = failure_inside(data)
    assert failure is None or 400 <= failure.status < 600


# ---- thoughts -------------------------------------------------------------------------------------------------------

THOUGHT = 'I could run {"name": "shell"} but 41 is wrong.'


@ANY_API
@pytest.mark.parametrize(
    "form",
    [
        "<think>\n{}\n</think>\n\n42",
        "\n <think>{}</think>42",
        "<thinking>{}</thinking>\n42",
        "<seed:think>{}</seed:think>42",
        "[THINK]{}[/THINK]42",
        "\u25c1think\u25b7{}\u25c1/think\u25b742",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>42",
        "{}\n</think>\n\n42",
    ],
)
async def test_thoughts_at_the_start_of_a_text_are_reasoning(api: Api, form: str) -> None:
    body = good(api, form.replace("{}", THOUGHT))
    async with scripted_server(Reply(body), otherwise=Reply(good(api))) as server, client(server.url, api) as model:
        completion = (await model.complete(asked(user("hi")), context())).completion
        assert completion.message == assistant("42", (), (Reasoning(THOUGHT),))
        # They are not sent back as the answer's text.
        await model.complete(asked(user("hi"), completion.message, user("go on")), context())
    assert "41 is wrong" not in server.requests[1].raw.decode()


@ANY_API
async def test_thoughts_that_never_end_are_no_answer(api: Api) -> None:
    async with scripted_server(Reply(good(api, f"<think>{THOUGHT}"))) as server, client(server.url, api) as model:
        completion = (await model.complete(asked(user("hi")), context())).completion
    assert (completion.text, completion.reasoning) == ("", THOUGHT)


@pytest.mark.parametrize(
    "text",
    [
        "The tag <think>is</think> written so.",
        "It is closed by `</think>`, as in\n`x</think>`\nand so on",
        "think about </thinking>\nit",
        "",
        "\n  plain",
    ],
)
def test_a_text_that_speaks_of_thoughts_stays_as_it_is(text: str) -> None:
    assert split_thoughts(text) == (text, ())


@given(st.text(alphabet="<>/think \n[]THINK|", max_size=60))
def test_thoughts_are_taken_from_the_start_alone(text: str) -> None:
    rest, thoughts = split_thoughts(text)
    assert text.endswith(rest)
    assert not thoughts or rest != text


# ---- addresses and accounts -----------------------------------------------------------------------------------------

ADVICE = 'base_url has no /v1, where most servers have their API: base_url = "{url}/v1"'


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": "Unexpected endpoint or method. (POST /chat/completions). Returning 200 anyway"}),
        Reply({"detail": "Not Found"}, status=404),
        Reply("404 page not found", status=404),
        Reply("<!doctype html><title>Open WebUI</title>", headers={"content-type": "text/html"}),
        Reply("<html>method not allowed</html>", status=405),
    ],
    ids=["200", "detail", "go", "page", "method"],
)
async def test_an_address_without_its_version_is_told_so_at_once(api: Api, reply: Reply) -> None:
    async with scripted_server(reply) as server, client(server.url, api, base_url=server.url) as model:
        with pytest.raises(ConfigError) as caught:
            await model.complete(asked(user("hi")), context())
    assert ADVICE.format(url=server.url) in str(caught.value)
    assert len(server.requests) == 1


async def test_an_address_that_is_wrong_in_another_way_is_not_told_to_have_no_version() -> None:
    body = {"error": "Unexpected endpoint or method. (POST /v1/chat/completions). Returning 200 anyway"}
    async with scripted_server(Reply(body)) as server, client(server.url, "chat") as model:
        with pytest.raises(ConfigError) as caught:
            await model.complete(asked(user("hi")), context())
    assert str(caught.value).endswith("(no API is served at this address: check base_url and api in [providers.local])")


@ANY_API
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (402, "This request requires more credits, or fewer max_tokens. You can only afford 7800."),
        (403, "Key limit exceeded (total limit). Manage it using the site."),
        (400, "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0"),
        (429, "You exceeded your current quota, please check your plan and billing details."),
    ],
)
async def test_an_account_without_money_is_told_so_at_once(api: Api, status: int, words: str) -> None:
    reply = Reply({"error": {"message": words}}, status=status)
    async with scripted_server(reply) as server, client(server.url, api) as model:
        with pytest.raises(ConfigError, match="the account has no credit, or its quota is used up"):
            await model.complete(asked(user("hi")), context())


@ANY_API
async def test_a_limit_that_says_when_to_come_back_is_waited_for_though_its_words_are_those_of_payment(
    api: Api,
) -> None:
    time = FakeTime(chance=0.0)
    limited = Reply({"error": {"message": "Key limit exceeded"}}, status=429, headers={"Retry-After": "30"})
    async with scripted_server(limited, Reply(good(api))) as server, client(server.url, api, time=time) as model:
        answered = await model.complete(asked(user("hi")), context())
    assert (answered.completion.text, time.slept) == ("hello", [30.0])
    large = Reply(
        {"error": {"message": "Request too large for your credit limit reached"}},
        status=429,
        headers={"Retry-After": "1"},
    )
    async with scripted_server(large, large) as server, client(server.url, api) as model:
        assert (await model.complete(asked(user("hi")), context())).completion.stop_reason == "context_overflow"


async def test_a_quota_by_the_minute_is_waited_for_as_long_as_it_says() -> None:
    words = "You exceeded your current quota, please check your plan and billing details.\nPlease retry in 38.5s."
    time = FakeTime(chance=0.0)
    async with (
        scripted_server(Reply({"error": {"message": words}}, status=429), Reply(good("chat"))) as server,
        client(server.url, "chat", time=time) as model,
    ):
        assert (await model.complete(asked(user("hi")), context())).completion.text == "hello"
    assert time.slept == [38.5]


@ANY_API
@pytest.mark.parametrize(
    "words",
    [
        'Your chosen model requires moderation and your input was flagged for "illicit". No credits were charged.',
        "The prompt was blocked by the guardrail",
        "Your request was rejected as a result of our safety system",
    ],
)
async def test_a_403_with_words_of_moderation_is_a_refusal(api: Api, words: str) -> None:
    async with (
        scripted_server(Reply({"error": {"message": words}}, status=403)) as server,
        client(server.url, api) as model,
    ):
        completion = (await model.complete(asked(user("hi")), context())).completion
    assert (completion.stop_reason, completion.error) == ("refusal", words)
