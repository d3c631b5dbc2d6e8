"""A budget is kept by every worker, told before it is spent, and survives a restart."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.config.settings import BudgetSettings
from lorimer.errors import BudgetExhausted, ProviderOutage
from lorimer.harness.api import Usage, user
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.models.provider import TokenPrice
from lorimer.task_agent.budget import Allowance, Budget, crossed
from lorimer.task_agent.limits import Metered
from lorimer.traces import chain
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import NOTHING, Reservation, Share, Spent, Used
from lorimer.traces.writing.store import Store
from tests.support.model_clients import client, good
from tests.support.scripted_server import Reply, scripted_server
from tests.support.trials import Remembering, ScriptedModel, reply
from tests.traces import support as make

REQUEST = ModelRequest((user("go"),), max_tokens=100)


async def ticks() -> None:
    """Let everything go on that can without more to happen."""
    for _ in range(20):
        await asyncio.sleep(0)


class Ticking:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def budget(sink: Remembering, told: list[str] | None = None, before: Spent | None = None, **bounds: Any) -> Budget:
    def tell(bound: Allowance, percent: int) -> None:
        if told is not None:
            told.append(f"{bound.key} {percent}")

    return Budget("s", BudgetSettings(**bounds), sink, before, Ticking(), warned=list(sink.warnings), on_warning=tell)


@given(
    workers=st.integers(1, 8),
    limit=st.floats(0.1, 5.0),
    reserved=st.floats(0.01, 1.0),
    over=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_the_overshoot_is_at_most_one_call_in_flight_per_worker(
    workers: int, limit: float, reserved: float, over: list[float]
) -> None:
    """Even of a provider that bills several times what was set aside."""
    sink = Remembering()
    meter = budget(sink, usd=limit)
    dearest = 0.0

    async def worker(number: int) -> None:
        nonlocal dearest
        for turn in range(200):
            name = await meter.reserve("task", f"t{number}", reserved, 10)
            await asyncio.sleep(0)
            cost = reserved * over[(number + turn) % len(over)]
            dearest = max(dearest, cost, reserved)
            meter.settle(name, Used(1, 5, 5, usd=cost))

    async def run() -> list[Any]:
        return await asyncio.gather(*(worker(number) for number in range(workers)), return_exceptions=True)

    ended = asyncio.run(asyncio.wait_for(run(), 60))
    refused = [end for end in ended if end is not None]
    assert all(isinstance(end, BudgetExhausted) for end in refused)
    # Nobody was refused for what is only set aside: the next call would not have fitted beside what is spent.
    assert not refused or meter.certain.known_usd + reserved > limit
    assert meter.spent.known_usd <= limit + workers * dearest + 1e-9
    assert meter.spent == meter.certain


async def test_other_bounds_hold_from_the_moment_that_they_are_given() -> None:
    told = list[str]()
    meter = budget(Remembering(), told, tokens=100)
    name = await meter.reserve("task", "t", None, 60)
    meter.settle(name, Used(1, 40, 20, usd=None))
    meter.bind(BudgetSettings(tokens=70))
    assert told == ["budget.tokens 50", "budget.tokens 80"]
    with pytest.raises(BudgetExhausted, match=r"budget.tokens: 60 of 70 used"):
        await meter.reserve("task", "t", None, 30)
    meter.bind(BudgetSettings())
    assert await meter.reserve("task", "t", None, 1_000_000)


async def test_calls_that_cost_what_was_set_aside_never_pass_the_bound() -> None:
    meter = budget(Remembering(), tokens=100)
    names = [await meter.reserve("task", "t", None, 30) for _ in range(3)]
    last = asyncio.create_task(meter.reserve("task", "t", None, 30))
    for name in names[:2]:
        meter.settle(name, Used(1, 20, 10, usd=None))
        await ticks()
        assert not last.done()
    other = await meter.reserve("task", "t", None, 10)
    meter.settle(names[2], Used(1, 20, 10, usd=None))
    with pytest.raises(BudgetExhausted) as refused:
        await last
    said = "budget.tokens: 90 of 100 used, 10 set aside for calls under way, the next call may take 30"
    assert str(refused.value) == said
    assert meter.spent.tokens == 100
    meter.settle(other, Used(1, 5, 5, usd=None))


async def test_a_call_waits_for_what_is_set_aside_and_says_so_once() -> None:
    """Four calls at once, each of which sets aside nearly the whole budget and takes a hundredth of it."""
    at_once = most = stopped = 0

    async def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await ticks()
        at_once -= 1
        return reply(tokens=(4, 1))

    @contextmanager
    def queued() -> Iterator[None]:
        nonlocal stopped
        stopped += 1
        yield

    sink, told = Remembering(), list[str]()
    meter = Budget("s", BudgetSettings(tokens=620), sink, on_note=lambda model, text: told.append(f"{model}: {text}"))
    metered = Metered(ScriptedModel(answer), meter, sink, 100)
    request = ModelRequest((user("x" * 1200),), max_tokens=100)  # 506 tokens at most
    context = CallContext("task", queued=queued)

    async def calls(owner: str) -> None:
        for _ in range(5):
            await metered.complete(request, context, owner=owner, began=0.0)

    await asyncio.gather(*map(calls, "abcd"))
    assert (most, meter.spent.tokens) == (1, 100)
    assert stopped >= 3  # the clocks of those who wait stand still
    assert sum(call.waited_seconds > 0 for call in sink.calls) == stopped
    (said,) = told
    assert said == (
        "scripted/model: budget.tokens: a call may take 506, and of 620 there are 0 used and 506 set aside for calls under way; "
        "it waits for those, so fewer calls are made at once from here on"
    )
    assert next(iter(sink.warnings.values())) == said.partition(": ")[2]


async def test_a_call_that_waits_goes_on_with_a_larger_budget_and_ends_with_a_smaller_one() -> None:
    meter = budget(Remembering(), tokens=100)
    await meter.reserve("task", "t", None, 60)
    first, second = (asyncio.create_task(meter.reserve("task", "t", None, tokens)) for tokens in (60, 90))
    await ticks()
    meter.bind(BudgetSettings(tokens=150))
    assert await first
    assert not second.done()
    meter.bind(BudgetSettings(tokens=80))
    with pytest.raises(
        BudgetExhausted, match=r"0 of 80 used, 120 set aside for calls under way, the next call may take 90"
    ):
        await second


async def test_one_that_is_cancelled_while_it_waits_has_nothing_set_aside() -> None:
    meter = budget(Remembering(), tokens=100)
    held = await meter.reserve("task", "t", None, 60)
    waiting = asyncio.create_task(meter.reserve("task", "t", None, 60))
    await ticks()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    meter.settle(held, Used(1, 1, 0))
    assert meter.spent.tokens == 1


async def test_calls_never_wait_for_one_another_in_a_ring() -> None:
    """A call that fails asks a question and ends after that; the question of one would wait for the call of the other."""
    meter = budget(Remembering(), tokens=100)
    failing = asyncio.Barrier(2)

    async def fails(owner: str) -> None:
        name = await meter.reserve("task", owner, None, 50)
        try:
            await failing.wait()
            await meter.reserve("task", owner, None, 10, question=True)
        finally:
            meter.abandon(name)

    plain = meter.reserve("task", "c", None, 50)
    ended = await asyncio.gather(fails("a"), fails("b"), plain, return_exceptions=True)
    assert all(isinstance(end, BudgetExhausted) for end in ended)
    assert meter.spent.tokens == 100


async def test_a_question_waits_for_the_calls_of_others() -> None:
    meter = budget(Remembering(), tokens=100)
    names = [await meter.reserve("task", owner, None, 50) for owner in "ab"]
    question = asyncio.create_task(meter.reserve("task", "a", None, 10, question=True))
    await ticks()
    assert not question.done()
    meter.settle(names[1], Used(1, 1, 0))
    assert await question


async def test_the_parts_of_a_role_wait_for_that_role_alone() -> None:
    meter = budget(Remembering(), task={"tokens": 100}, meta={"tokens": 100})
    held = await meter.reserve("task", "t", None, 80)
    waiting = asyncio.create_task(meter.reserve("task", "t", None, 80))
    done = await meter.reserve("meta", "m", None, 80)
    meter.settle(done, Used(1, 10, 0))
    await ticks()
    assert not waiting.done()
    meter.abandon(held)
    with pytest.raises(BudgetExhausted, match=r"budget.task.tokens: 80 of 100 used, the next call may take 80"):
        await waiting


async def test_trials_begin_while_all_of_the_budget_is_set_aside() -> None:
    meter = budget(Remembering(), tokens=100)
    held = await meter.reserve("task", "t", None, 100)
    meter.begin_trial()
    meter.abandon(held)
    with pytest.raises(BudgetExhausted, match=r"^budget.tokens: 100 of 100 used$"):
        meter.begin_trial()


async def test_each_attempt_that_may_be_billed_is_spent_and_the_next_one_is_set_aside_anew() -> None:
    sink = Remembering()
    meter = budget(sink, usd=1.0)
    half, counted = (
        Reply(good("chat"), ending="half"),
        Reply(good("chat") | {"choices": [{"message": {}, "finish_reason": "error"}]}),
    )
    async with (
        scripted_server(half, counted, Reply(status=503), Reply(good("chat"))) as server,
        client(server.url, "chat", price=TokenPrice(100, 200)) as model,
    ):
        metered = Metered(model, meter, sink, 100)
        await metered.complete(REQUEST, CallContext("task"), owner="t", began=0.0)
        most = model.price(*(metered.at_most(REQUEST)[0] - 100, 100))
        one = 10 * 100e-6 + 5 * 200e-6
        assert most is not None
        assert meter.certain.known_usd == meter.spent.known_usd == pytest.approx(most + 2 * one)
        assert (len(sink.reservations), len(sink.settlements)) == (3, 2)
        assert meter.of("t").answered.calls == 2
        assert meter.of("t").cancelled.usd == pytest.approx(most)
        # Where no further attempt fits, the study ends; what was billed stays spent.
        meter.bind(BudgetSettings(usd=most + 2 * one + 1.5 * most))
        server.add(half, Reply(good("chat")))
        with pytest.raises(BudgetExhausted, match=r"budget\.usd"):
            await metered.complete(REQUEST, CallContext("task"), owner="t", began=0.0)
        assert meter.spent.known_usd == pytest.approx(2 * most + 2 * one)
        server.from_now_on(half)
        meter.bind(BudgetSettings())
        with pytest.raises(ProviderOutage):
            await metered.complete(REQUEST, CallContext("task", once=True), owner="t", began=0.0)
        assert meter.spent.known_usd == meter.certain.known_usd == pytest.approx(3 * most + 2 * one)


@pytest.mark.parametrize(
    ("spent", "limit", "larger"),
    [(0.0, 0.2, 0.604), (4.294, 0.5, 9.19), (3.9, 4.0, 8.4)],
    ids=["dear", "less", "spent"],
)
async def test_the_bound_that_is_advised_is_enough_for_the_call_that_was_refused(
    spent: float, limit: float, larger: float
) -> None:
    meter = budget(Remembering())
    meter.settle(await meter.reserve("task", "t", spent, 1), Used(1, 1, 0, usd=spent))
    meter.bind(BudgetSettings(usd=limit))
    with pytest.raises(BudgetExhausted, match=f"budget.usd: {spent:g} of {limit:g} used, the next call") as refused:
        await meter.reserve("task", "t", 0.302, 1)
    assert refused.value.larger == larger
    meter.bind(BudgetSettings(usd=refused.value.larger))
    assert await meter.reserve("task", "t", 0.302, 1)


async def test_the_task_and_the_meta_model_have_parts_of_their_own() -> None:
    meter = budget(Remembering(), usd=10.0, task={"usd": 2.0}, meta={"tokens": 100})
    for role, usd, tokens in (("task", 1.5, 500), ("meta", 3.0, 90)):
        name = await meter.reserve(role, "x", usd, tokens)
        meter.settle(name, Used(1, tokens, 0, usd=usd))
    with pytest.raises(BudgetExhausted, match=r"budget.task.usd: 1.5 of 2 used"):
        await meter.reserve("task", "x", 1.0, 1)
    with pytest.raises(BudgetExhausted, match=r"budget.meta.tokens: 90 of 100 used"):
        await meter.reserve("meta", "x", 0.1, 20)
    await meter.reserve("meta", "x", 0.1, 5)
    assert [(bound.key, bound.left) for bound in meter.left] == [
        ("budget.usd", 5.5),
        ("budget.task.usd", 0.5),
        ("budget.meta.tokens", 10.0),
    ]


async def test_hours_are_those_of_all_processes_by_a_clock_that_nobody_sets() -> None:
    clock = Ticking()
    meter = Budget("s", BudgetSettings(hours=2.0), Remembering(), Spent(hours=1.5), clock)
    meter.begin_trial()
    clock.now += 1800
    with pytest.raises(BudgetExhausted, match=r"budget.hours: 2 of 2 used"):
        meter.begin_trial()


async def test_each_warning_is_given_once_also_over_a_resume() -> None:
    sink, told = Remembering(), list[str]()
    meter = budget(sink, told, trials=20)
    for _ in range(11):
        meter.begin_trial()
    assert told == ["budget.trials 50"]
    again = budget(sink, told, Spent(trials=11), trials=20)
    for _ in range(9):
        again.begin_trial()
    assert told == ["budget.trials 50", "budget.trials 80", "budget.trials 95"]
    assert sink.warnings["s/budget.trials/20/80"] == "budget.trials: 80% of 20 used"
    raised = budget(sink, told, Spent(trials=20), trials=30)
    raised.begin_trial()
    assert told[3:] == ["budget.trials 50"]


def test_who_jumps_over_two_marks_is_told_of_the_higher_alone() -> None:
    bound = Allowance("budget.usd", 4.2, 5.0)
    assert list(crossed((), "s", [bound])) == ["s/budget.usd/5/80"]
    assert crossed(["s/budget.usd/5/80"], "s", [bound]) == {}


async def test_a_call_of_unknown_cost_stays_spent_at_what_was_set_aside() -> None:
    meter = budget(Remembering(), usd=1.0)
    name = await meter.reserve("task", "t", 0.6, 10)
    meter.settle(name, Used(1, 5, 5, usd=None))
    assert (meter.certain.known_usd, meter.certain.unknown) == (0.6, 1)
    with pytest.raises(BudgetExhausted):
        await meter.reserve("task", "t", 0.6, 10)


async def test_a_server_that_counts_no_tokens_does_not_make_the_budget_endless() -> None:
    """Its calls are settled at an estimate, of which the user is told once, also over a resume."""
    sink, told = Remembering(), list[str]()

    async def ask(times: int) -> Budget:
        before = list(sink.warnings)
        meter = Budget(
            "s",
            BudgetSettings(tokens=30),
            sink,
            None,
            Ticking(),
            warned=before,
            on_note=lambda *noted: told.append(noted[0]),
        )
        uncounted = {**good("chat"), "usage": None}
        async with (
            scripted_server(otherwise=Reply(uncounted)) as server,
            client(server.url, "chat", price=TokenPrice(1, 1)) as model,
        ):
            metered = Metered(model, meter, sink, 20)
            for _ in range(times):
                await metered.complete(ModelRequest((user("go"),)), CallContext("task"), owner="t", began=0.0)
        return meter

    meter = await ask(1)
    assert meter.certain == Spent(Share(9e-6, 9, calls=1))
    assert sink.calls[0].completion.usage == Usage(7, 2, estimated=True)
    with pytest.raises(BudgetExhausted, match=r"budget.tokens: 9 of 30 used"):
        await ask(2)
    assert told == ["local/model"]
    (warning,) = sink.warnings.values()
    assert warning.startswith("local/model sends no token counts; its tokens, and what they cost, are estimated")


async def test_what_a_cancelled_trial_cost_is_as_known_as_can_be() -> None:
    """Its answered calls at their cost, the one under way at its most."""
    meter = budget(Remembering())
    done = await meter.reserve("task", "t", 0.5, 100)
    meter.settle(done, Used(1, 40, 10, usd=0.125))
    await meter.reserve("task", "t", 0.25, 60)
    used = meter.of("t")
    assert used.answered == Used(1, 40, 10, usd=0.125)
    assert used.at_most == Used(2, 40, 10, usd=0.375)
    assert used.unanswered == 1


async def test_what_a_cancelled_call_had_set_aside_stays_spent_when_its_owner_is_forgotten() -> None:
    sink = Remembering()
    meter = budget(sink, tokens=1000)
    meter.abandon(await meter.reserve("task", "t", 0.25, 60))
    meter.abandon(await meter.reserve("task", "t", None, 40))
    used = meter.of("t")
    assert (used.answered, used.unanswered, used.at_most.usd) == (NOTHING, 2, None)
    meter.forget("t")
    assert meter.of("t").unanswered == 0
    assert meter.spent == meter.certain == Spent(Share(0.25, 100, 1, 2))
    assert sink.settlements == []


async def test_a_call_costs_the_same_after_thousands_of_cancelled_ones() -> None:
    meter = budget(Remembering(), usd=1e6, tokens=10**9)

    async def call() -> None:
        meter.settle(await meter.reserve("task", "one", 0.5, 10), Used(1, 5, 5, usd=0.5))

    before = await _lines_run(call)
    for number in range(3_000):
        meter.abandon(await meter.reserve("task", f"t{number // 4}", 0.5, 10))
        meter.forget(f"t{number // 4}")
    assert await _lines_run(call) == before
    assert meter.spent.tokens == 3_000 * 10 + 20


async def _lines_run(work: Callable[[], Awaitable[None]]) -> int:
    """How many lines of lorimer the work took: unlike its time, the same on every machine.

    Others may run meanwhile: hypothesis hears of each collection of garbage, whose moment is chance.
    """
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Callable[[FrameType, str, object], Any]:
        nonlocal lines
        lines += event == "line" and frame.f_globals.get("__name__", "").startswith("lorimer.")
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        await work()
    finally:
        sys.settrace(before)
    return lines


async def test_an_outage_costs_nothing_and_a_cancelled_call_what_was_set_aside() -> None:
    under_way = asyncio.Event()

    async def stuck(request: ModelRequest, context: CallContext) -> ModelReply:
        if context.call_index == 0:
            raise ProviderOutage("down")
        under_way.set()
        await asyncio.sleep(60)
        raise AssertionError

    sink = Remembering()
    meter = budget(sink)
    metered = Metered(ScriptedModel(stuck), meter, sink, 100)
    with pytest.raises(ProviderOutage):
        await metered.complete(REQUEST, CallContext("task"), owner="t", began=0.0)
    assert meter.spent.known_usd == 0
    call = asyncio.create_task(metered.complete(REQUEST, CallContext("task", call_index=1), owner="t", began=0.0))
    await under_way.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert meter.spent.known_usd == sink.reservations[1].usd


async def test_the_store_knows_what_a_killed_process_had_spent(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    trial = make.start("t")
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("t")], "text")
        store.open_trial(trial)
        meter = Budget("s", BudgetSettings(usd=1.0), store)
        done = await meter.reserve("task", trial.id, 0.5, 100)
        meter.settle(done, Used(1, 40, 10, usd=0.125))
        await meter.reserve("task", trial.id, 0.25, 60)
        await store.reserve(Reservation("m", "s", "meta", "s/c001", None, 70))
        await store.set_seconds("s", 1800.0)
    with Store.open(path) as store:  # nobody closed the trial
        assert await store.cancel_running("s") == 1
        reader = StoreReader(store)
        row = reader.trial(trial.id)
        assert (row.state, row.model_calls, row.input_tokens, row.cost_usd) == ("cancelled", 2, 40, 0.375)
        assert reader.spent("s") == Spent(Share(0.375, 110, calls=2, input_tokens=40), Share(0.0, 70, 1, 1), 0, 0.5)


async def test_what_a_resume_may_change_is_kept_and_each_change_is_chained(tmp_path: Path) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        config = {"budget": {"usd": 1.0}, "gate": {"alpha": 0.1}, "sandbox": {"concurrency": 4}}
        await store.create_study(make.study(config=config), [make.task("t")], "text")
        assert await store.set_settings("s", config, config, {"budget": {"usd": 1.0}}) == []
        wanted = {**config, "budget": {"usd": 5.0, "hours": 2.0}}
        changed = await store.set_settings("s", config, {**wanted, "gate": {"alpha": 0.4}}, {"budget": {"usd": 5.0}})
        said = ["budget.hours changed from unset to 2.0", "budget.usd changed from 1.0 to 5.0"]
        assert [str(change) for change in changed] == said
        reader = StoreReader(store)
        row = reader.study("s")
        assert (row.config, row.lorimer_toml) == (wanted, {"budget": {"usd": 5.0}})
        entries = reader.chain()
        body = {
            "changes": [
                {"key": "budget.hours", "from": None, "to": 2.0},
                {"key": "budget.usd", "from": 1.0, "to": 5.0},
            ],
            "config": {"budget": {"usd": 5.0, "hours": 2.0}, "sandbox": {"concurrency": 4}},
        }
        assert [(entry.kind, entry.body) for entry in entries][1:] == [("settings", body)]
        assert chain.settings_of(entries, "s") == wanted
        assert await store.set_settings("s", wanted, wanted) == []
        assert reader.study("s").lorimer_toml == {"budget": {"usd": 5.0}}


async def test_a_table_that_a_studys_lorimer_did_not_know_is_told_of_by_what_changed_in_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        stored = {"budget": {"usd": 1.0}}
        await store.create_study(make.study(config=stored), [make.task("t")], "text")
        before = {**stored, "executor": {"kind": "local"}, "search": {"width": 1, "prune": "never"}}
        after = {**before, "search": {"width": 4, "prune": "never"}}
        (change,) = await store.set_settings("s", before, after)
        assert str(change) == "search.width changed from 1 to 4"
        reader = StoreReader(store)
        assert reader.study("s").config == {**stored, "search": after["search"]}
        assert chain.settings_of(reader.chain(), "s") == reader.study("s").config
