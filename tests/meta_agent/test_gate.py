"""The gate's rules, and its error rates pinned by simulation."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Sequence
from itertools import combinations, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate.comparison import Arms, Evidence, excess_errors, told_reason
from lorimer.meta_agent.gate.decide import decide, stops_early
from lorimer.meta_agent.gate.statistics.alpha import at_level, elond, lord
from lorimer.meta_agent.gate.statistics.permutation import Pair, permutation_test
from lorimer.meta_agent.gate.statistics.policies import Policy, bar_words
from lorimer.meta_agent.gate.statistics.policies import evidence as betting
from lorimer.meta_agent.gate.statistics.revisions import REVISIONS
from lorimer.meta_agent.gate.statistics.scores import Result, score, task_means
from lorimer.meta_agent.gate.stopping.futility import Unlikely
from lorimer.meta_agent.gate.verdicts import SpotTrial, spot_verdict
from tests.support.quickness import slowness

PAIRED = Policy()
STRICT = Policy(name="strict")


def outcomes(by_task: dict[str, Sequence[float | None]]) -> list[Result]:
    return [Result(task, reward) for task, rewards in by_task.items() for reward in rewards]


def evidence(
    candidate: dict[str, Sequence[float | None]],
    champion: dict[str, Sequence[float | None]],
    planned: Sequence[str] | None = None,
) -> Evidence:
    run = outcomes(candidate)
    return Evidence(run, outcomes(champion), planned or [outcome.task for outcome in run])


def tasks(count: int, rewards: Sequence[float | None], start: int = 0) -> dict[str, Sequence[float | None]]:
    return {f"t{number:03}": rewards for number in range(start, start + count)}


def brute_force(pairs: Sequence[Pair]) -> float:
    """Every way to split every task's trials, one by one."""
    observed = sum(sum(pair.candidate) for pair in pairs)
    splits = [[sum(s) for s in combinations(p.candidate + p.champion, len(p.candidate))] for p in pairs]
    totals = [sum(choice) for choice in product(*splits)]
    return sum(total >= observed - 1e-9 for total in totals) / len(totals)


binary = st.sampled_from([0.0, 1.0])
graded = st.sampled_from([0.0, 0.25, 0.5, 2 / 3, 1.0])


def pair_of(reward: st.SearchStrategy[float]) -> st.SearchStrategy[Pair]:
    arm = st.lists(reward, min_size=1, max_size=3).map(tuple)
    return st.builds(Pair, arm, arm)


@given(st.lists(st.one_of(pair_of(binary), pair_of(graded)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_exact_p_value_is_that_of_listing_every_split(pairs: list[Pair]) -> None:
    test = permutation_test(pairs)
    assert test.method == "exact"
    assert test.p == pytest.approx(brute_force(pairs), abs=1e-9)


def test_rewards_off_every_small_lattice_are_tested_by_monte_carlo_with_its_error_stated() -> None:
    dice = random.Random(3)
    pairs = [Pair((dice.random(), dice.random()), (dice.random(), dice.random())) for _ in range(4)]
    test = permutation_test(pairs, seed=1)
    assert test.method == "monte-carlo"
    assert test.draws == 10_000
    assert 0 < test.error < 0.01
    assert abs(test.p - brute_force(pairs)) < 5 * test.error
    assert permutation_test(pairs, seed=1) == test


def test_tasks_where_every_trial_came_out_alike_carry_no_information() -> None:
    pairs = [Pair((1.0, 1.0), (1.0, 1.0)), Pair((0.0,), (0.0, 0.0))]
    assert permutation_test(pairs).p == 1.0


def test_a_clear_gain_is_promoted_in_words_and_numbers() -> None:
    decision = decide(evidence(tasks(6, (1, 1)), tasks(4, (0, 0)) | tasks(2, (1, 1), 4)), PAIRED)
    assert decision.kind == "promote"
    assert decision.reason == "passed: 12/12 against 4/12, p = 0.001, needs p <= 0.10"
    assert decision.numbers["p"] == pytest.approx((1 / 6) ** 4)
    assert decision.numbers["candidate_mean"] == 1.0


def test_a_gain_within_luck_is_rejected_by_paired_and_promoted_by_strict() -> None:
    trials = evidence(tasks(5, (1, 1)) | tasks(1, (1, 0), 5), tasks(5, (1, 1)) | tasks(1, (0, 0), 5))
    assert decide(trials, PAIRED).kind == "reject"
    assert decide(trials, STRICT).kind == "promote"
    assert decide(trials, STRICT).reason == "passed: 11/12 against 10/12, needs a strictly higher mean"


def test_an_equal_score_is_never_promoted() -> None:
    trials = evidence(tasks(4, (1, 0)), tasks(4, (0, 1)))
    assert decide(trials, PAIRED).kind == "reject"
    assert decide(trials, STRICT).kind == "reject"


def test_more_trials_in_one_arm_are_handled() -> None:
    decision = decide(evidence(tasks(8, (1, 1)), tasks(8, (1, 0, 0, 0))), PAIRED)
    assert decision.kind == "promote"
    assert decision.numbers["p"] == pytest.approx((math.comb(3, 2) / math.comb(6, 2)) ** 8)


def test_too_many_errored_trials_of_the_candidate_are_undecided() -> None:
    decision = decide(evidence(tasks(7, (1, 1)) | tasks(3, (None, 1), 7), tasks(10, (0, 0))), Policy(max_errored=0.1))
    assert decision.kind == "undecided"
    assert decision.reason == "undecided: 3 of the candidate's 20 trials errored, over the 10% that are allowed"


def test_too_many_errored_trials_of_the_champion_are_undecided() -> None:
    decision = decide(evidence(tasks(10, (1, 1)), tasks(7, (0, 0)) | tasks(3, (None, None), 7)), PAIRED)
    assert decision.kind == "undecided"
    assert decision.reason == "undecided: 6 of the champion's 20 trials errored, over the 20% that are allowed"


def test_an_errored_trial_is_left_out_and_its_task_stays() -> None:
    candidate = tasks(19, (1, 1)) | tasks(1, (1, None), 19)
    champion = tasks(19, (0, 0)) | tasks(1, (1, None), 19)
    decision = decide(evidence(candidate, champion), PAIRED)
    assert decision.kind == "promote"
    assert decision.reason.startswith("passed: 1.000 over 39 trials against 0.050 over 39")
    assert (decision.numbers["tasks"], decision.numbers["left_out"]) == (20, 0)


def test_a_task_is_left_out_where_all_trials_of_an_arm_errored() -> None:
    candidate = tasks(19, (1, 1)) | tasks(1, (1, 1), 19)
    champion = tasks(19, (0, 0)) | tasks(1, (None, None), 19)
    decision = decide(evidence(candidate, champion), PAIRED)
    assert decision.kind == "promote"
    assert decision.reason.startswith("passed: 38/38 against 0/38")
    assert decision.reason.endswith("1 task left out as errored")


def test_a_promotion_that_rests_on_the_candidates_errors_is_undecided() -> None:
    candidate = tasks(40, (1, 1)) | tasks(1, (0, 1), 40) | tasks(3, (None, 1), 41)
    champion = tasks(40, (1, 1)) | tasks(1, (0, 0), 40) | tasks(3, (1, 1), 41)
    decision = decide(evidence(candidate, champion), STRICT)
    assert decision.kind == "undecided"
    assert (
        "the candidate errored more often than the champion: with 2 of its 3 errored trials counted as failed it would not have "
        "been promoted" in decision.reason
    )


def test_as_many_errors_in_both_arms_hold_nothing_back() -> None:
    trials = tasks(40, (1, 1)) | tasks(3, (None, 1), 41)
    decision = decide(evidence(trials | tasks(1, (0, 1), 40), trials | tasks(1, (0, 0), 40)), STRICT)
    assert decision.kind == "promote"


@pytest.mark.parametrize(
    ("mine", "trials", "theirs", "their_trials", "excess"),
    [
        (0, 100, 0, 100, 0),
        (1, 100, 0, 100, 0),
        (2, 100, 0, 100, 1),
        (7, 174, 9, 232, 0),
        (14, 174, 9, 232, 3),
        (3, 0, 0, 9, 3),
    ],
)
def test_errors_beyond_what_the_champions_let_expect_are_counted(
    mine: int, trials: int, theirs: int, their_trials: int, excess: int
) -> None:
    assert excess_errors(mine, trials, theirs, their_trials) == excess


def erring(trials: Evidence, dice: random.Random, mine: float, theirs: float, failing: float = 0.0) -> Evidence:
    """The trials with these shares of both arms errored, and `failing` of the candidate's failures."""

    def err(outcomes: Sequence[Result], share: float, of_failures: float) -> list[Result]:
        return [
            Result(each.task, None)
            if dice.random() < share or (each.reward == 0 and dice.random() < of_failures)
            else each
            for each in outcomes
        ]

    return Evidence(err(trials.candidate, mine, failing), err(trials.champion, theirs, 0.0), trials.planned)


ERRING_RATES = [0.95] * 15 + [0.1 + 0.8 * step / 9 for step in range(10)] + [0.0] * 5


@pytest.mark.parametrize(("mine", "theirs", "failing"), [(0.04, 0.04, 0.0), (0.08, 0.04, 0.0), (0.0, 0.0, 0.1)])
def test_errors_win_no_promotion(mine: float, theirs: float, failing: float) -> None:
    dice, rounds = random.Random(5), 400
    kinds = [
        decide(erring(simulated(dice, ERRING_RATES, 0.0, 3), dice, mine, theirs, failing), PAIRED).kind
        for _ in range(rounds)
    ]
    assert kinds.count("promote") / rounds <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / rounds)


def test_errors_by_chance_cost_little_power_and_leave_little_undecided() -> None:
    rounds = 300
    none, some = (
        [
            decide(erring(simulated(dice, ERRING_RATES, 0.2, 3), dice, share, share), PAIRED).kind
            for dice in [random.Random(number) for number in range(rounds)]
        ]
        for share in (0.0, 0.04)
    )
    assert none.count("promote") / rounds - some.count("promote") / rounds <= 0.1
    assert some.count("undecided") / rounds <= 0.05


def test_an_unfinished_plan_is_undecided_unless_futile() -> None:
    planned = ["t000"] * 2 + ["t001"] * 2 + ["t002"] * 2
    decision = decide(Evidence(outcomes({"t000": (1, 1)}), outcomes(tasks(3, (0, 0))), planned), PAIRED)
    assert decision.kind == "undecided"
    assert decision.reason == "undecided: only 2 of 6 trials were run"


def test_no_trials_at_all_are_undecided() -> None:
    assert decide(Evidence([], [], []), PAIRED).kind == "undecided"


def test_hopeless_candidates_are_rejected_early_with_the_reason() -> None:
    champion = tasks(10, (1, 1)) | tasks(2, (0, 0), 10)
    planned = [task for task in champion for _ in range(2)]
    run = outcomes({"t000": (0, 0)})
    assert not stops_early(Arms(Evidence([], outcomes(champion), planned)), PAIRED)
    assert stops_early(Arms(Evidence(run, outcomes(champion), planned)), PAIRED)
    decision = decide(Evidence(run, outcomes(champion), planned), PAIRED)
    assert decision.kind == "reject"
    assert "of 24 trials were run, the rest could not have changed this" in decision.reason
    assert decision.numbers["early"] is True


def simulated(dice: random.Random, rates: Sequence[float], lift: float, repeats: int) -> Evidence:
    def draw(rate: float) -> float:
        return float(dice.random() < rate)

    names = [f"t{number:03}" for number in range(len(rates))]
    champion = [Result(name, draw(rate)) for name, rate in zip(names, rates, strict=True) for _ in range(repeats)]
    candidate = [
        Result(name, draw(min(1.0, max(0.0, rate + lift))))
        for _ in range(repeats)
        for name, rate in zip(names, rates, strict=True)
    ]
    return Evidence(candidate, champion, [outcome.task for outcome in candidate])


POLICIES = (Policy(), Policy(futility=0.2), Policy(name="eprocess"), Policy(name="eprocess", futility=0.4), STRICT)


@given(st.integers(0, 10_000), st.sampled_from([-0.2, 0.0, 0.2, 0.5]), st.sampled_from(POLICIES))
@settings(max_examples=60, deadline=None)
def test_timing_never_changes_a_decision(seed: int, lift: float, policy: Policy) -> None:
    """However many trials finished beyond the first prefix that settles it, the words and the numbers are the same."""
    dice = random.Random(seed)
    full = simulated(dice, [dice.random() for _ in range(10)], lift, 2)
    stops = [
        length
        for length in range(len(full.planned))
        if stops_early(Arms(Evidence(full.candidate[:length], full.champion, full.planned)), policy)
    ]
    final = decide(full, policy)
    if not stops:
        assert not final.numbers.get("early")
        return
    assert stops == list(range(stops[0], len(full.planned)))
    assert final.kind == "reject" or (policy.name == "eprocess" and final.kind == "promote")
    for length in stops:
        assert decide(Evidence(full.candidate[:length], full.champion, full.planned), policy) == final
    assert final.numbers["run"] == stops[0]


PANEL = [1.0] * 10 + [0.1 + 0.8 * step / 9 for step in range(10)] + [0.0] * 5


def promotion_rate(policy: Policy, lift: float, rounds: int, seed: int) -> float:
    dice = random.Random(seed)
    return sum(decide(simulated(dice, PANEL, lift, 2), policy).kind == "promote" for _ in range(rounds)) / rounds


def test_an_unchanged_harness_is_promoted_at_alpha_at_most() -> None:
    rounds = 1_500
    rate = promotion_rate(PAIRED, 0.0, rounds, seed=11)
    error = math.sqrt(PAIRED.alpha * (1 - PAIRED.alpha) / rounds)
    assert 0.01 < rate <= PAIRED.alpha + 3 * error
    assert promotion_rate(STRICT, 0.0, 400, seed=11) > 0.3  # what the plain rule does with the same trials


def test_gains_are_found_and_losses_refused() -> None:
    assert promotion_rate(PAIRED, 0.15, 300, seed=12) > 0.4
    assert promotion_rate(PAIRED, 0.3, 200, seed=13) > 0.85
    assert promotion_rate(PAIRED, -0.1, 300, seed=14) <= 0.02


@pytest.mark.parametrize(
    ("name", "lift", "kind"), [("paired", 0.05, "promote"), ("paired", 0.0, "reject"), ("eprocess", 0.0, "reject")]
)
def test_a_thousand_tasks_are_decided_at_once(name: PolicyName, lift: float, kind: str) -> None:
    dice = random.Random(5)
    trials = simulated(dice, [dice.random() for _ in range(1000)], lift, 5)
    policy = Policy(name=name, futility=0.2)
    best = math.inf
    for _ in range(3):  # the best of three: other processes share the machine
        started = time.process_time()
        assert decide(trials, policy).kind == kind
        best = min(best, time.process_time() - started)
    assert best < 0.1 * slowness()  # 0.03 where it was written


def test_a_run_that_has_become_unlikely_to_win_ends_with_the_reason() -> None:
    champion = tasks(20, (1, 0))
    planned = list(champion) * 2
    run = outcomes(tasks(12, (0,)))
    trials = Evidence(run, outcomes(champion), planned)
    assert not stops_early(Arms(trials), PAIRED)
    decision = decide(trials, Policy(futility=0.2))
    assert decision.kind == "reject"
    assert (
        "which the whole plan would find every other time, would be promoted from here with a chance of"
        in decision.reason
    )
    assert "under the 20% that is asked for" in decision.reason
    assert decision.reason.endswith(f"{decision.numbers['run']} of 40 trials were run, the rest was not worth its cost")
    assert decision.numbers["early"] is True


@pytest.mark.parametrize(
    ("chance", "asked", "said"),
    [
        (0.05, 0.2, "a chance of 5%, under the 20% that is asked for"),
        (0.4163, 0.42, "a chance of 41.6%, under the 42.0% that is asked for"),
        (0.41998, 0.42, "a chance of 41.998%, under the 42.000% that is asked for"),
    ],
)
def test_a_chance_just_under_what_is_asked_for_is_told_apart_from_it(chance: float, asked: float, said: str) -> None:
    assert Unlikely(9, chance, 0.05).words(asked) == said


def test_a_decision_tells_its_chance_apart_from_what_was_asked_for() -> None:
    champion = tasks(20, (1, 0))
    trials = Evidence(outcomes(tasks(12, (0,))), outcomes(champion), list(champion) * 2)
    chance = decide(trials, Policy(futility=0.2)).numbers["chance"]
    assert isinstance(chance, float)
    asked = chance + 0.0004
    found = decide(trials, Policy(futility=asked))
    assert found.numbers["chance"] == chance, "the same look settles it"
    said = re.search(r"with a chance of ([\d.]+)%, under the ([\d.]+)% that is asked for; ", found.reason)
    assert said is not None
    assert float(said[1]) < float(said[2])


def test_the_plain_rule_stays_plain() -> None:
    champion = tasks(20, (1, 0))
    trials = Evidence(outcomes(tasks(12, (0,))), outcomes(champion), list(champion) * 2)
    assert not stops_early(Arms(trials), Policy(name="strict", futility=0.2))


def test_betting_promotes_at_the_end_of_a_round_and_not_before() -> None:
    champion = tasks(12, (0, 0, 0))
    planned = list(champion) * 3
    run = outcomes(tasks(12, (1,)))
    policy = Policy(name="eprocess")
    assert not stops_early(Arms(Evidence(run[:11], outcomes(champion), planned)), policy)
    decision = decide(Evidence(run, outcomes(champion), planned), policy)
    assert decision.kind == "promote"
    assert decision.reason.startswith("passed: 12/12 against 0/36, evidence ")
    assert decision.reason.endswith("to 1, needs 10; 12 of 36 trials were run, the rest was not needed")
    ungrouped = [task for task in champion for _ in range(3)]
    assert decide(Evidence(outcomes(tasks(12, (1, 1))), outcomes(champion), ungrouped), policy).kind == "undecided"


@given(st.lists(pair_of(graded), min_size=1, max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_a_higher_reward_is_never_less_evidence(pairs: list[Pair], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(pairs) - 1))
    raised = [*pairs[:at], Pair((1.0, *pairs[at].candidate[1:]), pairs[at].champion), *pairs[at + 1 :]]
    assert betting(raised) >= betting(pairs) - 1e-12
    assert permutation_test(raised).p <= permutation_test(pairs).p + 1e-12


@given(st.lists(pair_of(graded), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_evidence_is_one_on_average_over_all_exchanges(pairs: list[Pair]) -> None:
    """The definition of an e-value, checked by listing every order of every task's pooled trials."""
    for pair in pairs:  # tasks are independent, so one at a time shows it
        pool, taken = pair.candidate + pair.champion, len(pair.candidate)
        wealth = [betting([Pair(order[:taken], order[taken:])]) for order in permutations(pool)]
        assert sum(wealth) / len(wealth) == pytest.approx(1.0)


def test_an_unchanged_harness_passes_every_early_stopping_rule_at_alpha_at_most() -> None:
    rounds = 400
    for policy in POLICIES[1:4]:
        error = math.sqrt(policy.alpha * (1 - policy.alpha) / rounds)
        assert promotion_rate(policy, 0.0, rounds, seed=21) <= policy.alpha + 3 * error
        assert promotion_rate(policy, 0.4, 60, seed=22) > 0.5


# ---- many candidates, costs


@given(st.floats(1e-12, 1.0), st.floats(1e-12, 0.5))
def test_a_p_value_and_its_level_are_told_apart(p: float, alpha: float) -> None:
    said = re.fullmatch("p = (.+), needs p <= (.+)", bar_words({"p": p, "alpha": alpha}))
    assert said is not None
    assert (float(said[1]) <= float(said[2])) == (p <= alpha)


def test_close_calls_are_written_with_the_digits_that_tell_them() -> None:
    assert bar_words({"p": 0.00142, "alpha": 0.00104}) == "p = 0.00142, needs p <= 0.00104"
    assert bar_words({"p": 0.1004, "alpha": 0.1}) == "p = 0.1004, needs p <= 0.1"
    assert bar_words({"p": 0.0941, "alpha": 0.1}) == "p = 0.094, needs p <= 0.10"


def test_a_test_beyond_the_horizon_still_has_a_level() -> None:
    late = at_level(PAIRED, "study", [False] * 6_000)
    assert 0 < late.alpha < 1e-11
    assert decide(evidence(tasks(6, (1, 1)), tasks(6, (0, 0))), late).kind == "reject"


def test_levels_of_a_study_are_those_of_the_papers() -> None:
    """LORD++ and e-LOND written out from their definitions."""
    shape = [math.log(max(j, 2)) / (j * math.exp(math.sqrt(math.log(j)))) for j in range(1, 5_001)]
    gamma = [0.0, *(value / sum(shape) for value in shape)]
    passed = [False, True, False, True, False]
    assert lord(0.1, []) == pytest.approx(0.05 * gamma[1])
    assert lord(0.1, passed) == pytest.approx(0.05 * gamma[6] + 0.05 * gamma[4] + 0.1 * gamma[2])
    assert elond(0.1, passed) == pytest.approx(0.1 * gamma[6] * 3)
    assert at_level(PAIRED, "per-candidate", passed) == PAIRED
    assert at_level(PAIRED, "study", passed).alpha == lord(0.1, passed)
    assert at_level(Policy(name="eprocess"), "study", passed).alpha == elond(0.1, passed)
    assert at_level(STRICT, "study", passed) == STRICT


def test_a_study_of_null_candidates_seldom_promotes_any() -> None:
    """With no true gain every promotion is false, so the false-discovery rate is the chance of any at all."""
    dice, studies, hit = random.Random(31), 400, 0
    for _ in range(studies):
        passed: list[bool] = []
        for _ in range(60):
            passed.append(dice.random() <= lord(0.1, passed))
        hit += any(passed)
    assert hit / studies <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / studies)


# ---- spot-check, holdout, scores


def fix(reward: float | None, champion: float = 0.0) -> SpotTrial:
    return SpotTrial("f", "fix", reward, champion)


def guard(reward: float | None) -> SpotTrial:
    return SpotTrial("g", "guard", reward, 1.0)


@pytest.mark.parametrize(
    ("trials", "kind"),
    [
        ([fix(0), fix(0), fix(0), guard(1), guard(1)], "pass"),
        ([fix(0), fix(0), fix(0), guard(0), guard(1)], "pass"),
        ([fix(0), fix(0), guard(0), guard(None)], "pass"),
        ([fix(0), fix(0), guard(0), guard(0.5)], "pass"),
        ([guard(0), guard(0.4)], "reject"),
        ([fix(1), guard(0), guard(1), guard(1)], "pass"),
        ([fix(1), guard(0), guard(0), guard(1)], "reject"),
        ([], "pass"),
    ],
)
def test_the_spot_check_kills_what_breaks_things_and_never_on_one_trial(trials: list[SpotTrial], kind: str) -> None:
    assert spot_verdict(trials).kind == kind


@pytest.mark.parametrize(
    ("trials", "kind"),
    [
        ([fix(0), fix(0), guard(1), guard(1)], "pass"),
        ([fix(0), fix(0), fix(0), guard(0), guard(1)], "reject"),
        ([fix(0), fix(1), fix(0), guard(0), guard(1)], "pass"),
        ([fix(0.4, 0.5), fix(0.5, 0.5), guard(0)], "reject"),
        ([fix(0.6, 0.5), fix(0.5, 0.5), guard(0)], "pass"),
        ([fix(0), fix(None), guard(0)], "pass"),
        ([fix(0), fix(0), guard(None)], "pass"),
        ([fix(1), guard(0), guard(0)], "reject"),
    ],
)
def test_a_study_of_the_first_revision_has_a_spot_check_in_which_one_guard_may_kill(
    trials: list[SpotTrial], kind: str
) -> None:
    assert spot_verdict(trials, REVISIONS[1]).kind == kind


def test_the_spot_check_says_why() -> None:
    assert spot_verdict([fix(0), fix(0), guard(0), guard(1)], REVISIONS[1]).reason == (
        "rejected on the spot-check: it broke 1 of 2 tasks that the champion solves, "
        "and none of 2 trials on tasks it should fix did better than the champion"
    )
    assert spot_verdict([guard(0), guard(0), guard(1)]).reason == (
        "rejected on the spot-check: it broke 2 of 3 tasks that the champion solves"
    )


def test_a_score_weighs_tasks_alike_and_leaves_errors_out() -> None:
    result = score(outcomes({"a": (1, 1, 1), "b": (0, None), "c": (None,)}))
    assert result.mean == 0.5
    assert (result.tasks, result.trials, result.errored) == (2, 4, 2)
    assert task_means(outcomes({"a": (1, 0), "b": (None,)})) == {"a": 0.5}


def test_the_interval_stays_inside_and_has_width_at_the_ends() -> None:
    found = score(outcomes(tasks(20, (1, 1))))
    assert 0.8 < found.low < 0.9
    assert found.high == 1.0
    nothing = score([])
    assert math.isnan(nothing.mean)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


def covered(draw_rate: Callable[[random.Random], float], truth: float, rounds: int) -> float:
    dice = random.Random(17)
    hits = 0
    for _ in range(rounds):
        trials = []
        for number in range(24):
            rate = draw_rate(dice)
            trials += [Result(f"t{number}", float(dice.random() < rate)) for _ in range(3)]
        found = score(trials)
        hits += found.low <= truth <= found.high
    return hits / rounds


def test_the_interval_covers_the_truth_when_tasks_are_drawn_anew() -> None:
    """Tasks that are all alike, and tasks that are solved always or never: the clusters' two extremes."""
    assert covered(lambda dice: 0.8, 0.8, 400) > 0.92
    assert covered(lambda dice: float(dice.random() < 0.7), 0.7, 400) > 0.92


def test_a_full_run_that_was_won_does_not_say_promoted_of_what_later_stages_may_turn_down() -> None:
    won = decide(evidence(tasks(6, (1, 1)), tasks(6, (0, 0))), PAIRED)
    assert won.kind == "promote"
    assert won.reason.startswith("passed: 12/12 against 0/12, p = ")
    assert told_reason("promoted: 6/6 against 0/6") == "passed: 6/6 against 0/6", "as an older lorimer stored it"
    assert told_reason(won.reason) == won.reason
