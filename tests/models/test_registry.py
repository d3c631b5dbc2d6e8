"""From a model string to a client, and what a user is told when that cannot be."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from lorimer.config.settings import parse
from lorimer.errors import ConfigError, InternalError, LorimerError, PrerequisiteError
from lorimer.harness.api import user
from lorimer.keys import Keys
from lorimer.models.guard import SWITCH, check
from lorimer.models.provider import BUILT_IN, Key, ProviderConfig, RetryPolicy, TokenPrice, provider_config
from lorimer.models.registry import EXAMPLES, open_model
from tests.support.model_clients import KEY, asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server


@pytest.mark.parametrize(
    ("model", "providers", "kind", "code", "told"),
    [
        (
            "gpt-5",
            {},
            ConfigError,
            2,
            "models: 'gpt-5' is not PROVIDER/NAME, such as anthropic/claude-sonnet-5-5 or openai/gpt-6.1-terra",
        ),
        ("openai/", {}, ConfigError, 2, "models: 'openai/' is not PROVIDER/NAME"),
        (
            "mine/x",
            {"yours": ProviderConfig("yours", base_url="http://localhost:1/v1")},
            ConfigError,
            2,
            "models: no provider 'mine' for 'mine/x'; there are anthropic, openai, simulated, yours; add [providers.mine]",
        ),
        ("mine/x", {"mine": ProviderConfig("mine")}, ConfigError, 2, "providers.mine.base_url: missing"),
        (
            "mine/x",
            {"mine": ProviderConfig("mine", base_url="localhost:8080")},
            ConfigError,
            2,
            "providers.mine.base_url: 'localhost:8080' does not start with http:// or https://",
        ),
        (
            "openai/gpt-5",
            {},
            PrerequisiteError,
            3,
            "no key for provider 'openai': OPENAI_API_KEY is neither in the environment nor in .env nor in a keyring (pip "
            "install 'lorimer[keyring]' to use one); run `export OPENAI_API_KEY=...`, write it to .env",
        ),
        ("anthropic/claude-x", {}, PrerequisiteError, 3, "ANTHROPIC_API_KEY is neither in the environment"),
    ],
)
def test_a_model_that_cannot_be_opened_says_why_in_one_line(
    model: str, providers: Mapping[str, ProviderConfig], kind: type[LorimerError], code: int, told: str
) -> None:
    with pytest.raises(kind) as caught:
        open_model(model, providers, keys=Keys({"OPENAI_API_KEY": "  "}))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == code


async def test_a_name_may_hold_slashes() -> None:
    async with scripted_server(Reply(good("chat"))) as server:
        hub = ProviderConfig("hub", base_url=server.url)
        model = open_model("hub/org/model:7b", {"hub": hub})
        await model.complete(asked(user("hi")), context())
        await model.close()
    assert model.id == "hub/org/model:7b"
    assert server.bodies[0]["model"] == "org/model:7b"


async def test_a_local_server_needs_no_key() -> None:
    async with scripted_server(Reply(good("chat"))) as server:
        model = open_model("local/m", {"local": ProviderConfig("local", base_url=f"{server.url}/v1")}, keys=Keys({}))
        reply = await model.complete(asked(user("hi")), context())
        await model.close()
    assert reply.completion.text == "hello"
    assert reply.cost_usd is None


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_an_anthropic_address_may_be_written_with_or_without_v1(path: str) -> None:
    async with scripted_server(Reply(good("anthropic"))) as server:
        local = ProviderConfig("local", api="anthropic", base_url=server.url + path)
        model = open_model("local/m", {"local": local})
        await model.complete(asked(user("hi")), context())
        await model.close()
    assert server.requests[0].path == "/v1/messages"
    assert server.requests[0].headers["x-api-key"]


@pytest.mark.parametrize("model", [*EXAMPLES])
def test_tests_cannot_reach_a_real_provider(model: str) -> None:
    assert os.environ[SWITCH] == "1"
    with pytest.raises(InternalError, match=r"a model request to api.*was stopped"):
        open_model(model, keys=Keys({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}))


@pytest.mark.parametrize("url", ["http://localhost.evil.com", "http://10.0.0.1:1", "https://127.0.0.1.nip.io/v1", "x"])
def test_only_loopback_counts_as_this_machine(url: str) -> None:
    check("http://127.0.0.1:8080/v1")
    check("http://localhost/v1")
    check("http://[::1]:1/v1")
    with pytest.raises(InternalError):
        check(url)


async def test_the_key_shows_nowhere() -> None:
    async with scripted_server() as server, client(server.url, "chat") as model:
        assert KEY not in repr(model) + repr(vars(model)) + repr(Key(KEY))
    assert "0123" not in Key(KEY).scrub(f"bad {KEY}, sk-te****cdef")
    assert Key("no-key").scrub("no-key given") == "no-key given"


def test_a_providers_table_becomes_its_config() -> None:
    config = parse(
        {
            "providers": {
                "llama": {
                    "base_url": "http://127.0.0.1:8080/v1",
                    "max_tokens": 512,
                    "context_window": 8192,
                    "concurrency": 2,
                    "usd_per_million_input": 0,
                    "usd_per_million_output": 0,
                    "retry": {"window_seconds": 5, "timeout_seconds": 3},
                },
                "openai": {"api": "chat"},
                "anthropic": {"base_url": "http://127.0.0.1:8080"},
            }
        }
    )
    made = {name: provider_config(name, settings) for name, settings in config.providers.items()}
    assert made["llama"] == ProviderConfig(
        "llama",
        api="chat",
        base_url="http://127.0.0.1:8080/v1",
        max_tokens=512,
        context_window=8192,
        concurrency=2,
        price=TokenPrice(0, 0),
        retry=RetryPolicy(window_seconds=5, timeout_seconds=3),
    )
    assert made["openai"].api == "chat"
    assert (made["openai"].key_env, made["openai"].max_tokens) == ("OPENAI_API_KEY", BUILT_IN["openai"].max_tokens)
    assert (made["anthropic"].api, made["anthropic"].key_env) == ("anthropic", None)


@pytest.mark.parametrize("given", ["input", "output"])
def test_half_a_price_is_no_price(given: str) -> None:
    settings = parse({"providers": {"llama": {f"usd_per_million_{given}": 1}}}).providers["llama"]
    other = "output" if given == "input" else "input"
    with pytest.raises(ConfigError, match=rf"providers\.llama\.usd_per_million_{other}: missing, while the other"):
        provider_config("llama", settings)
