"""What a study can find, forecast on the champion's dice by the gate's own rules."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.settings import BudgetSettings, parse
from lorimer.errors import UserError
from lorimer.kinds import PolicyName
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.enough import lacking, needed
from lorimer.meta_agent.forecast.playing import simulate
from lorimer.meta_agent.forecast.power import NULL_ROUNDS, Basis, Forecast, forecast
from lorimer.meta_agent.forecast.spending import Costs, Spending
from lorimer.meta_agent.gate.design import Design, best_result, too_small
from lorimer.meta_agent.gate.statistics.kept import Kept
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.replay.unchanged import Replays, TrialReplay
from lorimer.terminal.outlook import power_text
from lorimer.terminal.replayed import summary
from lorimer.traces.wired import Gap

DESIGN = Design(Policy(futility=0.2), repeats=2, champion_repeats=4)
RATES = panels.parse_rates("0.95x6,0.2-0.8x8,0x4")


def trials_of(rates: list[float], repeats: int, seed: int = 0) -> list[Result]:
    dice = random.Random(seed)
    return [
        Result(f"t{task:04}", float(dice.random() < rate)) for _ in range(repeats) for task, rate in enumerate(rates)
    ]


# ---- the panel


def test_rates_are_read_as_a_user_writes_them() -> None:
    assert panels.parse_rates("0.95x2, 0.1-0.9x3,0") == pytest.approx([0.95, 0.95, 0.1, 0.5, 0.9, 0.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("95%", "'95%' is none"),
        ("", "'' is none"),
        ("0.5x3,2x4", "2 is no pass rate; rates lie between 0 and 1"),
        ("0.5x0", "these are no tasks"),
        ("0.5x1999,0.1x2", "over 2000 tasks"),
    ],
)
def test_wrong_rates_are_said(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", "\\(")):
        panels.parse_rates(text)


def test_the_pool_counts_for_little_where_a_task_always_does_the_same() -> None:
    alike = panels.from_trials([Result(f"t{n}", float(n % 2)) for n in range(20) for _ in range(3)])
    mixed = panels.from_trials([Result(f"t{n}", float(r % 2)) for n in range(20) for r in range(4)])
    assert alike.weight == panels.WEIGHTS[0]
    assert mixed.weight == panels.WEIGHTS[1]
    assert alike.weight_known
    once = panels.from_trials([Result(f"t{n}", float(n % 2)) for n in range(20)])
    assert (once.weight, once.weight_known) == (panels.UNKNOWN_WEIGHT, False)


def test_the_weight_is_the_one_that_the_rates_were_drawn_with() -> None:
    dice = random.Random(3)
    rates = [dice.betavariate(0.6, 0.4) for _ in range(2_000)]  # a weight of 1
    found = panels.from_trials(trials_of(rates, 4))
    assert found.weight == pytest.approx(1.0, rel=0.1)
    assert found.mean == pytest.approx(0.6, abs=0.02)


def test_errored_trials_and_untried_tasks_say_nothing() -> None:
    found = panels.from_trials([Result("a", 1.0), Result("a", None), Result("b", None)])
    assert found.seen == {"a": (1.0,), "b": ()}
    assert found.pool == {1.0: 1.0}
    assert found.draw(random.Random(0))["b"].mean == 1.0


def test_graded_rewards_are_drawn_as_they_were() -> None:
    dice = random.Random(1)
    graded = [Result(f"t{n}", dice.random()) for n in range(30) for _ in range(3)]
    found = panels.from_trials(graded)
    assert len(found.pool) <= 16
    drawn = found.draw(random.Random(0))
    own = {outcome.reward for outcome in graded if outcome.task == "t0"}
    assert own <= set(drawn["t0"].values)
    assert 0.35 < found.mean < 0.65


@given(gain=st.floats(-0.4, 0.4), seed=st.integers(0, 50))
def test_an_edit_changes_the_mean_by_its_gain(gain: float, seed: int) -> None:
    suite = panels.from_rates(RATES).draw(random.Random(seed))
    changed, touched = panels.edited(suite, gain, random.Random(seed))

    def mean(of: dict[str, panels.TaskRewards]) -> float:
        return sum(rewards.mean for rewards in of.values()) / len(of)

    loss = sum(min(panels.STEP, rewards.mean) for rewards in suite.values()) / len(suite)
    expected = max(min(gain, panels.room(suite)), -loss)
    assert mean(changed) - mean(dict(suite)) == pytest.approx(expected, abs=1e-9)
    assert {task for task in suite if changed[task] != suite[task]} == set(touched)
    assert all(-1e-9 <= rewards.mean <= 1 for rewards in changed.values())


# ---- playing


def test_an_unchanged_harness_passes_at_most_at_alpha_and_a_large_gain_nearly_always() -> None:
    panel = panels.from_rates(RATES)
    null = simulate(DESIGN, panel, 0.0, 400, seed=1)
    assert null.promoted <= 0.1 + 2 * null.error
    strict = simulate(replace(DESIGN, policy=Policy(name="strict")), panel, 0.0, 200, seed=1)
    assert strict.promoted > 0.3
    assert null.trials < strict.trials <= 36 + 6
    assert simulate(DESIGN, panel, 0.25, 100, seed=1).promoted > 0.8
    assert simulate(DESIGN, panel, -0.1, 100, seed=1).promoted < 0.05


def test_the_level_of_a_study_reaches_the_dice() -> None:
    study = replace(DESIGN, error="study")
    assert study.first.alpha < DESIGN.policy.alpha / 10
    panel = panels.from_rates(RATES)
    assert simulate(study, panel, 0.15, 100, seed=1).promoted < simulate(DESIGN, panel, 0.15, 100, seed=1).promoted


def test_side_by_side_the_champions_trials_are_paid_for_too() -> None:
    panel, beside = panels.from_rates(RATES), replace(DESIGN, beside=True)
    null = simulate(beside, panel, 0.0, 200, seed=1)
    assert null.promoted <= 0.1 + 2 * null.error
    assert simulate(beside, panel, 0.3, 60, seed=1).trials > 0.8 * 2 * 18 * 2
    assert "with 1 trial each against 1 are" in too_small(Design(Policy(), 1, 4, beside=True), ["a", "b"])
    solved = [Result(f"t{n:04}", 1.0) for n in range(18) for _ in range(4)]
    assert too_small(beside, [f"t{n:04}" for n in range(18)], solved) == "", "its trials are yet to come"
    assert Design.of(parse({"gate": {"champion": "interleaved"}})).beside


def test_a_forecast_is_a_function_of_its_seed_whatever_the_processes() -> None:
    panel = panels.from_rates(RATES)
    here = simulate(DESIGN, panel, 0.1, 40, seed=5)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert simulate(DESIGN, panel, 0.1, 40, 5, lambda work, parts: list(pool.map(work, parts))) == here
    assert forecast(DESIGN, Basis(panel, "x"), seed=5, rounds=20) == forecast(
        DESIGN, Basis(panel, "x"), seed=5, rounds=20
    )
    assert simulate(DESIGN, panel, 0.1, 40, seed=6) != here


@pytest.mark.parametrize("name", ["paired", "pooled", "eprocess"])
def test_what_simulations_keep_of_one_another_changes_nothing(name: PolicyName) -> None:
    panel, design = panels.from_trials(trials_of(RATES, 4)), replace(DESIGN, policy=Policy(name=name, futility=0.2))
    plain, kept = replace(design, policy=replace(design.policy, name="strict")), Kept()
    for of, gain, earlier in ((design, 0.0, 3), (plain, 0.0, 3), (design, 0.2, 3), (design, 0.1, 0), (design, 0.2, 3)):
        alone = simulate(of, panel, gain, 12, seed=3, earlier=earlier)
        assert simulate(of, panel, gain, 12, seed=3, earlier=earlier, kept=kept) == alone


def test_a_champion_is_drawn_once_for_every_gain_and_policy() -> None:
    drawn = list[float]()

    class Watched(panels.Panel):
        def draw(self, dice: random.Random) -> dict[str, panels.TaskRewards]:
            drawn.append(dice.random())
            return super().draw(dice)

    known = panels.from_trials(trials_of(RATES, 4))
    panel = Watched(known.seen, known.pool, known.weight)
    found = forecast(DESIGN, Basis(panel, "x", proposed=1), rounds=10)
    assert len(found.curve) >= 4
    assert len(drawn) == 1 + 10 * NULL_ROUNDS, "the suite, and one champion of each candidate"


def test_a_forecast_from_trials_says_what_they_can_tell() -> None:
    trials = trials_of(RATES, 4)
    found = forecast(DESIGN, Basis(panels.from_trials(trials), "x", trials=trials), rounds=60)
    assert found.score is not None
    assert found.score.trials == len(trials)
    assert not found.assumed
    assert found.reachable
    assert found.detectable is not None
    assert 0.05 < found.detectable < 0.35
    assert [point.gain for point in found.curve] == sorted(point.gain for point in found.curve)
    assert found.warnings == ()
    assert found.noise is not None
    assert 0.05 < found.noise < 0.12


def test_gains_of_three_five_and_ten_points_are_told_and_the_smallest_is_whole() -> None:
    found = forecast(DESIGN, Basis(panels.from_rates(RATES), "x"), rounds=40)
    assert found.detectable is not None
    assert found.detectable in [point.gain for point in found.curve]
    assert round(100 * found.detectable) == pytest.approx(100 * found.detectable)
    text = power_text(found)
    assert all(f"+{gain}: " in text for gain in (3, 5, 10))


def test_a_bound_on_cost_makes_no_forecast_undecided() -> None:
    panel = panels.from_rates(RATES)
    bounded = dataclasses.replace(DESIGN, policy=dataclasses.replace(DESIGN.policy, max_cost_increase=0.2))
    assert simulate(bounded, panel, 0.2, 40, seed=1) == simulate(DESIGN, panel, 0.2, 40, seed=1)
    assert simulate(bounded, panel, 0.2, 40, seed=1).promoted > 0.5


def test_a_studys_first_candidate_is_found_less_often_under_paired_and_that_is_said() -> None:
    """No earlier candidate's trials weigh its tasks."""
    panel = panels.from_rates(RATES * 2)
    found = forecast(DESIGN, Basis(panel, "x"), rounds=60)
    later = {point.gain: point for point in found.curve}
    assert [point.gain for point in found.first] == [0.03, 0.05, 0.10]
    assert sum(point.promoted for point in found.first) < sum(later[point.gain].promoted for point in found.first)
    (line,) = [line for line in power_text(found).splitlines() if line.strip().startswith("+10:")]
    one, other = (f"{each.promoted:.1%} (± {each.error:.1%})" for each in (later[0.10], found.first[-1]))
    assert line.split(": ")[1] == f"{one} promoted; as a study's first candidate, {other}"
    assert "first candidate" not in power_text(forecast(DESIGN, Basis(panel, "x", proposed=1), rounds=20))
    pooled = replace(DESIGN, policy=replace(DESIGN.policy, name="pooled"))
    assert forecast(pooled, Basis(panel, "x"), rounds=20).first == ()


# ---- suites that are too small


def test_a_suite_too_small_for_alpha_is_said_with_what_to_change() -> None:
    said = too_small(Design(Policy(), 1, 1), ["a", "b"])
    assert said.startswith(
        "no edit can be promoted: 2 train tasks with 1 trial each against 1 are too few for gate.alpha"
    )
    assert "p = 0.25, needs p <= 0.10" in said
    assert said.endswith("add tasks, or set gate.repeats to 2 or more")
    enough = Design(Policy(), 2, 2)
    assert too_small(enough, ["a", "b"]) == ""
    assert best_result(enough, ["a", "b"]).kind == "promote"
    assert too_small(Design(Policy(name="strict"), 1, 1), ["a"]) == ""
    assert "add tasks" in too_small(Design(Policy(alpha=1e-9), 1, 1, error="study"), ["a"])


def test_a_champion_that_leaves_nothing_to_win_is_said() -> None:
    standing = [Result(f"t{n:04}", 1.0) for n in range(18) for _ in range(4)]
    said = too_small(DESIGN, [f"t{n:04}" for n in range(18)], standing)
    assert said.startswith("no edit can be promoted: the champion leaves too little to win on 18 train tasks")
    found = forecast(DESIGN, Basis(panels.from_trials(standing), "x", trials=standing), rounds=40)
    assert (found.reachable, found.detectable, found.curve) == (False, None, ())
    assert found.warnings == (said,)
    assert "warning: no edit can be promoted" in power_text(found)


def test_no_gain_is_found_often_enough_on_a_suite_that_is_barely_large_enough() -> None:
    tiny = Design(Policy(), 2, 2)
    found = forecast(tiny, Basis(panels.from_rates([0.5, 0.5]), "x"), rounds=60)
    assert found.reachable
    assert found.detectable is None
    assert "found 80% of the time; add tasks or raise gate.repeats" in found.warnings[0]
    assert "no gain is found 80% of the time: " in power_text(found)


def test_one_trial_a_task_does_not_tell_how_flaky_a_task_is() -> None:
    trials = trials_of(RATES * 2, 1)
    found = forecast(DESIGN, Basis(panels.from_trials(trials), "x", trials=trials), rounds=40)
    assert "every task has one trial" in found.warnings[0]


# ---- trials that are too few, or all alike


def known_from(rewards: Sequence[Sequence[float | None]], untried: int = 0, more: str = "") -> Forecast:
    """The forecast from these rewards of each task, where other tasks have no trial."""
    trials = [Result(f"t{n:04}", reward) for n, own in enumerate(rewards) for reward in own]
    rest = [Result(f"u{n:04}", None) for n in range(untried)]
    panel = panels.from_trials([*trials, *rest])
    return forecast(DESIGN, Basis(panel, "x", trials=trials, holdout=2, costs=COSTS, more=more), rounds=20)


def nothing_played(found: Forecast) -> bool:
    """Whether no number is given that only the champion's dice could tell."""
    played = (found.mean, found.noise, found.null, found.strict, found.detectable, found.room, found.null_candidate)
    after = (found.good_candidate, found.study_total, found.affordable)
    text = power_text(found)
    words = ("points (SD)", "of edits without effect", "found 80%", "promoted\n", "a candidate without", "affordable  ")
    return (
        not any(each is not None for each in played + after) and not found.curve and not any(w in text for w in words)
    )


@pytest.mark.parametrize(
    ("rewards", "untried", "said"),
    [
        ([[0.0], [0.0]], 26, "2 trials of 2 of 28 train tasks are too few to tell; it takes 24 scored trials or more, of 8 "),
        ([[1.0]], 27, "1 trial of 1 of 28 train tasks is too few to tell"),
        ([[1.0, 0.0, 1.0]] * 7, 21, "21 trials of 7 of 28 train tasks are too few to tell"),
        ([[1.0, 0.0]] * 8, 20, "16 trials of 8 of 28 train tasks are too few to tell"),
        ([[1.0] * 30, [0.0] * 30], 26, "60 trials of 2 of 28 train tasks are too few to tell"),
        ([[1.0, 0.0, None], [None, None, 1.0]], 0, "3 trials of 2 of 2 train tasks are too few to tell; it takes 24 scored "
         "trials or more, of every task"),
        ([[1.0, 0.0, 1.0]], 0, "3 trials of 1 of 1 train task are too few to tell"),
    ],
)  # fmt: skip
def test_too_few_trials_are_said_and_no_number_is_made_of_them(
    rewards: list[list[float | None]], untried: int, said: str
) -> None:
    found = known_from(rewards, untried, "`lorimer run --repeats 3`")
    assert found.lacking is not None
    assert (found.lacking.kind, found.lacking.said[: len(said)]) == ("few", said)
    assert found.lacking.remedy == "run: `lorimer run --repeats 3`, then `lorimer power`"
    assert nothing_played(found)
    assert found.lacking.said in power_text(found)
    # The champion's interval and the plan are known; what a trial costs is not, from a few tasks.
    assert found.score is not None
    assert (found.start.trials, found.start.usd, found.start.tokens) == (
        4 * (len(rewards) + untried) + 8 * 2,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("value", "said", "remedy"),
    [
        (0.0, "scored 0, so by how much a score varies is not known (95% sure: by less than 15.0 points)", "traces ls --failed`"),
        (1.0, "scored 1, so by how much a score varies is not known (95% sure: by less than 15.0 points)", "add harder tasks"),
        (0.5, "scored 0.5, so by how much a score varies is not known", "a forecast takes trials that differ"),
    ],
)  # fmt: skip
def test_trials_that_are_all_alike_do_not_tell_how_much_scores_vary(value: float, said: str, remedy: str) -> None:
    found = known_from([[value] * 3] * 9)
    assert found.lacking is not None
    assert (found.lacking.kind, found.lacking.said) == ("alike", f"all 27 trials of 9 of 9 train tasks {said}")
    assert remedy in found.lacking.remedy
    assert nothing_played(found)
    assert found.start.usd == pytest.approx((9 * 4 + 2 * 8) * 0.01)  # what a trial costs is known
    assert found.reachable == (value < 1)
    assert any("leaves too little to win" in warning for warning in found.warnings) == (value == 1)


def test_as_many_trials_as_it_asks_for_are_enough() -> None:
    for untried in (0, 20):
        found = known_from([[1.0, 0.0, 1.0]] * 4 + [[0.0, 0.0, 0.0]] * 4, untried)
        assert found.lacking is None
        assert found.noise is not None
    assert needed(28) == (8, 3)
    assert needed(2) == (2, 12)
    assert needed(1) == (1, 24)
    alone = known_from([[1.0, 0.0] * 12])
    assert alone.lacking is None
    assert any(warning.startswith("there is one task alone, which does not tell") for warning in alone.warnings)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_command_that_lists_trials_names_the_study_that_is_told_of(value: float) -> None:
    alike = lacking({f"task {number}": (value,) * 3 for number in range(9)}, study="study-3")
    assert alike is not None
    assert "`lorimer traces ls --study study-3" in alike.remedy
    unscored = TrialReplay("trial", "task", 0, 0, Gap("trial", "unscored", "it errored"))
    (group,) = summary(Replays("study-3", "", 1, (unscored,))).apart
    (advice,) = group.advice
    assert "`lorimer traces ls --study study-3 --state errored`" in advice


def test_assumed_rates_lack_nothing() -> None:
    assert forecast(DESIGN, Basis(panels.from_rates([0.0, 0.0]), "x"), rounds=20).lacking is None


def test_strict_is_warned_of() -> None:
    found = forecast(replace(DESIGN, policy=Policy(name="strict")), Basis(panels.from_rates(RATES), "x"), rounds=40)
    assert found.strict == found.null
    assert "policy strict has no bound on false promotions" in found.warnings[0]


# ---- what it costs

SMALL = replace(DESIGN, policy=Policy(name="strict"))
"""The quickest gate: here only its trials are counted."""
COSTS = Costs(usd=0.01, tokens=1_000, seconds=36.0, proposal_usd=0.5, proposal_tokens=20_000)


def test_a_budget_pays_for_so_many_candidates() -> None:
    def afford(spent: Spending | None = None, proposed: int = 0, **budget: float | None) -> tuple[int | None, str]:
        settings = BudgetSettings.model_validate({"candidates": None, **budget})
        found = forecast(
            SMALL,
            Basis(panels.from_rates(RATES), "x", holdout=6, costs=COSTS, spent=spent, proposed=proposed),
            budget=settings,
            concurrency=2,
            rounds=20,
        )
        assert found.start.trials == (0 if spent else 18 * 4 + 6 * 8)
        each = found.null_candidate
        assert each is not None
        assert each.hours is not None
        assert found.affordable is not None
        assert each.usd == pytest.approx(each.trials * 0.01 + 0.5)
        assert each.hours == pytest.approx(each.trials * 36 / 2 / 3600)
        return found.affordable.candidates, found.affordable.bound

    assert afford() == (None, "")
    assert afford(candidates=7) == (7, "budget.candidates")
    assert afford(Spending(0, 0, 0, 0), proposed=5, candidates=7) == (2, "budget.candidates")
    few, bound = afford(candidates=1_000, usd=20)
    assert bound == "budget.usd"
    assert few is not None
    assert 10 < few < 20
    assert afford(usd=0.5) == (0, "budget.usd")
    left, _ = afford(Spending(100, 10.0, 0, 0), usd=20)
    assert left is not None
    assert left < few
    assert afford(trials=200)[1] == "budget.trials"


def test_an_unknown_price_stays_unknown() -> None:
    unpriced = replace(COSTS, usd=None)
    settings = BudgetSettings(usd=5, candidates=3)
    found = forecast(SMALL, Basis(panels.from_rates(RATES), "x", costs=unpriced), budget=settings, rounds=20)
    assert found.null_candidate is not None
    assert found.affordable is not None
    assert found.null_candidate.usd is None
    assert found.study_total is not None
    assert found.study_total.usd is None
    assert found.study_total.tokens is not None
    assert (found.affordable.candidates, found.affordable.unknown) == (3, ("budget.usd",))
    text = power_text(found)
    assert "$ unknown" in text
    assert "budget.usd cannot be counted: prices are unknown" in text


def test_a_design_is_read_from_the_settings() -> None:
    config = parse(
        {"gate": {"policy": "eprocess", "repeats": 2, "champion_repeats": 4, "error": "study", "spot_fixes": 1}}
    )
    found = Design.of(config)
    assert (found.policy.name, found.repeats, found.champion_repeats) == ("eprocess", 2, 4)
    assert (found.error, found.spot_fixes, found.spot_guards) == ("study", 1, 2)
