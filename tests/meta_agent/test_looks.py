"""A run that is looked at while it grows ends where one does whose trials lie there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lorimer.config.gate import GateSettings
from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate import full_run
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.looks import Looks
from lorimer.meta_agent.gate.plans import rounds
from lorimer.meta_agent.gate.statistics import policies
from lorimer.meta_agent.gate.statistics.permutation import Pair, permutation_test
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from tests.meta_agent.test_reach import FINE, GRADED, PASS_FAIL, made

PLAIN = GateSettings()
SIMPLER = GateSettings(simplify_margin=0.05)
CHEAPER = GateSettings(tie_break="tokens", tie_margin=0.1)


def side_by_side(seed: int, tasks: int, repeats: int, gain: float, values: Sequence[float], errors: float) -> FullRun:
    """A complete run beside the champion's, drawn."""
    run, other = (made(seed, tasks, repeats, more, values, errors) for more in (gain, 0.0))
    again = made(seed + 1, tasks, repeats, 0.0, values, errors)
    # The rates follow from the seed, and so does all luck: most of the candidate's trials are taken from another one.
    dice = random.Random(seed)
    mixed = [new if dice.random() < 0.3 else mine for mine, new in zip(run.candidate, again.candidate, strict=True)]
    return replace(run, candidate=mixed, champion=other.candidate, beside=True)


sizes = (st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 5), st.sampled_from([-0.3, 0.0, 0.2, 0.6]))
values = st.sampled_from([PASS_FAIL, GRADED, FINE])
errors = st.sampled_from([0.0, 0.02, 0.2])
runs = st.one_of(
    st.builds(made, *sizes, values, errors, st.booleans()), st.builds(side_by_side, *sizes, values, errors)
)
rules = st.builds(
    Policy,
    st.sampled_from(["paired", "pooled", "eprocess", "strict"]),
    st.sampled_from([1e-6, 0.003, 0.05, 0.1, 0.4]),
    st.sampled_from([0.0, 0.1, 0.4]),
    draws=st.just(1_000),
)


def looked_at(run: FullRun, policy: Policy, gate: GateSettings) -> int | None:
    """Where the looks at a growing run end it; asserts that each of them says what the trials that lie there say."""
    ends = {0, *rounds(run.planned)} if run.beside else set(range(len(run.planned)))
    looks = Looks(run, policy, gate)
    for length in range(len(run.planned) + 1):
        if length:
            looks.add(run.candidate[length - 1])
        if length and run.beside:
            looks.add(run.champion[length - 1], of_champion=True)
        assert looks.read == length * (1 + run.beside)
        if length == len(run.planned):
            assert not looks.settled
        elif length in ends:
            assert looks.settled == full_run.settled(run.cut(length), policy, gate), length
            if looks.settled:
                return length
    return None


@given(runs, rules, st.sampled_from([PLAIN, SIMPLER, CHEAPER]), st.booleans())
@settings(max_examples=300, deadline=None)
@example(made(5, 60, 3, 0.1, PASS_FAIL, 0.0), Policy(), PLAIN, False)
@example(made(6, 60, 3, 0.1, GRADED, 0.01), Policy(futility=0.1), PLAIN, False)
@example(made(8, 60, 5, 0.3, PASS_FAIL, 0.05), Policy("pooled", futility=0.2), PLAIN, False)
@example(made(8, 60, 5, 0.3, GRADED, 0.0), Policy("eprocess"), PLAIN, False)
@example(side_by_side(9, 40, 4, 0.2, PASS_FAIL, 0.05), Policy("eprocess", futility=0.1), PLAIN, False)
@example(side_by_side(9, 40, 4, 0.2, GRADED, 0.0), Policy(), SIMPLER, True)
@example(side_by_side(0, 5, 3, -0.3, FINE, 0.0), Policy(alpha=0.4, futility=0.4, draws=1_000), PLAIN, False)
def test_every_look_at_a_growing_run_says_what_its_trials_say(
    run: FullRun, policy: Policy, gate: GateSettings, simpler: bool
) -> None:
    run = replace(run, simpler=simpler)
    end = looked_at(run, policy, gate)
    assert end == full_run.ended_at(run, policy, gate)
    if end is not None:
        cut = run.cut(end)
        assert full_run.full_verdict(cut, policy, gate) == full_run.full_verdict(replace(run.cut(end)), policy, gate)


@pytest.mark.parametrize("policy", ["paired", "pooled", "strict", "eprocess"])
@pytest.mark.parametrize("graded", [False, True])
def test_whole_suites_end_there_too(policy: PolicyName, graded: bool) -> None:
    ends = [
        looked_at(make(seed, 58, 5, gain, GRADED if graded else PASS_FAIL, 0.01), Policy(policy, futility=0.2), PLAIN)
        for seed, gain in enumerate((-0.2, 0.0, 0.2))
        for make in (made, side_by_side)
    ]
    assert any(ends), "no run ended before its plan: nothing was compared"


def test_a_run_whose_champion_settles_it_is_over_before_its_first_trial() -> None:
    solved = [Result(task, 1.0) for task in ("a", "b", "c") for _ in range(3)]
    assert Looks(FullRun((), solved, ["a", "b", "c"]), Policy(), PLAIN).settled
    assert not Looks(FullRun((), [Result("a", 0.0)], []), Policy(), PLAIN).settled


@given(
    st.lists(st.tuples(st.lists(st.sampled_from(GRADED), min_size=2, max_size=4), st.integers(1, 14)), min_size=1),
    st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("fine", [False, True])
def test_rewards_worth_less_than_the_slack_leave_p_within_its_level(
    fine: bool, drawn: list[tuple[list[float], int]], seed: int
) -> None:
    def test(tasks: list[list[float]]) -> policies.Bar:
        pairs = [
            Pair((1.0, *mine), (0.0, 1 / 97 if fine else 0.25, 0.5), weight=weight)
            for mine, (_, weight) in zip(tasks, drawn, strict=True)
        ]
        return policies.RULES["paired"](pairs, Policy(alpha=0.3, draws=1_000))

    before = [mine for mine, _ in drawn]
    bar = test(before)
    slack = bar.slack()
    if float(bar.values["p"] or 0.0) > 0.3:
        assert slack == 0
        return
    after, left, dice = [list(mine) for mine in before], slack - 1e-6, random.Random(seed)
    for task, (_, weight) in enumerate(drawn):
        for trial, reward in enumerate(after[task]):
            lower = dice.choice([value for value in GRADED if value <= reward])
            if weight * (reward - lower) <= left:
                left -= weight * (reward - lower)
                after[task][trial] = lower
    assert float(test(after).values["p"] or 0.0) <= 0.3 + 1e-9


def test_the_slack_is_most_of_what_there_is_to_lose() -> None:
    pairs = [Pair((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)) for _ in range(30)]
    slack = permutation_test(pairs).slack(0.1)
    assert slack > 20  # of 90 rewards, 45 of which are expected without an effect
    assert permutation_test(pairs[:2] + [Pair((0.0,), (1.0,))] * 9).slack(0.1) == 0
