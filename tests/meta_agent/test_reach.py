"""The quick ways of the gate give what its definitions give, on any trials."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lorimer.config.gate import GateSettings
from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate.comparison import Arms, Decision, Evidence
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.full_run import FullRun, ended_at, full_verdict
from lorimer.meta_agent.gate.statistics import permutation
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, RULES, Policy
from lorimer.meta_agent.gate.statistics.scores import Result, Shared, by_task, scored
from lorimer.meta_agent.gate.stopping.ends import met_with_errors_failed
from lorimer.meta_agent.gate.stopping.futility import first_unlikely

PASS_FAIL = (0.0, 1.0)
GRADED = (0.0, 0.25, 0.5, 0.75, 1.0)
FINE = tuple(step / 97 for step in range(98))
"""Too finely graded for an exact p."""


def made(
    seed: int, tasks: int, repeats: int, gain: float, values: Sequence[float], errors: float, in_rounds: bool = True
) -> FullRun:
    """A complete full run, drawn."""
    dice = random.Random(seed)
    rates = {f"t{number}": dice.choice([0.02, 0.2, 0.5, 0.8, 0.98]) for number in range(tasks)}

    def draw(task: str, more: float) -> Result:
        if dice.random() < errors:
            return Result(task, None)
        high = dice.random() < rates[task] + more
        return Result(
            task, dice.choice(values[len(values) // 2 :]) if high else dice.choice(values[: len(values) // 2])
        )

    plan = [task for _ in range(repeats) for task in rates]
    if not in_rounds:
        dice.shuffle(plan)
    champion = [draw(task, 0.0) for task in rates for _ in range(repeats)]
    weights = {task: dice.randint(8, 14) for task in rates}
    return FullRun([draw(task, gain) for task in plan], champion, plan, weights=weights)


def plain_end(run: FullRun, policy: Policy) -> int | None:
    """Where a run ends, from the definitions, one trial after another; nothing is kept and nothing bounded."""
    theirs = scored(by_task(run.champion))
    weight = Arms(run.evidence).weight
    for length in range(len(run.planned)):
        mine = run.candidate[:length]
        if first_unlikely(mine, theirs, run.planned, policy, weight) is not None:
            return length
        arms = Arms(Evidence(mine, run.champion, run.planned, run.weights))
        best = arms.best_case()
        if best and not RULES[policy.name](best, policy).met:
            return length
        if policy.name in ANYTIME and length in arms.rounds():
            pairs = arms.pairs()
            if pairs and RULES[policy.name](pairs, policy).met and met_with_errors_failed(arms, policy):
                return length
    return None


runs = st.builds(
    made,
    st.integers(0, 2**32),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([-0.3, 0.0, 0.2, 0.6]),
    st.sampled_from([PASS_FAIL, GRADED]),
    st.sampled_from([0.0, 0.02]),
    st.booleans(),
)
policies = st.builds(
    Policy,
    st.sampled_from(["paired", "eprocess", "strict"]),
    st.sampled_from([1e-6, 0.003, 0.05, 0.1, 0.4]),
    st.sampled_from([0.0, 0.1, 0.4]),
)


@given(runs, policies)
@settings(max_examples=150, deadline=None)
@example(made(3, 9, 4, 0.0, FINE, 0.0), Policy(draws=1_000))
@example(made(4, 9, 4, 0.3, FINE, 0.02), Policy(draws=1_000, futility=0.2))
@example(made(5, 60, 3, 0.1, PASS_FAIL, 0.0), Policy())
@example(made(6, 60, 3, 0.1, GRADED, 0.01), Policy(futility=0.1))
@example(made(7, 60, 3, 0.1, GRADED, 0.01), Policy("strict"))
def test_a_run_ends_where_its_definitions_say_and_is_decided_as_if_nothing_had_been_kept(
    run: FullRun, policy: Policy
) -> None:
    gate = GateSettings()
    end = ended_at(run, policy, gate)
    assert end == plain_end(run, policy)
    known = full_verdict(run if end is None else run.cut(end), policy, gate)
    fresh = FullRun(list(run.candidate)[:end], list(run.champion), list(run.planned), weights=run.weights)
    assert known == full_verdict(fresh, policy, gate) == decide(fresh.evidence, policy)
    assert full_verdict(replace(run, champion=Shared(run.champion)), policy, gate) == full_verdict(run, policy, gate)


@pytest.mark.parametrize("policy", ["paired", "strict", "eprocess"])
def test_the_order_in_which_prefixes_are_asked_about_changes_no_answer(policy: PolicyName) -> None:
    gate = GateSettings()
    for seed in range(12):
        run, rule = made(seed, 7, 3, 0.2, GRADED, 0.01), Policy(policy, 0.1)

        def ask(lengths: Sequence[int], run: FullRun = run, rule: Policy = rule) -> list[Decision]:
            shared = replace(run)
            return [full_verdict(shared.cut(length), rule, gate) for length in lengths]

        upwards = list(range(len(run.planned) + 1))
        assert ask(upwards) == ask(upwards[::-1])[::-1]
        assert ask(upwards) == [ask([length])[0] for length in upwards]


def test_an_exact_p_is_the_same_to_the_last_bit_whatever_was_computed_before() -> None:
    pairs = [Arms(made(seed, 20, 3, 0.1, GRADED, 0.0).evidence).pairs() for seed in range(30)]
    forgetful = []
    for each in pairs:
        permutation._kept_transform.cache_clear()
        permutation._whole.cache_clear()
        forgetful.append(permutation.permutation_test(each))
    assert [permutation.permutation_test(each) for each in pairs] == forgetful
    assert [permutation.permutation_test(each) for each in pairs[::-1]] == forgetful[::-1]


@contextmanager
def calls_of(name: str) -> Iterator[list[str]]:
    """Who called the function of this name, a call each."""
    seen: list[str] = []

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == name and frame.f_back is not None:
            seen.append(frame.f_back.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("seed", range(5))
def test_finding_where_a_long_run_ends_takes_two_tests_however_many_prefixes_are_asked_about(seed: int) -> None:
    run, policy, gate = made(seed, 60, 5, -0.1, PASS_FAIL, 0.0), Policy(futility=0.2), GateSettings()
    with calls_of("permutation_test") as seen:
        end = ended_at(run, policy, gate)
        assert end is not None
        full_verdict(run.cut(end), policy, gate)
    assert len(seen) <= 2
    with calls_of("first_unlikely") as seen:
        ended_at(replace(run), policy, gate)
    assert len(seen) == 1
    with calls_of("first_stop") as seen:
        ended_at(replace(run), policy, gate)
    assert len(seen) == 1


def test_candidates_with_the_same_rewards_on_a_task_share_what_is_found_of_it() -> None:
    champion = Shared(Result(task, reward) for task in ("a", "b") for reward in (0.0, 1.0, 1.0))
    runs = [
        Arms(Evidence([Result("a", 1.0), Result("b", other)], champion, ["a", "b", "a"])).pairs() for other in (0, 1)
    ]
    assert runs[0][0] is runs[1][0]
    assert runs[0][1] != runs[1][1]


def test_draws_are_not_kept_of_what_many_runs_share() -> None:
    """They are 80 KB a pair, and a long study has thousands of pairs."""
    fine = Shared(Result(task, reward) for task in ("a", "b") for reward in (0.123, 0.71, 0.377))
    pairs = Arms(Evidence([Result("a", 0.9), Result("b", 0.2)], fine, ["a", "b"])).pairs()
    found = permutation.permutation_test(pairs)
    assert found.method == "monte-carlo"
    assert all(pair.shared and not pair._kept for pair in pairs)
    assert permutation.permutation_test([replace(pair, shared=False) for pair in pairs]) == found
