"""What a call costs, and that an unknown price stays unknown."""

from __future__ import annotations

import pytest

from lorimer.harness.api import Usage, user
from lorimer.models.pricing import at_most, price
from lorimer.models.provider import ANTHROPIC, OPENAI, ProviderConfig, TokenPrice
from tests.support.model_clients import asked, client, context, good
from tests.support.scripted_server import Reply, scripted_server

MILLION = Usage(1_000_000, 1_000_000)
LOCAL = ProviderConfig("local", base_url="http://127.0.0.1:8080/v1")


def test_known_models_have_a_price() -> None:
    # List prices that have stood since those models came out: $1.25 and $10; $3 and $15.
    assert price(OPENAI, "gpt-5", Usage(100_000, 100_000)) == pytest.approx(1.125)
    assert price(ANTHROPIC, "claude-sonnet-4-5", Usage(100_000, 100_000)) == pytest.approx(1.8)


def test_cached_input_is_cheaper_and_a_cache_write_dearer() -> None:
    plain = price(ANTHROPIC, "claude-sonnet-4-5", Usage(100_000, 0))
    read = price(ANTHROPIC, "claude-sonnet-4-5", Usage(100_000, 0, cached_tokens=100_000))
    written = price(ANTHROPIC, "claude-sonnet-4-5", Usage(100_000, 0, cache_write_tokens=100_000))
    assert [plain, read, written] == pytest.approx([0.3, 0.03, 0.375])


def test_a_call_costs_at_most_as_much_as_if_all_of_it_were_written_to_a_cache() -> None:
    assert at_most(ANTHROPIC, "claude-sonnet-4-5", 100_000, 1_000) == pytest.approx(0.375 + 0.015)
    assert at_most(OPENAI, "gpt-5", 100_000, 1_000) == pytest.approx(0.125 + 0.01)
    assert at_most(OPENAI, "no-such-model", 1, 1) is None
    assert at_most(ProviderConfig("local", price=TokenPrice(1, 2, 0.1)), "m", 1_000_000, 1_000_000) == pytest.approx(3)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        (OPENAI, "no-such-model"),
        (ANTHROPIC, "gpt-5"),
        (LOCAL, "gpt-5"),
        (ProviderConfig("openai", base_url="http://127.0.0.1:1/v1"), "gpt-5"),
        (ProviderConfig("unheard-of"), "m"),
    ],
)
def test_an_unknown_price_is_unknown_and_not_zero(provider: ProviderConfig, model: str) -> None:
    assert price(provider, model, MILLION) is None


def test_counts_that_contradict_each_other_have_no_price() -> None:
    assert price(OPENAI, "gpt-5", Usage(10, 0, cached_tokens=20)) is None


def test_a_compatible_service_is_priced_by_its_address() -> None:
    service = ProviderConfig("mine", base_url="https://api.deepseek.com/v1")
    assert price(service, "deepseek-chat", Usage(1000, 1000)) == pytest.approx(0.001, abs=0.01)
    assert price(service, "deepseek-chat", Usage(1000, 1000)) != 0


def test_the_users_own_price_wins() -> None:
    own = ProviderConfig("local", base_url=LOCAL.base_url, price=TokenPrice(1, 2), prices={"m": TokenPrice(10, 20, 1)})
    assert price(own, "other", MILLION) == pytest.approx(3)
    assert price(own, "m", Usage(1_000_000, 1_000_000, cached_tokens=500_000)) == pytest.approx(25.5)
    assert price(ProviderConfig("local", price=TokenPrice(0, 0)), "m", MILLION) == 0


async def test_a_reply_carries_its_cost_where_the_price_is_known() -> None:
    """A call that the provider did not count has its cost too, by the estimate."""
    uncounted = {**good("chat"), "usage": None}
    async with (
        scripted_server(Reply(good("chat")), Reply(uncounted)) as server,
        client(server.url, "chat", price=TokenPrice(1, 2)) as model,
    ):
        assert (await model.complete(asked(user("hi")), context())).cost_usd == pytest.approx(20e-6)
        # "hi" in its message is 7 tokens at the most, "hello" 2.
        assert (await model.complete(asked(user("hi")), context())).cost_usd == pytest.approx(11e-6)
        assert model.price(1_000_000, 0) == pytest.approx(1)


async def test_a_reply_of_a_model_without_a_price_has_no_cost() -> None:
    async with scripted_server(Reply(good("chat"))) as server, client(server.url, "chat") as model:
        assert (await model.complete(asked(user("hi")), context())).cost_usd is None
