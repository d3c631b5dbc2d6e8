"""The gate's statistics against those of scipy and statsmodels, where these have the same test."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact, hypergeom, permutation_test  # type: ignore[import-untyped]
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.permutation import permutation_test as ours
from lorimer.meta_agent.gate.statistics.scores import Result, sample_variance, score

counts = st.integers(1, 12)


@given(counts, counts, st.data())
@settings(max_examples=80, deadline=None)
def test_one_task_of_pass_and_fail_is_fishers_exact_test(candidate: int, champion: int, data: st.DataObject) -> None:
    won, before = data.draw(st.integers(0, candidate)), data.draw(st.integers(0, champion))
    pair = Pair((1.0,) * won + (0.0,) * (candidate - won), (1.0,) * before + (0.0,) * (champion - before))
    table = [[won, candidate - won], [before, champion - before]]
    assert ours([pair]).p == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


@given(st.lists(st.tuples(counts, counts, st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_several_tasks_are_the_exact_test_of_cochran_mantel_and_haenszel(
    found: list[tuple[int, int, float, float]],
) -> None:
    """Its distribution is the convolution of the tasks' hypergeometric ones, here as scipy has those."""
    pairs, distribution, observed = [], np.array([1.0]), 0
    for candidate, champion, share, before_share in found:
        won, before = round(share * candidate), round(before_share * champion)
        pairs.append(Pair((1.0,) * won + (0.0,) * (candidate - won), (1.0,) * before + (0.0,) * (champion - before)))
        law = hypergeom(candidate + champion, won + before, candidate)
        distribution = np.convolve(distribution, law.pmf(np.arange(candidate + 1)))
        observed += won
    assert ours(pairs).p == pytest.approx(float(distribution[observed:].sum()), abs=1e-9)


graded = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=4)


@given(graded, graded)
@settings(max_examples=40, deadline=None)
def test_graded_rewards_of_one_task_are_scipys_permutation_test(candidate: list[float], champion: list[float]) -> None:
    theirs = permutation_test(
        (np.array(candidate), np.array(champion)),
        lambda x, y, axis: np.sum(x, axis=axis),
        permutation_type="independent",
        alternative="greater",
        n_resamples=10_000,
        vectorized=True,
    )
    assert ours([Pair(tuple(candidate), tuple(champion))]).p == pytest.approx(theirs.pvalue)


@given(st.integers(2, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_one_trial_a_task_has_wilsons_interval(trials: int, data: st.DataObject) -> None:
    won = data.draw(st.integers(0, trials))
    found = score(Result(f"t{number}", float(number < won)) for number in range(trials))
    low, high = proportion_confint(won, trials, method="wilson")
    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.randoms())
def test_a_variance_is_numpys_and_does_not_depend_on_the_order(values: list[float], dice: random.Random) -> None:
    shuffled = dice.sample(values, len(values))
    assert sample_variance(values) == sample_variance(shuffled)
    assert sample_variance(values) == pytest.approx(float(np.var(values, ddof=1)), abs=1e-12)
