"""What `[providers.NAME]` adds to requests: fields of the body, headers, thoughts of earlier turns; and what it may not say."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from lorimer.config.settings import parse
from lorimer.errors import CallFailed, ConfigError, PrerequisiteError, ProviderOutage
from lorimer.harness.api import Message, Reasoning, user
from lorimer.keys import Keys
from lorimer.meta_agent.workspace.named import key_names
from lorimer.meta_agent.workspace.session import scrub_for
from lorimer.models.provider import Api, provider_config
from lorimer.models.registry import open_model
from tests.support.model_clients import KEY, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

APIS: tuple[Api, ...] = ("anthropic", "responses", "chat")
ANY_API = pytest.mark.parametrize("api", APIS)
TOKEN = "gw-0a1b2c3d4e5f6a7b"


def settings(**given: Any) -> Any:
    return parse({"providers": {"local": given}}, "lorimer.toml").providers["local"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"extra_body": {"model": "other"}}, "extra_body: model is not set here: it is set by [models]"),
        ({"extra_body": {"messages": []}}, "extra_body: messages is not set here: it is set by the harness"),
        ({"extra_body": {"tools": []}}, "extra_body: tools is not set here: it is set by the harness"),
        ({"extra_body": {"stream": True}}, "extra_body: stream is not set here: it is set by stream of the same table"),
        (
            {"extra_body": {"max_tokens": 5}},
            "extra_body: max_tokens is not set here: it is set by max_tokens of the same",
        ),
        ({"extra_body": {"n": 2}}, "extra_body: n is not set here: it is set by lorimer, which reads one answer"),
        ({"extra_body": {"a": {"b": [1.0, float("nan")]}}}, "extra_body: a.b.1 is nan, which JSON has no number for"),
        ({"extra_body": {"since": date(2026, 1, 1)}}, "extra_body: since is a date, which JSON does"),
        (
            {"extra_body": {"api_key": "x"}},
            "extra_body: api_key holds a secret, which must not stand here: send it by headers",
        ),
        ({"extra_body": ["a"]}, "extra_body: is a table: write [providers.local.extra_body] on a line of its own"),
        (
            {"headers": {"X Team": "a"}},
            "headers: 'X Team' is no name of a header: letters, digits and hyphens make one",
        ),
        ({"headers": {"": "a"}}, "headers: '' is no name of a header"),
        (
            {"headers": {"X-Team": "a\nX-Key: b"}},
            "headers: X-Team: its value holds a line break, a control character or a",
        ),
        (
            {"headers": {"X-Team": "Zürich"}},
            "headers: X-Team: its value holds a line break, a control character or a letter",
        ),
        ({"headers": {"X-Team": " a"}}, "headers: X-Team: its value begins or ends with a blank"),
        (
            {"headers": {"X-Team": "${MY TEAM}"}},
            "headers: X-Team: after ${ stands the name of an environment variable and }",
        ),
        (
            {"headers": {"Content-Length": "3"}},
            "headers: Content-Length belongs to the connection, which lorimer makes",
        ),
        (
            {"headers": {"X-Team": "a", "x-team": "b"}},
            "headers: X-Team and x-team are one header: leave one of them out",
        ),
        ({"headers": {"X-Team": 5}}, "headers.X-Team: should be a text in quotes"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_key(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**given)
    assert str(caught.value).startswith(f"lorimer.toml: providers.local.{said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("Authorization", f"Bearer {TOKEN}", 'Authorization = "Bearer ${MY_AUTHORIZATION}"'),
        ("x-api-key", TOKEN, 'x-api-key = "${MY_X_API_KEY}"'),
        ("api-key", TOKEN, 'api-key = "${MY_API_KEY}"'),
        ("Helicone-Auth", f"Bearer {TOKEN}", 'Helicone-Auth = "Bearer ${MY_HELICONE_AUTH}"'),
        ("X-Gateway-Token", TOKEN, 'X-Gateway-Token = "${MY_X_GATEWAY_TOKEN}"'),
        ("Cookie", f"session={TOKEN}", 'Cookie = "${MY_COOKIE}"'),
        ("Cookie", f"session={TOKEN}; more=${{REST}}", 'Cookie = "${MY_COOKIE}"'),
        ("X-Upstream", f"Bearer {TOKEN}", 'X-Upstream = "Bearer ${MY_X_UPSTREAM}"'),
        ("X-Upstream", f"sk-{TOKEN}", 'X-Upstream = "${MY_X_UPSTREAM}"'),
    ],
)
def test_a_secret_in_a_header_is_refused_with_what_to_write_and_is_not_repeated(
    name: str, value: str, advice: str
) -> None:
    said = []
    for data, given in (({"local": {"headers": {name: value}}}, {}), ({}, {f"providers.local.headers.{name}": value})):
        with pytest.raises(ConfigError) as caught:
            parse({"providers": data}, "lorimer.toml", given)
        said.append(str(caught.value))
        assert TOKEN not in str(caught.value)
        assert str(caught.value).endswith(f"environment variable or into .env, and name that here: {advice}")
    assert said[0].startswith(f"lorimer.toml: providers.local.headers: {name} holds a secret")
    assert said[1].startswith(f"--set providers.local.headers.{name}=...: ")


def test_a_table_of_headers_of_a_wrong_type_is_not_repeated_either() -> None:
    for wrong in (TOKEN, {"Authorization": [TOKEN]}):
        with pytest.raises(ConfigError) as caught:
            settings(headers=wrong)
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Team": "research", "HTTP-Referer": "https://example.org", "OpenAI-Organization": "org-1234567890"},
        {"Authorization": "Bearer ${A}", "Cookie": "session=${A}; theme=dark", "X-Key": "${A}", "X-Auth-Token": ""},
    ],
)
def test_plain_headers_and_variables_are_taken(headers: dict[str, str]) -> None:
    made = provider_config("local", settings(base_url="http://127.0.0.1:1/v1", headers=headers))
    assert made.headers == headers


def test_thoughts_are_sent_back_by_the_api_that_knows_them_alone() -> None:
    assert provider_config("local", settings(send_reasoning=True)).send_reasoning
    with pytest.raises(
        ConfigError, match=r'^providers\.openai\.send_reasoning: is for api = "chat"; under "responses"'
    ):
        provider_config("openai", settings(send_reasoning=True))


@ANY_API
async def test_fields_and_headers_of_the_settings_are_in_every_request(api: Api) -> None:
    table = {
        "api": api,
        "key_env": "TEST_KEY",
        "extra_body": {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}},
        "headers": {"X-Team": "research", "x-gateway-key": "${GATEWAY_KEY}", "USER-AGENT": "mine/1.0"},
    }
    async with scripted_server(otherwise=Reply(good(api))) as server:
        provider = provider_config("local", settings(base_url=f"{server.url}/v1", **table))
        model = open_model("local/m", {"local": provider}, keys=Keys({"TEST_KEY": KEY, "GATEWAY_KEY": TOKEN}))
        for _ in range(2):
            await model.complete(asked(user("hi")), context())
        await model.close()
    assert len(server.requests) == 2
    for request in server.requests:
        assert request.body["top_k"] == 20
        assert request.body["chat_template_kwargs"] == {"enable_thinking": False}
        assert request.headers["x-team"] == "research"
        assert request.headers["x-gateway-key"] == TOKEN
        assert request.headers["user-agent"] == "mine/1.0"


@ANY_API
@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-KEY"])
async def test_a_header_of_the_users_own_takes_the_place_of_the_sdks(api: Api, name: str) -> None:
    async with scripted_server(otherwise=Reply(good(api))) as server:
        provider = provider_config(
            "local", settings(api=api, base_url=f"{server.url}/v1", headers={name: "Bearer ${GATEWAY_KEY}"})
        )
        model = open_model("local/m", {"local": provider}, keys=Keys({"GATEWAY_KEY": TOKEN}))
        await model.complete(asked(user("hi")), context())
        await model.close()
    assert server.requests[0].all_headers(name) == [f"Bearer {TOKEN}"]


def test_a_variable_that_is_not_set_is_named_with_its_header() -> None:
    provider = provider_config(
        "local", settings(base_url="http://127.0.0.1:1/v1", headers={"X-Team": "a", "X-Key": "${GATEWAY_KEY}"})
    )
    with pytest.raises(PrerequisiteError) as caught:
        open_model("local/m", {"local": provider}, keys=Keys({"GATEWAY_KEY": " "}))
    assert str(caught.value) == (
        "no value for the header X-Key of provider 'local': GATEWAY_KEY is neither in the environment nor in .env nor in a "
        "keyring (pip install 'lorimer[keyring]' to use one); run `export GATEWAY_KEY=...`, write it to .env, or name another "
        "in [providers.local] headers"
    )


@ANY_API
async def test_a_headers_secret_is_masked_in_what_providers_echo(api: Api) -> None:
    echo = Reply({"error": {"message": f"bad header X-Key: {TOKEN}"}}, status=400)
    busy = Reply({"error": {"message": f"busy, {TOKEN}"}}, status=500)
    wrong = Reply({"error": {"message": f"no such key {TOKEN}"}}, status=401)
    async with scripted_server(echo, busy, otherwise=wrong) as server:
        provider = provider_config(
            "local", settings(api=api, base_url=f"{server.url}/v1", headers={"X-Key": "${GATEWAY_KEY}"})
        )
        model = open_model("local/m", {"local": provider}, keys=Keys({"GATEWAY_KEY": TOKEN}))
        assert TOKEN not in f"{model!r} {provider!r} {vars(model)!r}"
        reply = await model.complete(asked(user("hi")), context())
        assert reply.completion.error == "bad header X-Key: [key]"
        waits = list[tuple[float, str]]()
        with pytest.raises((ConfigError, ProviderOutage, CallFailed)) as caught:
            await model.complete(asked(user("hi")), context(waits))
        await model.close()
    assert waits[0][1] == "HTTP 500: busy, [key]"
    assert str(caught.value).endswith("(check the key in GATEWAY_KEY ([providers.local] headers))")
    assert "no such key [key]" in str(caught.value)
    assert TOKEN not in str(caught.value)


@ANY_API
@pytest.mark.parametrize("shown", range(8, len(TOKEN), 3))
async def test_a_providers_words_are_cut_after_its_echo_of_a_secret_is_masked(api: Api, shown: int) -> None:
    page = "x" * (200 - shown) + TOKEN + " and so on"
    refused = "x" * (2000 - shown) + TOKEN + " and so on"
    async with scripted_server(Reply({"error": {"message": refused}}, status=400), otherwise=Reply(page)) as server:
        provider = provider_config(
            "local",
            settings(
                api=api, base_url=f"{server.url}/v1", headers={"X-Key": "${GATEWAY_KEY}"}, retry={"window_seconds": 1}
            ),
        )
        model = open_model("local/m", {"local": provider}, keys=Keys({"GATEWAY_KEY": TOKEN}))
        reply = await model.complete(asked(user("hi")), context())
        with pytest.raises((ConfigError, ProviderOutage, CallFailed)) as caught:
            await model.complete(asked(user("hi")), context())
        await model.close()
    for said in (reply.completion.error or "", str(caught.value)):
        assert "xxx[key]"[: 3 + min(5, shown)] in said
        assert TOKEN[:8] not in said


def test_what_is_stored_is_masked_as_for_keys_and_the_name_is_listed_beside_them() -> None:
    config = parse({"providers": {"local": {"headers": {"X-Key": "${GATEWAY_KEY}", "X-Team": "a${TEAM}"}}}})
    assert key_names(config) == ["ANTHROPIC_API_KEY", "GATEWAY_KEY", "OPENAI_API_KEY", "TEAM"]
    scrub = scrub_for(config, Keys({"GATEWAY_KEY": TOKEN}))
    assert scrub(f"the gateway said {TOKEN}") == "the gateway said [secret]"
    assert TOKEN not in config.model_dump_json()


async def test_thoughts_go_back_where_the_settings_say_so() -> None:
    said = Message("assistant", "four", reasoning=(Reasoning("two and two"),))
    async with scripted_server(otherwise=Reply(good("chat"))) as server:
        for send in (False, True):
            async with client(server.url, "chat", send_reasoning=send) as model:
                await model.complete(asked(user("2+2?"), said, user("sure?")), context())
    assert "reasoning_content" not in server.bodies[0]["messages"][1]
    assert server.bodies[1]["messages"][1]["reasoning_content"] == "two and two"
