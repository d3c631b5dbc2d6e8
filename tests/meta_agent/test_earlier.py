"""What trials that no test counts say of each task: prepared once, read once, and the same as if all were read again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.statistics.weights import EarlierTrials, rates
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.trials import EarlierRates, paid, paid_for, results, rewards, scored_costs, settled_trials
from lorimer.meta_agent.state.world import World
from lorimer.task_agent.causes import Cause
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Stage, TrialState, Used
from lorimer.traces.tables import DecisionRow
from lorimer.traces.writing.store import Store
from tests.traces import support as make

RETRIES = 1
TRIALS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(0, 1)), max_size=40)


@given(TRIALS, st.integers(0, 40))
def test_a_rate_is_the_mean_of_all_rewards_and_half_of_one_however_they_came(
    drawn: list[tuple[str, float | None]], cut: int
) -> None:
    trials = [Result(task, reward) for task, reward in drawn]
    folded = EarlierTrials()
    folded.add(trials[cut:])
    folded.add(trials[:cut])
    known: dict[str, list[float]] = {}
    for trial in trials:
        if trial.reward is not None:
            known.setdefault(trial.task, []).append(trial.reward)
    exact = {task: (float(sum(map(Fraction, each))) + 0.5) / (len(each) + 1) for task, each in known.items()}
    grouped = EarlierTrials()
    grouped.add_rewards(known)
    assert folded.rates() == rates(trials) == grouped.rates() == exact


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "traces.db") as store:
        yield store


async def _evaluation(store: Store, name: str, ends: dict[tuple[str, int], tuple[str, ...]]) -> None:
    """An evaluation whose trials' attempts ended so: a reward, a cause, or `running`."""
    await store.add_evaluation(make.evaluation(list(ends), name, stage="full"))
    for (task, repeat), attempts in ends.items():
        for number, how in enumerate(attempts):
            start = make.start(task, repeat, number, evaluation=name, stage=Stage.FULL)
            start = replace(start, planned=replace(start.planned, id=f"{name}/{task}/{repeat}"))
            store.open_trial(start)
            took: dict[str, Any] = {"used": Used(1, 100 + number, 7, usd=0.1 + number), "seconds": 2.5 + number}
            if how == "running":
                continue
            if how == "cancelled":
                await store.close_trial(make.end(start.id, None, state=TrialState.CANCELLED, cause="cancelled", **took))
            elif how[0].isdigit():
                await store.close_trial(make.end(start.id, float(how), **took))
            else:
                await store.close_trial(make.end(start.id, None, cause=how, **took))


OUTAGE, FAILURE, LOST = Cause.PROVIDER_OUTAGE.value, Cause.ENGINE_FAILURE.value, Cause.SANDBOX_LOST.value
ENDS: dict[tuple[str, int], tuple[str, ...]] = {
    ("b", 0): ("0.25",),
    ("a", 0): (FAILURE, "1"),
    ("a", 1): (FAILURE, FAILURE),  # settled without a reward
    ("c", 0): (OUTAGE, "cancelled"),  # says nothing
    ("c", 1): (LOST,),  # is to be tried again
    ("d", 0): ("cancelled", "0.5"),
    ("d", 1): ("running",),
    ("b", 1): ("0",),
}


@pytest.mark.parametrize("run", [None, 0, 1, 3, 4, 5, 9])
async def test_what_a_gate_read_is_found_for_many_evaluations_at_once(store: Store, run: int | None) -> None:
    await store.create_study(make.study(), [make.task(name) for name in "abcd"], "text")
    for name in ("s/c001/full", "s/c002/full"):
        await _evaluation(store, name, ENDS)
    reader = StoreReader(store)
    whole = results(settled_trials(reader, "s/c001/full", 0, RETRIES))
    assert [trial.reward for trial in whole] == [0.25, 1.0, None, 0.5, 0.0]
    found = rewards(reader, {"s/c001/full": run, "s/c002/full": None, "s/never/full": 2}, RETRIES)

    def by_task(trials: list[Result]) -> dict[str, list[float]]:
        own: dict[str, list[float]] = {}
        for trial in trials:
            if trial.reward is not None:
                own.setdefault(trial.task, []).append(trial.reward)
        return own

    assert found["s/c001/full"] == by_task(whole[:run])
    assert found["s/c002/full"] == by_task(whole)
    assert found["s/never/full"] == {}


async def test_what_scored_trials_took_is_what_their_outcomes_say(store: Store) -> None:
    await store.create_study(make.study(), [make.task(name) for name in "abcd"], "text")
    await _evaluation(store, "s/c001/full", ENDS)
    reader = StoreReader(store)
    outcomes = [each for each in settled_trials(reader, "s/c001/full", 0, RETRIES) if each.reward is not None]
    found = scored_costs(reader, ["s/c001/full", "s/never/full"], RETRIES)
    assert {trial: (each.tokens, each.usd, each.seconds) for trial, each in found["s/c001/full"].items()} == {
        (each.planned.task, each.planned.repeat): (each.used.tokens, each.used.usd, each.seconds) for each in outcomes
    }
    assert found["s/never/full"] == {}
    both = [found["s/c001/full"][each.planned.task, each.planned.repeat] for each in outcomes]
    assert paid(outcomes, outcomes, ("usd", "tokens", "seconds")) == paid_for(both, both, ("usd", "tokens", "seconds"))
    scored = reader.trials("s", harness="a" * 64, state="scored", limit=None)
    assert {each.id for each in reader.trials_of_harness("s", "a" * 64)} == {each.id for each in scored} != set()
    assert reader.trials_of_harness("s", "b" * 64) == reader.trials_of_harness("other", "a" * 64) == []


def _world(decided: dict[int, int], promoted: int = 0) -> World:
    """Candidates whose full runs were decided, each with how many trials were read."""
    candidates = tuple(
        CandidateView(f"s/c{n:03}", n, "promoted" if n == promoted else "rejected", "p", "h") for n in range(1, 5)
    )
    rows = [
        DecisionRow(
            id=f"s/c{n:03}/full", study="s", subject=f"s/c{n:03}", stage="full", kind="reject", reason="",
            numbers={"run": run}, policy={}, made="",
        )
        for n, run in decided.items()
    ]  # fmt: skip
    return World("s", 0, "p", ("a", "b"), ()).with_all(candidates, rows)


async def test_rates_grow_with_what_was_decided_and_forget_no_order(store: Store) -> None:
    await store.create_study(make.study(), [make.task("a"), make.task("b")], "text")
    await _evaluation(store, "s/baseline/baseline", {("a", 0): ("1",), ("b", 0): ("1",)})
    await _evaluation(store, "s/c001/full", {("a", 0): ("1",), ("b", 0): ("0",), ("a", 1): ("1",)})
    await _evaluation(store, "s/c002/full", {("a", 0): ("0",), ("b", 0): ("1",)})
    reader = StoreReader(store)
    known = EarlierRates(partial(rewards, reader, retries=RETRIES))
    first, second = _world({1: 2}), _world({1: 2, 2: 2}, promoted=2)
    assert known.before(first, first.candidates[0]) == {}
    after_one = {"a": 1.5 / 2, "b": 0.5 / 2}
    assert known.before(first, first.candidates[1]) == after_one
    # The second was promoted, so the first champion's trials are tested no more.
    after_two = {"a": 2.5 / 4, "b": 2.5 / 4}
    assert known.before(second, second.candidates[2]) == after_two
    assert known.before(second, second.candidates[1]) == after_one, "asked about an earlier candidate again"
    assert EarlierRates(partial(rewards, reader, retries=RETRIES)).before(second, second.candidates[3]) == after_two
