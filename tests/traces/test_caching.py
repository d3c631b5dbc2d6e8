"""Calls that lost the provider's cache are found as they are recorded, and said of a provider that has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.harness.api import Message, Usage, assistant, user
from lorimer.meta_agent.workspace.caching import cache_use
from lorimer.models.pricing import cache_saves
from lorimer.models.provider import OPENAI, ProviderConfig, TokenPrice
from lorimer.traces.caching import HISTORY, NONE_BROKEN, SAME, SYSTEM, TOOLS, CacheBreaks
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import ModelCallData, Reservation, Settlement, Share, Spent, Stage, Used
from lorimer.traces.writing.store import Store
from tests.traces.support import call, end, start, study

OWNER = start().id
ASK, ONE, GO, TWO, ON = user("Do it."), assistant("one"), user("and?"), assistant("two"), user("and then?")
FIRST, SECOND, THIRD = [ASK], [ASK, ONE, GO], [ASK, ONE, GO, TWO, ON]


def sent(messages: Sequence[Message], tokens: int, cached: int, system: str = "Be good.") -> ModelCallData:
    answer = {1: ONE, 3: TWO}.get(len(messages), assistant("three"))
    made = call(OWNER, messages, answer, system=system)
    return replace(made, completion=replace(made.completion, usage=Usage(tokens, 5, cached)))


def estimated(made: ModelCallData) -> ModelCallData:
    return replace(made, completion=replace(made.completion, usage=replace(made.completion.usage, estimated=True)))


async def breaks(path: Path, *made: ModelCallData, stage: Stage = Stage.BASELINE) -> CacheBreaks:
    begun = start(stage=stage)
    with Store.open(path / "t.db") as store:
        store.open_trial(begun)
        for each in made:
            store.model_call(each)
        cached = sum(each.completion.usage.cached_tokens for each in made)
        await store.close_trial(end(begun.id, used=Used(len(made), cached_tokens=cached)))
        assert StoreReader(store).cache_breaks("other") == NONE_BROKEN
        return StoreReader(store).cache_breaks("s")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (sent(THIRD, 3000, 128, "It is 12:01. Be good."), SYSTEM),
        (replace(sent(THIRD, 3000, 128), tools=()), TOOLS),
        (sent([user("(shortened)"), ONE, GO, TWO, ON], 3000, 0), HISTORY),
        (sent([GO, TWO, ON], 2500, 0), HISTORY),
        (sent(THIRD, 3000, 900), SAME),
    ],
)
async def test_a_call_that_reads_far_less_than_was_sent_before_has_lost_the_cache(
    tmp_path: Path, last: ModelCallData, why: str
) -> None:
    found = await breaks(tmp_path, sent(FIRST, 1500, 0), sent(SECOND, 2000, 1500), last)
    lost = 2000 - last.completion.usage.cached_tokens
    assert found == CacheBreaks(1, int(why != SAME), lost, 1, OWNER, 2, why)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param([sent(FIRST, 1500, 0), sent(SECOND, 2000, 1408)], id="read whole blocks"),
        pytest.param([sent(FIRST, 1000, 0), sent(SECOND, 1023, 0)], id="too short to be cached"),
        pytest.param([sent(FIRST, 900, 0), sent(SECOND, 2000, 0)], id="what was sent before was too short"),
        pytest.param([sent(FIRST, 1500, 0), sent([user("Other.")], 2000, 0)], id="another conversation"),
        pytest.param([sent(FIRST, 1500, 0), sent(FIRST, 1500, 0, "You plan.")], id="another one that begins alike"),
        pytest.param([sent(FIRST, 1500, 0), estimated(sent(SECOND, 2000, 0))], id="the server counts nothing"),
        pytest.param([replace(sent(FIRST, 1500, 0), recorded=True), sent(SECOND, 2000, 0)], id="a record answered"),
        pytest.param(
            [sent(FIRST, 1500, 0), sent(SECOND, 2000, 1500), sent([ASK, assistant("1"), GO], 2000, 100)], id="a fork"
        ),
    ],
)
async def test_what_says_nothing_of_the_cache_is_no_break(tmp_path: Path, made: list[ModelCallData]) -> None:
    assert await breaks(tmp_path, *made) == NONE_BROKEN


async def test_a_trial_on_the_holdout_is_counted_and_not_named(tmp_path: Path) -> None:
    made = sent(FIRST, 1500, 0), sent(SECOND, 2000, 64)
    assert await breaks(tmp_path, *made, stage=Stage.HOLDOUT) == CacheBreaks(1, 0, 1436, 1)


async def test_of_a_provider_that_caches_nothing_no_row_is_kept_until_something_was_cached(tmp_path: Path) -> None:
    made = sent(FIRST, 1500, 0), sent(SECOND, 2000, 0)
    assert await breaks(tmp_path, *made) == NONE_BROKEN
    begun = start(repeat=1)
    with Store.open(tmp_path / "t.db") as store:
        await store.reserve(Reservation("r", "s", "meta", "c", 1.0, 2000))
        store.settle(Settlement("r", Used(1, 1000, 5, 900)))
        store.open_trial(begun)
        for each in made:
            store.model_call(replace(each, owner=begun.id))
        await store.close_trial(end(begun.id))
        assert StoreReader(store).cache_breaks("s") == CacheBreaks(1, 0, 1500, 1, begun.id, 1, SAME)


async def test_what_was_read_from_the_cache_is_added_up_by_role(tmp_path: Path) -> None:
    with Store.open(tmp_path / "t.db") as store:
        for number, (role, used) in enumerate(
            [("task", Used(1, 100, 5, 64)), ("task", Used(1, 50, 5, 0)), ("meta", Used(1, 1000, 5, 900))]
        ):
            await store.reserve(Reservation(str(number), "s", role, "t", 1.0, 2000))
            store.settle(Settlement(str(number), used))
        await store.flush()
        spent = StoreReader(store).spent("s")
    assert (spent.task.input_tokens, spent.task.cached_tokens) == (150, 64)
    assert (spent.meta.input_tokens, spent.meta.cached_tokens) == (1000, 900)


BROKEN = CacheBreaks(3, 2, 1_000_000, 2, "s/x/0", 4, SYSTEM)


def said(
    task: tuple[int, int], meta: tuple[int, int] = (0, 0), *, models: tuple[str, str] = ("openai/gpt-4o",) * 2
) -> str:
    row = study(task_model=models[0], meta_model=models[1])
    spent = Spent(Share(0, 0, 0, 1, *task), Share(0, 0, 0, 1, *meta))
    return "\n".join(f"{word}: {line}" for word, line in cache_use(row, spent, lambda of: BROKEN).lines())


def test_the_cache_is_told_in_two_lines() -> None:
    assert said((1000, 710), (100, 40)) == (
        "cache: 71% of the input tokens of trials were read from the provider's cache, 40% of the meta-agent's\n"
        "cache lost: 3 calls in 2 trials read anew what the calls before had sent, 1,000,000 tokens at $1.25 more than "
        "from the cache; 2 of them began otherwise than the call before; such as step 4 of s/x/0: its system prompt had changed"
    )


def test_of_a_provider_that_reports_no_cache_nothing_is_said() -> None:
    assert said((0, 0)) == said((1000, 0), (1000, 0)) == ""
    # The meta-agent's provider caches; of that of the trials nobody knows.
    only = "cache: 40% of the input tokens of the meta-agent were read from the provider's cache"
    assert said((1000, 0), (100, 40), models=("anthropic/claude-sonnet-4-5", "openai/gpt-4o")) == only
    # Of the same provider it is known, so its trials had no share.
    assert said((1000, 0), (100, 40)).startswith("cache: 0% of the input tokens of trials were read")


@pytest.mark.parametrize(("cached", "tenths"), [(1, "under 1%"), (999, "over 99%"), (1000, "100%"), (505, "50%")])
def test_a_share_is_neither_all_nor_nothing_unless_it_is(cached: int, tenths: str) -> None:
    assert said((1000, cached)).startswith(f"cache: {tenths} of")


def test_what_the_cache_saves_is_the_difference_of_two_prices() -> None:
    assert cache_saves(OPENAI, "gpt-4o", 1_000_000) == pytest.approx(1.25)
    assert cache_saves(OPENAI, "no-such-model", 1_000_000) is None
    own = ProviderConfig("local", base_url="http://x/v1", price=TokenPrice(2.0, 8.0, cached=0.5))
    assert cache_saves(own, "m", 1_000_000) == pytest.approx(1.5)
