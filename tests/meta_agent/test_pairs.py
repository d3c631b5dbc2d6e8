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
from lorimer.meta_agent.gate.pairs import (
    FEELER,
    MOST,
    PATIENCE,
    SHARE,
    STEP,
    PairPlan,
    TouchedTrial,
    pair_plan,
    pair_verdict,
)
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
    parting: float = 0.0,
) -> PairPlan | None:
    return pair_plan(
        touched,
        told,
        untold,
        luck,
        standing=standing or told,
        weights=weights or {},
        repeats=5,
        alpha=0.1,
        parting=parting,
    )


def planned(told: Sequence[Result], touched: Sequence[TouchedTrial], luck: Luck = LUCK) -> PairPlan:
    plan = plan_of(told, touched, luck=luck)
    assert plan is not None
    return plan


def decided(plan: PairPlan, rewards: Sequence[float | None], parted: Sequence[bool] = ()) -> Decision:
    verdict = pair_verdict(plan, rewards, parted)
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


# ---- what pairs cost that part from their records


def ended(plan: PairPlan, rewards: Sequence[float | None], parted: Sequence[bool]) -> tuple[int, Decision]:
    """After how many pairs a check ends, and how."""
    verdicts = ((stop, pair_verdict(plan, rewards[:stop], parted[:stop])) for stop in plan.stops)
    return next((stop, verdict) for stop, verdict in verdicts if verdict is not None)


def evenly(count: int, left: float, worth: float = 0.03) -> PairPlan:
    """So many touched trials of equal length, half of which failed, with the looks that such a plan has."""
    told = [Result(f"t{n}", float(n % 2)) for n in range(count)]
    plan = plan_of(told, touches(told, left))
    assert plan is not None
    return replace(plan, worth=worth)


def test_cheap_pairs_that_all_part_end_as_soon_as_they_have_cost_a_step_more_than_planned() -> None:
    """28 pairs planned for 2.8 whole trials: they would have cost 28."""
    plan = evenly(28, 0.1)
    assert plan.stops == (4, 8, 16, 28)
    assert sum(each.left for each in plan.order) == pytest.approx(2.8)
    end, verdict = ended(plan, [0.0] * 28, [True] * 28)
    assert (end, verdict.kind, verdict.numbers["spent"]) == (4, "pass", 4.0)
    assert verdict.reason == (
        "not rejected on the spot-check, which ended early: 4 of 4 pairs parted from their records and cost a whole trial each, "
        "4.0 in all where 0.4 were planned; the full run decides"
    )
    assert ended(plan, [0.0] * 28, [False] * 28)[0] == 28, "those that go on from their records are run to the end"


def test_a_few_pairs_that_part_end_nothing() -> None:
    plan = evenly(28, 0.1)
    parted = [place % 10 == 0 for place in range(28)]
    assert ended(plan, [each.reward for each in plan.order], parted)[0] == 28


def test_it_is_looked_at_what_pairs_cost_before_a_first_look_that_comes_late() -> None:
    assert evenly(60, 0.0625).stops == (4, 8, 16, 32, 48, 60)
    assert evenly(40, 0.25).stops == (8, 12, 24, 36, 40), "4 pairs cannot have cost a step more than twice their price"
    assert evenly(20, 0.5).stops == evenly(20, 0.5).looks
    assert min(evenly(28, 0.1).stops) == FEELER
    assert pair_verdict(evenly(28, 0.1, worth=-1.0), [1.0] * FEELER) is None, "its rewards are not read there"


def test_no_check_costs_more_than_the_most_by_pairs_that_part() -> None:
    """A fourth of pairs of 0.4 part: planned for 30 whole trials, all of them would cost 41."""
    plan = evenly(75, 0.4)
    hopeful = [each.reward for each in plan.order]
    parted = [place % 4 == 0 for place in range(75)]
    end, verdict = ended(replace(plan, worth=0.0001), hopeful, parted)
    spent = number(verdict, "spent")
    after = plan.stops[plan.stops.index(end) + 1]
    assert (verdict.kind, end < 75) == ("pass", True)
    assert spent <= MOST < spent + 0.55 * (after - end)


def test_what_its_rewards_kill_at_a_look_is_killed_though_its_pairs_part() -> None:
    plan = evenly(40, 0.3)
    lost = [0.0] * 40
    assert pair_verdict(plan, lost[:4], [True] * 4) is None  # no look, and not dear yet
    assert ended(plan, lost, [True] * 40)[1].kind == "reject"
    between = replace(plan, looks=(40,))  # at 8 it is dear, and no look
    assert 8 in between.stops
    assert ended(between, lost, [True] * 40)[1].kind == "pass"


def test_a_pair_that_parts_is_counted_as_one_whole_trial_or_as_its_price_where_that_is_more() -> None:
    plan = replace(made_plan(2, 2), order=tuple(TouchedTrial(str(n), "t", n % 2, left) for n, left in enumerate(LEFTS)))
    verdict = decided(plan, [0.0, 1.0, 0.0, 1.0], [True, False, True, False])
    assert number(verdict, "spent") == pytest.approx(1 + 0.2 + 1.5 + 0.4)
    assert number(verdict, "planned") == pytest.approx(sum(LEFTS))
    assert verdict.numbers["parted"] == 2


LEFTS = (0.1, 0.2, 1.5, 0.4)


def test_pairs_are_priced_by_the_share_that_parted_before() -> None:
    told = recorded(random.Random(1))
    plan = plan_of(told, touches(told, 0.1), parting=0.25)
    assert plan is not None
    assert plan.parting == 0.25
    assert plan.price(2) == pytest.approx(2 * (0.75 * 0.1 + 0.25))
    assert len(plan.order) == int(MOST / 0.325)
    assert plan.looks[0] == 10, "a look comes after what a step then buys"
    most = (SHARE - 0.1) / 0.9  # the share at which pairs of a tenth of a trial cost half of one
    assert plan_of(told, touches(told, 0.1), parting=most - 0.01) is not None
    assert plan_of(told, touches(told, 0.1), parting=most + 0.01) is None
    assert plan_of(told, touches(told, 0.1), parting=1.0) is None


def test_pairs_that_part_as_often_as_they_were_priced_by_are_no_surprise() -> None:
    told = recorded(random.Random(1))
    plan = plan_of(told, touches(told, 0.1)[:60], parting=0.9)  # of few trials pairs are worth a whole trial each
    assert plan is not None
    end, verdict = ended(replace(plan, worth=0.0001), [each.reward for each in plan.order], [True] * len(plan.order))
    assert verdict.numbers["spent"] == end
    assert end > MOST - 4, "nothing but the most that pairs may cost ends them"


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_parts_a_check_may_only_kill_and_costs_little_more_than_planned(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 120))
    plan = evenly(count, data.draw(st.floats(0.02, 0.5)), data.draw(st.floats(0.001, 0.2)))
    count = len(plan.order)
    rewards = data.draw(st.lists(st.sampled_from([0.0, 1.0, None]), min_size=count, max_size=count))
    parted = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    end, verdict = ended(plan, rewards, parted)
    assert verdict.kind in ("pass", "reject")
    before = max((stop for stop in plan.stops if stop < end), default=0)
    spent = sum(1.0 if whole else each.left for each, whole in zip(plan.order[:before], parted, strict=False))
    if any(parted[:before]):  # all that is run beyond the bound is one stop's pairs
        assert spent <= PATIENCE * plan.price(before) + STEP + 1e-9
        assert plan.price(end) - plan.price(before) + spent <= MOST + 1e-9
    whole = ended(plan, rewards, [False] * count)
    assert end <= whole[0]
    assert "ended early" not in whole[1].reason
    if end == whole[0] and whole[1].kind == "reject":
        assert verdict.kind == "reject", "a kill at a look kills, whatever the pairs cost"
    if end < whole[0]:
        assert verdict.kind == "pass", "what ends early is left to the full run"


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
