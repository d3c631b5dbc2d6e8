"""The spot-check in pairs: what it plans, and what it kills."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.pairs import MOST, STEP, PairPlan, TouchedTrial, pair_plan, pair_verdict
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result

TASKS = [f"t{number:02}" for number in range(50)]
RATES = [0.95] * 24 + [0.1 + 0.8 * step / 15 for step in range(16)] + [0.0] * 10
LUCK = Luck(1, 1)


def recorded(dice: random.Random, repeats: int = 4) -> list[Result]:
    return [
        Result(task, float(dice.random() < rate))
        for _ in range(repeats)
        for task, rate in zip(TASKS, RATES, strict=True)
    ]


def touches(told: Sequence[Result], left: float) -> list[TouchedTrial]:
    return [TouchedTrial(str(place), each.task, each.reward or 0.0, left) for place, each in enumerate(told)]


def plan_of(
    told: Sequence[Result],
    touched: Sequence[TouchedTrial],
    untold: int = 0,
    luck: Luck = LUCK,
    weights: Mapping[str, int] | None = None,
    standing: Sequence[Result] | None = None,
) -> PairPlan | None:
    return pair_plan(
        touched, told, untold, luck, standing=standing or told, weights=weights or {}, repeats=5, alpha=0.1
    )


def planned(told: Sequence[Result], touched: Sequence[TouchedTrial], luck: Luck = LUCK) -> PairPlan:
    plan = plan_of(told, touched, luck=luck)
    assert plan is not None
    return plan


def decided(plan: PairPlan, rewards: Sequence[float | None]) -> Decision:
    verdict = pair_verdict(plan, rewards)
    assert verdict is not None
    return verdict


def number(decision: Decision, name: str) -> float:
    found = decision.numbers[name]
    assert isinstance(found, int | float)
    return found


def killed(plan: PairPlan, rewards: Sequence[float | None]) -> bool:
    verdicts = [pair_verdict(plan, rewards[:end]) for end in plan.looks]
    first = next(verdict for verdict in verdicts if verdict is not None)
    return first.kind == "reject"


# ---- the plan


def test_a_plan_takes_failed_and_solved_trials_in_turn_until_the_money_is_spent() -> None:
    told = recorded(random.Random(1))
    plan = planned(told, touches(told, 0.4))
    assert [each.solved for each in plan.order[:6]] == [False, True] * 3
    assert MOST - 0.4 < sum(each.left for each in plan.order) <= MOST
    assert plan.looks == (8, 16, 24, 32, 40, 48, 56, 64, 72, 75)
    assert (plan.failed + plan.solved, plan.standing) == (200, 200)


def test_the_longer_group_goes_on_where_the_other_has_ended() -> None:
    told = recorded(random.Random(1))
    few = [each for each in touches(told, 0.4) if not each.solved][:10] + [
        each for each in touches(told, 0.4) if each.solved
    ][:2]
    assert [each.solved for each in planned(told, few).order] == [False, True, False, True] + [False] * 8


def test_a_look_comes_whenever_so_much_is_spent() -> None:
    told = recorded(random.Random(1))
    plan = planned(told, touches(told, 0.5)[:40])
    spent = [sum(each.left for each in plan.order[:end]) for end in plan.looks]
    assert spent == [STEP * look for look in range(1, 7)] + [20.0]
    assert [end * 0.5 for end in planned(told, touches(told, 0.5)[:11]).looks] == [3.0, 5.5]


def test_the_same_luck_draws_the_same_trials_whatever_their_order() -> None:
    told = recorded(random.Random(1))
    touched = touches(told, 0.4)
    assert planned(told, touched) == planned(told, touched[::-1])
    assert planned(told, touched) != planned(told, touched, Luck(1, 2))


@pytest.mark.parametrize(
    ("left", "share", "untold", "is_planned"),
    [
        (0.4, 1.0, 0, True),
        (1.0, 1.0, 0, False),  # all trials from their first request on: as dear as a full run
        (1.0, 0.2, 0, True),
        (0.4, 0.0, 0, False),
        (0.4, 1.0, 50, True),
        (0.4, 1.0, 51, False),  # of more than a fifth it cannot be told
    ],
)
def test_pairs_are_run_where_they_are_worth_their_price(
    left: float, share: float, untold: int, is_planned: bool
) -> None:
    told = recorded(random.Random(1))
    touched = touches(told, left)
    plan = plan_of(told, touched[: round(share * len(touched))], untold)
    assert (plan is not None) == is_planned


def test_what_is_worth_finding_shrinks_with_the_suite() -> None:
    small = recorded(random.Random(1))[:12] * 4
    large = recorded(random.Random(1))
    assert planned(small, touches(small, 0.1)).worth > 1.5 * planned(large, touches(large, 0.1)).worth


def test_trials_that_were_told_of_stand_for_those_of_their_task_that_were_not() -> None:
    """Two of a task's four solved trials were looked at, and its one failed one: each solved one counts twice."""
    standing = [Result("a", reward) for reward in (0.0, 1.0, 1.0, 1.0, 1.0)]
    told = standing[:3]
    plan = plan_of(told, touches(told, 0.1), standing=[*standing, Result("a", None)])  # an errored one is none
    assert plan is not None
    assert (plan.standing, plan.failed, plan.solved) == (5, 1, 2)
    assert [(each.solved, count) for each, count in zip(plan.order, plan.counts, strict=True)] == [
        (False, 1.0),
        (True, 2.0),
        (True, 2.0),
    ]
    assert number(decided(plan, [0.0, 0.0, 1.0]), "gain") == pytest.approx(-2 / 5)


# ---- the verdict


def made_plan(failed: int, solved: int, standing: int = 100, worth: float = 0.03) -> PairPlan:
    order = [TouchedTrial(f"f{n}", "t", 0.0, 0.1) for n in range(failed)] + [
        TouchedTrial(f"s{n}", "t", 1.0, 0.1) for n in range(solved)
    ]
    return PairPlan(tuple(order), (1.0,) * len(order), (len(order),), failed, solved, standing, worth)


def test_what_breaks_solved_trials_is_killed_and_told_how_many() -> None:
    verdict = decided(made_plan(10, 10), [0.0] * 10 + [1.0] * 4 + [0.0] * 6)
    assert verdict.kind == "reject"
    assert verdict.reason == (
        "rejected on the spot-check: from the touch on, 0 of 10 failed trials were won and 6 of 10 solved ones lost: "
        "-0.060 (± 0.017) in weighted reward, and a gain of 0.030 is worth finding"
    )


def test_what_wins_failed_trials_passes() -> None:
    verdict = decided(made_plan(10, 10), [1.0] * 5 + [0.0] * 5 + [1.0] * 10)
    assert verdict.kind == "pass"
    assert verdict.reason == (
        "passed the spot-check: from the touch on, 5 of 10 failed trials were won and 0 of 10 solved ones lost: "
        "+0.050 (± 0.017) in weighted reward"
    )


def test_failed_trials_that_are_won_by_luck_are_set_against_solved_ones_that_are_lost_by_it() -> None:
    """Half of the failed trials are won, and of three times as many solved ones a sixth is lost: nothing is gained."""
    plan = PairPlan(
        (
            *(TouchedTrial(f"f{n}", "t", 0.0, 0.1) for n in range(20)),
            *(TouchedTrial(f"s{n}", "t", 1.0, 0.1) for n in range(60)),
        ),
        (1.0,) * 80,
        (80,),
        40,
        120,
        1_000,
        0.03,
    )
    verdict = decided(plan, [1.0, 0.0] * 10 + [0.0, 1.0, 1.0, 1.0, 1.0, 1.0] * 10)
    assert number(verdict, "gain") == pytest.approx(0.0)


def test_errored_pairs_say_nothing() -> None:
    verdict = decided(made_plan(10, 10), [None] * 20)
    assert (verdict.kind, verdict.numbers["errored"], verdict.numbers["gain"]) == ("pass", 20, 0.0)
    some = decided(made_plan(10, 10), [None] * 5 + [0.0] * 5 + [1.0] * 10)
    assert (some.numbers["failed"], some.numbers["solved"]) == (5, 10)


def test_what_does_as_well_as_a_gain_worth_finding_passes_at_once() -> None:
    told = recorded(random.Random(1))
    plan = planned(told, touches(told, 0.4))
    won = [1.0] * len(plan.order)
    assert pair_verdict(plan, won[: plan.looks[0] - 1]) is None
    assert decided(plan, won[: plan.looks[0]]).kind == "pass"


def test_the_sooner_the_look_the_surer_a_kill_must_be() -> None:
    """Two of ten solved trials are lost and no failed one is won: at the plan's end that is enough, half way it is not."""
    order = made_plan(20, 20, standing=200).order
    counts = (1.0,) * 40
    half = PairPlan(order[10:30], counts[:20], (20,), 20, 20, 200, 0.002)
    assert killed(half, [0.0] * 10 + [1.0] * 8 + [0.0] * 2)
    more = PairPlan(order[10:30] + order[:10] + order[30:], counts, (20, 40), 20, 20, 200, 0.002)
    assert pair_verdict(more, [0.0] * 10 + [1.0] * 8 + [0.0] * 2) is None


def test_between_the_looks_nothing_is_decided() -> None:
    told = recorded(random.Random(1))
    plan = planned(told, touches(told, 0.4))
    lost = [0.0] * len(plan.order)
    assert pair_verdict(plan, lost[: plan.looks[0] - 1]) is None
    assert decided(plan, lost[: plan.looks[-1]]).kind == "reject"


def test_quarters_of_a_reward_count_as_such() -> None:
    plan = PairPlan(
        (TouchedTrial("f", "t", 0.25, 0.1), TouchedTrial("s", "t", 1.0, 0.1)), (1.0, 1.0), (2,), 1, 1, 10, 0.03
    )
    assert number(decided(plan, [0.75, 0.75]), "gain") == pytest.approx(0.025)


def test_a_pair_counts_what_the_full_run_counts_on_its_task() -> None:
    """Twice on half of the tasks: a mean of 1 leaves 4/3 and 2/3."""
    told = recorded(random.Random(1))
    heavy = frozenset(TASKS[25:])
    plan = plan_of(told, touches(told, 0.15), weights={task: 2 if task in heavy else 1 for task in TASKS})
    assert plan is not None
    assert {each.task in heavy: round(count, 3) for each, count in zip(plan.order, plan.counts, strict=True)} == {
        True: 1.333,
        False: 0.667,
    }
    order = (TouchedTrial("a", "hard", 0.0, 0.1), TouchedTrial("b", "easy", 0.0, 0.1))
    two = PairPlan(order, (4 / 3, 2 / 3), (2,), 2, 0, 10, 0.03)
    assert number(decided(two, [1.0, 0.0]), "gain") == pytest.approx(4 / 30)
    assert number(decided(two, [0.0, 1.0]), "gain") == pytest.approx(2 / 30)


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0, None]), min_size=20, max_size=20), st.integers(0, 19))
@settings(max_examples=100, deadline=None)
def test_a_better_reward_never_kills(rewards: list[float | None], at: int) -> None:
    plan = made_plan(10, 10)
    if rewards[at] is None:
        return
    before, after = decided(plan, rewards), decided(plan, [*rewards[:at], 1.0, *rewards[at + 1 :]])
    assert number(before, "gain") <= number(after, "gain") + 1e-12


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=12, max_size=12), st.floats(-0.1, 0.1))
@settings(max_examples=100, deadline=None)
def test_no_rewards_whatever_promote_a_candidate(rewards: list[float | None], worth: float) -> None:
    plan = replace(made_plan(6, 6, worth=worth), looks=(4, 8, 12))
    kinds = [verdict.kind for end in range(13) if (verdict := pair_verdict(plan, rewards[:end]))]
    assert set(kinds) <= {"pass", "reject"}
    assert pair_verdict(plan, rewards) is not None


def test_an_edit_keyed_to_failed_trials_wins_its_pairs_and_is_promoted_by_fresh_trials_no_more_often_for_it() -> None:
    """It runs what failed again and leaves the rest alone, and no fresh trial has the words that it is keyed to."""
    dice = random.Random(5)
    tasks = [task for _ in range(3) for task in TASKS]
    gate = Policy(name="paired")
    pairs_pass = by_fresh = by_pairs = 0
    for turn in range(100):
        told = recorded(dice)
        touched = touches(told, 0.4)
        failed = [each for each in touched if not each.solved]
        assert plan_of(told, failed) is None  # the check on single tasks is run, as if there were no records
        one_more = next(each for each in touched if each.solved)
        again = {each.trial: float(dice.random() < RATES[TASKS.index(each.task)]) for each in failed}
        again |= {one_more.trial: 1.0}
        plan = planned(told, [*failed, one_more], Luck(3, turn))
        pairs_pass += not killed(plan, [again[each.trial] for each in plan.order])
        fresh = [Result(task, float(dice.random() < RATES[TASKS.index(task)])) for task in tasks]
        redrawn = [Result(each.task, again.get(str(place), each.reward)) for place, each in enumerate(told)][
            : len(tasks)
        ]
        by_fresh += decide(Evidence(fresh, told, tasks), gate).kind == "promote"
        by_pairs += decide(Evidence(redrawn, told, tasks), gate).kind == "promote"
    assert pairs_pass >= 95  # pairs cannot tell, and need not: all they can do is kill
    assert by_fresh <= 10
    assert by_pairs >= 50  # what would come of a gate that read them


def test_gains_of_four_points_pass_and_most_of_what_gains_nothing_is_killed() -> None:
    """The edit touches the last 15% of every trial; so late, a fourth of a trial's luck is left."""
    dice = random.Random(3)

    def share(lifted: float, lost: float) -> float:
        found = 0
        for turn in range(300):
            told = recorded(dice)
            plan = planned(told, touches(told, 0.15), Luck(2, turn))
            rewards = []
            for each in plan.order:
                task = TASKS.index(each.task)
                luck = LEFT * RATES[task] if each.reward == 0 else 1 - LEFT * (1 - RATES[task])  # alike in the mean
                rate = luck + (1 - luck) * lifted if task in HELPED else luck * (1 - lost)
                rewards.append(float(dice.random() < rate))
            found += killed(plan, rewards)
        return found / 300

    assert share(0.5, 0.0) <= 0.06
    assert share(0.0, 0.0) >= 0.55
    assert share(0.0, 0.1) >= 0.9


LEFT = 0.26
HELPED = range(26, 50, 4)
"""Six of 50 tasks: half of their failures turn into successes, 3.9 points in all."""
