"""A grid's cells and `same - cross`: what counts, what cannot be told, and what is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.settings import parse
from lorimer.errors import ConfigError, UserError
from lorimer.meta_agent.pairings import analysis, spec
from lorimer.meta_agent.pairings.dice import Played, Tendency, expected, grid
from lorimer.meta_agent.pairings.planning import smallest, tendency
from lorimer.meta_agent.pairings.spec import Sizes, Spec, candidates_paid, settings_of, share_of, transfer_settings_of
from lorimer.meta_agent.pairings.values import Pairing, Search, Tally

A, B, C = "made/a", "made/b", "made/c"
RATES = (0.1, 0.3, 0.5, 0.7)


def search(task: str, meta: str, number: int, *gains: float, **more: object) -> Search:
    named = {f"t{place}": gain for place, gain in enumerate(gains)} if gains else None
    return Search(Pairing(task, meta), number, f"{task}-{meta}-{number}", "finished", gains=named, **more)  # type: ignore[arg-type]


def test_same_minus_cross_of_a_square_is_the_difference_of_means() -> None:
    cells = {(A, A): 0.4, (A, B): 0.1, (B, A): 0.2, (B, B): 0.3}
    found = analysis.contrast([search(*pair, number, gain, gain) for pair, gain in cells.items() for number in (1, 2)])
    assert found.interval is not None
    assert found.interval.value == pytest.approx((0.4 + 0.3) / 2 - (0.1 + 0.2) / 2)
    assert not found.confounded


@given(st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6), st.floats(-0.4, 0.4))
def test_the_strength_of_models_is_not_taken_for_sameness(strengths: list[float], same: float) -> None:
    """In a square of three models, whatever each is worth at tasks and at edits drops out."""
    models = (A, B, C)
    made = []
    for i, task in enumerate(models):
        for j, meta in enumerate(models):
            gain = strengths[i] + strengths[3 + j] + same * (task == meta)
            made += [search(task, meta, number, gain, gain) for number in (1, 2)]
    found = analysis.contrast(made)
    assert found.interval is not None
    assert found.interval.value == pytest.approx(same, abs=1e-9)


def test_one_task_model_cannot_tell_a_strong_editor_from_the_same_one() -> None:
    found = analysis.contrast([search(A, meta, number, 0.5, 0.4) for meta in (A, B) for number in (1, 2)])
    assert found.confounded
    assert "own strength" in found.sentence


def test_one_search_a_cell_claims_no_contrast() -> None:
    made = [search(task, meta, 1, *[0.9 * (task == meta)] * 8) for task in (A, B) for meta in (A, B)]
    found = analysis.contrast(made)
    assert found.verdict == "cannot tell"
    assert not found.searches_known
    assert "one search" in found.sentence


def test_a_grid_without_both_kinds_has_no_contrast() -> None:
    for made in ([], [search(A, B, 1, 0.5), search(A, C, 1, 0.5)], [search(A, A, 1), search(A, B, 1)]):
        found = analysis.contrast(made)
        assert (found.verdict, found.interval) == ("cannot tell", None)


@pytest.mark.parametrize(("same", "verdict", "word"), [(0.5, "more", "more"), (-0.5, "less", "less")])
def test_a_plain_difference_is_told_in_one_sentence(same: float, verdict: str, word: str) -> None:
    dice = np.random.default_rng(1)
    made = [
        search(task, meta, number, *(same * (task == meta) + dice.normal(0, 0.02, 12)))
        for task in (A, B)
        for meta in (A, B)
        for number in (1, 2, 3)
    ]
    found = analysis.contrast(made)
    assert found.verdict == verdict
    assert f"points {word} than cross-model ones" in found.sentence


def test_where_nothing_was_promoted_an_interval_still_has_width() -> None:
    pairings = [(task, meta) for task in (A, B) for meta in (A, B)]
    made = [search(*pair, number, *[0.0] * 8, candidates=3) for pair in pairings for number in (1, 2)]
    found = analysis.contrast(made)
    assert found.verdict == "cannot tell"
    none = "Cannot tell: nothing was promoted in any pairing (24 tried), so there is no gain to compare."
    assert found.sentence == none
    assert analysis.contrast([each for each in made if each.number == 1]).sentence == none.replace("24", "12")
    worse = [*made, search(A, A, 3, *[0.0] * 8, promoted=1)]
    assert "gained +0.0 points" in analysis.contrast(worse).sentence, (
        "an edit was promoted that gains nothing on sealed tasks"
    )
    assert found.interval is not None
    assert found.interval.low < 0 < found.interval.high
    cell = analysis.cells_of(made)[0]
    assert cell.gain is not None
    assert cell.gain.high > 0
    assert cell.never == 2


def test_an_interval_is_a_function_of_its_seed_and_not_of_global_luck() -> None:
    made = grid({Pairing(A, A): Tendency(0.5, 0.4), Pairing(A, B): Tendency(0.2, 0.4)}, Played(3, 8, 2, 6, RATES),
                np.random.default_rng(5))  # fmt: skip
    first = analysis.contrast(made, seed=3)
    np.random.seed(0)
    assert analysis.contrast(made, seed=3) == first
    assert analysis.contrast(made, seed=4) != first


def test_tasks_that_one_search_lacks_are_left_out_and_counted() -> None:
    made = [search(A, A, 1, 0.1, 0.2, 0.3), search(A, B, 1, 0.1, 0.2)]
    assert analysis.shared_tasks(made) == (("t0", "t1"), 1)


def test_a_cell_adds_up_its_searches() -> None:
    one = search(
        A, A, 1, 0.2, 0.4, candidates=4, promoted=1, first=3, usd=2.0, predictions=Tally(1, 3), fired=Tally(5, 6)
    )
    two = search(A, A, 2, 0.0, 0.0, candidates=6, usd=4.0, predictions=Tally(0, 1))
    (cell,) = analysis.cells_of([one, two])
    assert cell.gain is not None
    assert cell.gain.value == pytest.approx(0.15)
    assert cell.usd == 3.0
    assert cell.points_per_usd == pytest.approx(5.0)
    assert (cell.first, cell.never) == (3.0, 1)
    assert (str(cell.promotions), str(cell.predictions), str(cell.fired)) == ("1 of 10", "1 of 4", "5 of 6")
    assert analysis.cells_of([one, search(A, A, 2, 0.0, 0.0, usd=None)])[0].usd is None


def test_the_interval_covers_what_the_generator_has() -> None:
    """A small copy of bench/pairings.py: 90% within what 120 grids tell."""
    cells = {
        Pairing(A, A): Tendency(0.5, 0.5), Pairing(A, B): Tendency(0.2, 0.4),
        Pairing(B, A): Tendency(0.25, 0.4), Pairing(B, B): Tendency(0.4, 0.5),
    }  # fmt: skip
    gains = {pairing: expected(tendency, 8, RATES) for pairing, tendency in cells.items()}
    truth = sum(gain if pairing.same else -gain for pairing, gain in gains.items()) / 2
    dice, held = np.random.default_rng(2), 0
    for number in range(120):
        found = analysis.contrast(grid(cells, Played(2, 10, 2, 8, RATES), dice), seed=number).interval
        assert found is not None
        held += found.low <= truth <= found.high
    assert 0.82 <= held / 120 <= 0.97


def test_the_generator_gains_what_it_is_expected_to() -> None:
    made = Tendency(0.3, 0.4)
    searches = grid({Pairing(A, A): made}, Played(4000, 5, 3, 8, RATES), np.random.default_rng(0))
    # All of these share their five tasks, so other tasks are drawn for the mean.
    means = [
        np.mean(list((one.gains or {}).values()))
        for seed in range(300)
        for one in grid({Pairing(A, A): made}, Played(4, 5, 3, 8, RATES), np.random.default_rng(seed))
    ]
    assert len(searches) == 4000
    assert np.mean(means) == pytest.approx(expected(made, 8, RATES), abs=0.012)


def test_more_searches_tell_a_smaller_difference() -> None:
    cells = [Pairing(task, meta) for task in (A, B) for meta in (A, B)]
    few, many = (smallest(cells, Played(n, 20, 2, 8, RATES), 0.1, grids=40) for n in (2, 8))
    assert many.difference is not None
    assert few.difference is None or few.difference > many.difference
    assert few.half > many.half
    played = Played(2, 20, 2, 8, RATES)
    assert expected(tendency(0.2, played), 8, RATES) == pytest.approx(0.2, abs=1e-3)


# ---- what is asked for ----------------------------------------------------------------------------------------------


def asked(**given: object) -> Spec:
    return Spec.model_validate({"task": [A, B], "meta": [A, B], "budget": {"trials": 4000}} | given)


def test_every_search_has_a_name_and_a_seed_of_its_own() -> None:
    plan = asked(searches=3, task=[A, "other/a"], meta=[A, B]).plan
    assert len({each.study for each in plan}) == len({each.seed(0) for each in plan}) == 12
    assert all(len(each.study) <= 64 for each in plan)
    assert [each.number for each in plan] == [1] * 4 + [2] * 4 + [3] * 4


def test_more_searches_leave_the_names_and_seeds_of_the_first_ones() -> None:
    few, many = asked(searches=2).plan, asked(searches=4).plan
    assert many[: len(few)] == few


def test_shares_add_up_to_the_whole_budget_at_most() -> None:
    config, sizes = parse({"gate": {"repeats": 1}}), Sizes(train=6, holdout=3)
    for budget in ({"trials": 4000}, {"tokens": 999_999}, {"usd": 12.5}):
        wanted = asked(budget=budget, searches=3, transfer=True)
        share = share_of(wanted, config, sizes)
        assert share.each * 12 + share.transfers <= wanted.budget.amount + 1e-9
        assert share.search + share.last == pytest.approx(share.each)
        settings = settings_of(config, wanted.plan[0], share)
        assert getattr(settings.budget, share.unit) == pytest.approx(share.search, abs=1)
        assert settings.models.task == wanted.plan[0].pairing.task
        assert candidates_paid(config, sizes, share) >= 1


@pytest.mark.parametrize(("unit", "amount"), [("trials", 4000), ("tokens", 900_000), ("usd", 12.0)])
def test_attempts_of_a_last_measure_and_of_transfers_are_bounded_by_their_plans_and_not_counted(
    unit: str, amount: float
) -> None:
    config, sizes = parse({"gate": {"repeats": 1, "holdout_repeats": 3}}), Sizes(train=6, holdout=3)
    wanted = asked(budget={unit: amount}, searches=1, transfer=True)
    share, search = share_of(wanted, config, sizes), wanted.plan[0]
    last = settings_of(config, search, share, last=True).budget
    moved = transfer_settings_of(config, search, share, B, 4)
    assert getattr(last, unit) == (None if unit == "trials" else share.each)
    assert getattr(moved.budget, unit) == (None if unit == "trials" else share.transfers / 4)
    assert (moved.models.task, moved.meta_model, moved.gate.champion_repeats) == (B, B, 3)


def test_a_budget_that_pays_for_no_search_says_what_would() -> None:
    config, sizes = parse({"gate": {"repeats": 1}}), Sizes(train=6, holdout=3)
    with pytest.raises(
        ConfigError, match=r"budget.trials: 40 for 8 searches leave 5 trials each, .* give (\d+) or more"
    ) as caught:
        share_of(asked(budget={"trials": 40}), config, sizes)
    needs = int(str(caught.value).rpartition("give ")[2].split()[0])
    assert share_of(asked(budget={"trials": needs}), config, sizes).each * 8 == needs


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "pairings.toml: no such file, and no option names models; write one"),
        ({"task": [A], "meta": [A, B]}, "options: budget: a grid has one for all its searches"),
        ({"task": [A], "meta": [A, B], "budget": {"usd": 1, "trials": 9}}, "trials and usd are given"),
        ({"task": [A], "meta": [A], "budget": {"usd": 1}}, "one pairing is no comparison"),
        ({"task": [A, A], "meta": [B], "budget": {"usd": 1}}, "made/a is named twice"),
        ({"task": ["a"], "meta": [A, B], "budget": {"usd": 1}}, "task: 'a' is not PROVIDER/NAME"),
        ({"task": [A], "meta": [A, B], "budget": {"usd": 1}, "name": "a b"}, "options: name: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, said: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as caught:
        spec.read(tmp_path, said)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_win_over_the_file_and_its_unknown_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / spec.FILE).write_text(f'task = ["{A}", "{B}"]\nmeta = ["{A}"]\nsearches = 4\n[budget]\nusd = 9.0\n')
    found = spec.read(tmp_path, {"meta": [A, B], "searches": None, "budget": {"trials": 7000}})
    assert (found.meta, found.searches, found.budget.unit) == ((A, B), 4, "trials")
    (tmp_path / spec.FILE).write_text('task = ["a/b"]\nmetas = ["a/b"]\n')
    with pytest.raises(ConfigError, match=r"pairings.toml: .*metas: there is no such key; did you mean 'meta'"):
        spec.read(tmp_path, {})
    (tmp_path / spec.FILE).write_text("task = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        spec.read(tmp_path, {})
    with pytest.raises(UserError, match="no such file"):
        spec.read(tmp_path, {}, tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"review": {"required": True}}, "review.required: a grid waits for nobody"),
        ({"study": {"continues": "study-1"}}, "study.continues: "),
        ({"budget": {"hours": 1}}, "budget.hours: "),
        ({"executor": {"kind": "ray"}}, "^executor.kind: the workers of a Ray cluster are started for one task model, "),
        ({"budget": {"usd": 5}}, "^budget.usd: a bound of one study, and a grid has one budget for all its searches, by --tr"),
        ({"budget": {"tokens": 5, "trials": 9}}, "^budget.tokens, budget.trials: bounds of one study, .*; leave them out"),
        ({"budget": {"task": {"usd": 1}}}, "^budget.task.usd: a bound .* under .budget. of pairings.toml; leave it out"),
        ({"budget": {"meta": {"tokens": 1, "usd": 1}}}, "^budget.meta.usd, budget.meta.tokens: "),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_with_a_grid_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        spec.check_settings(parse(settings))


def test_a_bound_of_candidates_goes_with_a_grid_and_holds_for_each_search() -> None:
    config = parse({"budget": {"candidates": 3}})
    spec.check_settings(config)
    wanted = asked()
    share = share_of(wanted, config, Sizes(train=6, holdout=3))
    assert settings_of(config, wanted.plan[0], share).budget.candidates == 3
