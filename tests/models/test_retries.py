"""What happens when a provider fails, through the real SDKs over a real socket."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.errors import ConfigError, ProviderOutage
from lorimer.harness.api import user
from lorimer.models.failing.failures import StatusFailure, judgement_of, retry_after
from lorimer.models.failing.retry import Retryable, retrying
from lorimer.models.provider import Api, RetryPolicy
from tests.support.model_clients import KEY, FakeTime, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
BUSY = Reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, status=429)


@ANY_API
async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_asks(api: Api) -> None:
    time, waits = FakeTime(chance=0.0), list[tuple[float, str]]()
    limited = Reply(BUSY.body, status=429, headers={"Retry-After": "7"})
    async with scripted_server(limited, Reply(good(api))) as server, client(server.url, api, time=time) as model:
        reply = await model.complete(asked(user("hi")), context(waits))
    assert reply.completion.text == "hello"
    assert waits == [(7.0, "HTTP 429: slow down")]
    assert (reply.retries, reply.waited_seconds, reply.seconds) == (1, 7.0, 0.0)


@ANY_API
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "20"}, {"retry-after-ms": "20000"}], ids=["silent", "s", "ms"])
async def test_minutes_of_rate_limits_are_waited_out_within_the_window(api: Api, headers: dict[str, str]) -> None:
    """Nine minutes, with and without a word of the provider, and then an answer."""
    time, waits = FakeTime(), list[tuple[float, str]]()
    limited = Reply(BUSY.body, status=429, headers=headers)
    policy = RetryPolicy(window_seconds=600, maximum_seconds=60)
    async with (
        scripted_server(*[limited] * (27 if headers else 14), Reply(good(api))) as server,
        client(server.url, api, time=time, retry=policy) as model,
    ):
        reply = await model.complete(asked(user("hi")), context(waits))
    assert reply.completion.text == "hello"
    assert 400 < sum(time.slept) <= 600
    assert reply.waited_seconds == pytest.approx(sum(time.slept))
    assert [seconds for seconds, _ in waits] == time.slept
    assert {why for _, why in waits} == {"HTTP 429: slow down"}


@ANY_API
async def test_a_model_that_never_stops_is_cut_off_and_says_so(api: Api) -> None:
    """It writes until the provider's bound every time: an answer that ran out of tokens, not an error."""
    endless = good(api, "and so on " * 1000)
    if api == "anthropic":
        endless["stop_reason"] = "max_tokens"
    elif api == "responses":
        endless |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    else:
        endless["choices"][0]["finish_reason"] = "length"
    async with scripted_server(otherwise=Reply(endless)) as server, client(server.url, api, max_tokens=64) as model:
        for _ in range(3):
            reply = await model.complete(asked(user("hi")), context())
            assert (reply.completion.stop_reason, reply.retries) == ("max_tokens", 0)
    assert len(server.requests) == 3
    limits = [
        body.get("max_tokens", body.get("max_output_tokens", body.get("max_completion_tokens")))
        for body in server.bodies
    ]
    assert limits == [64, 64, 64]


@ANY_API
@pytest.mark.parametrize(
    "bad",
    [
        Reply({"error": {"message": "boom"}}, status=500),
        Reply({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, status=529),
        Reply("<html>bad gateway</html>", status=502, headers={"content-type": "text/html"}),
        Reply({"error": {"message": "timeout"}}, status=408),
        Reply({"error": {"message": "conflict"}}, status=409),
        Reply('{"choices": [', status=200),
        Reply("", status=200),
        Reply("<html>welcome</html>", headers={"content-type": "text/html"}),
        Reply({"unexpected": True}),
        Reply([1, 2]),
        Reply(b"\xff\xfe\x00", status=200),
        Reply({"error": {"message": "upstream is down", "code": 502}}),
        Reply(good("chat"), ending="half"),
        Reply(ending="close"),
    ],
    ids=lambda reply: f"{reply.status}-{reply.ending}-{str(reply.body)[:12]}",
)
async def test_what_may_pass_is_tried_again(api: Api, bad: Reply) -> None:
    time, waits = FakeTime(), list[tuple[float, str]]()
    async with scripted_server(bad, Reply(good(api))) as server, client(server.url, api, time=time) as model:
        reply = await model.complete(asked(user("hi")), context(waits))
    assert reply.completion.text == "hello"
    assert reply.retries == 1
    assert len(waits) == 1
    assert waits[0][1]


@ANY_API
async def test_a_server_that_hangs_is_given_up_and_asked_again(api: Api) -> None:
    waits = list[tuple[float, str]]()
    policy = RetryPolicy(window_seconds=100, timeout_seconds=1)
    async with (
        scripted_server(Reply(ending="hang"), Reply(good(api))) as server,
        client(server.url, api, retry=policy) as model,
    ):
        reply = await model.complete(asked(user("hi")), context(waits))
    assert reply.completion.text == "hello"
    assert len(waits) == 1
    assert "timed out" in waits[0][1].lower() or "no answer within 1 s" in waits[0][1]


@ANY_API
async def test_a_server_that_trickles_is_given_up_too(api: Api) -> None:
    waits = list[tuple[float, str]]()
    policy = RetryPolicy(window_seconds=100, timeout_seconds=1)
    async with (
        scripted_server(Reply(ending="trickle"), Reply(good(api))) as server,
        client(server.url, api, retry=policy) as model,
    ):
        async with asyncio.timeout(60):
            reply = await model.complete(asked(user("hi")), context(waits))
    assert reply.completion.text == "hello"
    assert [why for _, why in waits] == ["no answer within 1 s"]


@ANY_API
async def test_errors_past_the_window_are_an_outage(api: Api) -> None:
    time, waits = FakeTime(), list[tuple[float, str]]()
    always = Reply({"error": {"message": "boom"}}, status=500)
    async with scripted_server(otherwise=always) as server, client(server.url, api, time=time) as model:
        with pytest.raises(ProviderOutage) as caught:
            await model.complete(asked(user("hi")), context(waits))
    assert "local/model: failed " in str(caught.value)
    assert "retry window of 100 s used up: HTTP 500: boom" in str(caught.value)
    assert sum(time.slept) <= 100
    assert len(server.requests) == len(waits) + 1
    assert time.slept[:3] == [0.75, 1.5, 3.0]


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        ("3600", "3600 s"),
        ("1e308", "more than a year"),
        ("Wed, 21 Oct 2099 07:28:00 GMT", "more than a year"),
    ],
)
async def test_a_wait_past_the_window_is_an_outage_at_once(asked_for: str, said: str) -> None:
    time = FakeTime()
    limited = Reply(BUSY.body, status=429, headers={"retry-after": asked_for})
    async with scripted_server(limited) as server, client(server.url, "chat", time=time) as model:
        with pytest.raises(ProviderOutage, match=rf"asked to wait {said}, past the retry window of 100 s: HTTP 429"):
            await model.complete(asked(user("hi")), context())
    assert time.slept == []


async def test_a_server_that_is_not_there_is_waited_for() -> None:
    waits = list[tuple[float, str]]()
    async with scripted_server() as server:
        url = server.url
    async with client(url, "chat", retry=RetryPolicy(window_seconds=3)) as model:
        with pytest.raises(ProviderOutage, match="Connection error"):
            await model.complete(asked(user("hi")), context(waits))
    assert waits


@ANY_API
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": {"message": f"invalid api key: {KEY}"}}, "invalid api key: [key]"),
        (401, {"error": {"message": "Incorrect API key provided: sk-te****cdef."}}, "provided: [key]."),
        (403, {"error": {"message": "your region is not supported"}}, "your region is not supported"),
        (404, {"error": {"message": "model: model not found"}}, "model: model not found"),
        (400, {"error": {"message": "gone", "code": "model_not_found"}}, "gone"),
        (402, {"error": {"message": "Insufficient Balance"}}, "Insufficient Balance"),
        (400, {"error": {"message": "Your credit balance is too low"}}, "Your credit balance is too low"),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "current quota"),
        (307, {"detail": "elsewhere"}, "elsewhere"),
    ],
)
async def test_a_wrong_setup_is_told_at_once_in_the_providers_words(
    api: Api, status: int, body: object, words: str
) -> None:
    reply = Reply(body, status=status, headers={"location": "http://192.0.2.1/"})
    async with scripted_server(reply) as server, client(server.url, api) as model:
        with pytest.raises(ConfigError) as caught:
            await model.complete(asked(user("hi")), context())
    told = str(caught.value)
    assert told.startswith("model local/model at http://127.0.0.1:")
    assert words in told
    assert "[providers.local]" in told
    assert KEY not in told
    assert caught.value.__cause__ is None
    assert len(server.requests) == 1


FAULTS = [
    (401, {}, "check the key in TEST_KEY ([providers.local] key_env)"),
    (
        402,
        {},
        "the account has no credit, or its quota is used up: add some there, or use another provider than [providers.local]",
    ),
    (402, {"error": {"message": "Payment required"}}, "the account has no credit"),
    (429, {"error": {"message": "no", "code": "insufficient_quota"}}, "the account has no credit"),
    (403, {}, "this is not allowed: check the key in TEST_KEY, what it may be used for, and the model's name"),
    (404, {}, "check the model's name, and base_url and api in [providers.local]"),
    (400, {"error": {"message": "no such model"}}, "check the model's name, and base_url and api in [providers.local]"),
    (405, {}, "this address does not serve the chat API: check base_url and api in [providers.local]"),
    (501, {}, "this address does not serve the chat API"),
    *(
        (status, {}, "the address leads elsewhere to http://192.0.2.1/: set base_url in [providers.local]")
        for status in (301, 302, 303, 307, 308)
    ),
]


@pytest.mark.parametrize(("status", "body", "advice"), FAULTS)
async def test_each_fault_of_the_setup_says_what_to_put_right(status: int, body: object, advice: str) -> None:
    reply = Reply(body, status=status, headers={"location": "http://192.0.2.1/"} if status < 400 else {})
    async with scripted_server(reply) as server, client(server.url, "chat") as model:
        with pytest.raises(ConfigError) as caught:
            await model.complete(asked(user("hi")), context())
    assert f"({advice}" in str(caught.value)
    assert body or f": HTTP {status} without a word (" in str(caught.value)


async def test_without_a_key_a_server_that_wants_one_says_where_to_name_it() -> None:
    reply = Reply({"error": {"message": "who are you?"}}, status=401)
    async with scripted_server(reply) as server, client(server.url, "chat", key_env=None) as model:
        with pytest.raises(
            ConfigError, match=r"who are you\? \(check key_env in \[providers.local\], as no key is sent\)"
        ):
            await model.complete(asked(user("hi")), context())


OVERFLOWS = [
    (
        400,
        {"error": {"message": "prompt is too long: 205000 tokens > 200000 maximum", "type": "invalid_request_error"}},
    ),
    (400, {"error": {"message": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}),
    (400, {"error": {"message": "Your input exceeds the context window of this model."}}),
    (400, {"error": {"message": "too big", "code": "context_length_exceeded"}}),
    (400, {"error": {"message": "the request exceeds the available context size (8192 tokens), try increasing it"}}),
    (500, {"error": {"message": "request (20030 tokens) exceeds the available context size (8192 tokens)"}}),
    (400, {"message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens"}),
    (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
]
REJECTIONS = [
    (400, {"error": {"message": "messages: roles must alternate"}}, "messages: roles must alternate"),
    (422, {"detail": "tools.0.name is wrong"}, "tools.0.name is wrong"),
    (400, {"error": "this model does not support tools"}, "this model does not support tools"),
    (500, {"error": {"message": "tools param requires --jinja flag"}}, "tools param requires --jinja flag"),
    (404, {"error": {"message": "No endpoints found that support tool use."}}, "No endpoints found that support tool"),
    (400, "plain words", "plain words"),
    (400, "", "HTTP 400 without a word"),
    (
        500,
        {"error": {"message": "Jinja Exception: Conversation roles must alternate"}},
        "Jinja Exception: Conversation",
    ),
]


@ANY_API
@pytest.mark.parametrize(("status", "body"), OVERFLOWS)
async def test_a_prompt_that_is_too_long_is_an_answer(api: Api, status: int, body: dict[str, object]) -> None:
    async with scripted_server(Reply(body, status=status)) as server, client(server.url, api) as model:
        reply = await model.complete(asked(user("hi")), context())
    assert reply.completion.stop_reason == "context_overflow"
    assert reply.completion.error
    assert reply.completion.text == ""


@ANY_API
@pytest.mark.parametrize(("status", "body", "words"), REJECTIONS)
async def test_a_request_that_is_refused_is_an_answer_in_the_providers_words(
    api: Api, status: int, body: object, words: str
) -> None:
    async with scripted_server(Reply(body, status=status)) as server, client(server.url, api) as model:
        reply = await model.complete(asked(user("hi")), context())
    assert reply.completion.stop_reason == "rejected"
    assert reply.completion.error.startswith(words)
    assert reply.retries == 0


async def test_content_that_the_provider_filters_is_a_refusal() -> None:
    body = {"error": {"message": "The response was filtered", "code": "content_filter"}}
    async with scripted_server(Reply(body, status=400)) as server, client(server.url, "chat") as model:
        reply = await model.complete(asked(user("hi")), context())
    assert (reply.completion.stop_reason, reply.completion.error) == ("refusal", "The response was filtered")


async def test_a_failed_response_is_judged_by_its_code() -> None:
    def failed(code: str) -> Reply:
        return Reply({"status": "failed", "output": [], "error": {"code": code, "message": f"said {code}"}})

    script = (failed("server_error"), failed("rate_limit_exceeded"), failed("context_length_exceeded"))
    async with scripted_server(*script, failed("bio_policy")) as server, client(server.url, "responses") as model:
        overflow = await model.complete(asked(user("hi")), context())
        refused = await model.complete(asked(user("hi")), context())
    assert (overflow.completion.stop_reason, overflow.retries) == ("context_overflow", 2)
    assert (refused.completion.stop_reason, refused.completion.error) == ("refusal", "said bio_policy")


async def test_a_prompt_that_cannot_fit_a_known_window_is_not_sent() -> None:
    async with scripted_server() as server, client(server.url, "chat", context_window=1000) as model:
        reply = await model.complete(asked(user("word " * 2000)), context())
    assert server.requests == []
    assert reply.completion.stop_reason == "context_overflow"
    assert "exceeds the context window of 1000 tokens" in reply.completion.error


async def test_requests_in_flight_stay_within_the_providers_concurrency() -> None:
    slow = Reply(good("chat"), delay=0.05)
    async with scripted_server(otherwise=slow) as server, client(server.url, "chat", concurrency=1) as model:
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(model.complete(asked(user("hi")), context()) for _ in range(4)))
        assert asyncio.get_running_loop().time() - started >= 0.2


async def test_cancelling_a_call_ends_it() -> None:
    async with scripted_server(Reply(ending="hang")) as server, client(server.url, "chat") as model:
        call = asyncio.create_task(model.complete(asked(user("hi")), context()))
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(999_000, usegmt=True)}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-4"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=1_000_000) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 1s.", 1.0),
        ("Please retry in 36.5 s.", 36.5),
        ("retry in ... s", None),
        ("retry in 1.2.3s", None),
        ("retry in .s", None),
        (f"retry in {'9' * 400}s", None),
    ],
)
def test_a_wait_that_the_words_of_a_rate_limit_ask_for_is_read_where_it_is_a_number(
    words: str, seconds: float | None
) -> None:
    judged = [
        judgement_of(StatusFailure(429, {}, body), now=0.0)
        for body in (words, json.dumps({"error": {"message": words}}))
    ]
    assert [(each.kind, each.retry_after, each.everybodys) for each in judged] == [("retry", seconds, True)] * 2


@given(
    st.integers(min_value=300, max_value=599),
    st.one_of(st.text(), st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)).map(repr)),
    st.dictionaries(st.sampled_from(["retry-after", "Retry-After", "retry-after-ms"]), st.text()),
)
def test_any_failure_can_be_judged(status: int, body: str, headers: dict[str, str]) -> None:
    judgement = judgement_of(StatusFailure(status, headers, body), now=0.0)
    assert judgement.words
    assert judgement.retry_after is None or judgement.retry_after >= 0


@given(
    window=st.floats(0.1, 1000),
    initial=st.floats(0.01, 100),
    maximum=st.floats(0.1, 100),
    chance=st.floats(0, 0.99),
    asks=st.lists(st.none() | st.floats(0, 50), max_size=5),
)
def test_waits_are_finite_and_end_within_the_window(
    window: float, initial: float, maximum: float, chance: float, asks: list[float | None]
) -> None:
    time = FakeTime(chance=chance)
    told = list[float]()
    given_asks = iter(asks)

    async def fail() -> None:
        raise Retryable("no", next(given_asks, None))

    async def run() -> None:
        policy = RetryPolicy(window, initial, maximum)
        await retrying(fail, policy, time.clock(), lambda seconds, why: told.append(seconds), "x")

    with pytest.raises(ProviderOutage):
        asyncio.run(run())
    assert told == time.slept
    assert sum(time.slept) <= window * (1 + 1e-9) + 1e-6
    assert all(asked is None or waited >= asked for asked, waited in zip(asks, time.slept, strict=False))
