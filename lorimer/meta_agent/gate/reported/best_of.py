"""How good the best of several trials of a harness is, from those that are stored. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lorimer.meta_agent.gate.statistics.scores import mean_of


def curve(rewards: Sequence[float], most: int) -> list[float]:
    """The expected best reward of 1, 2, … `most` draws of a harness on a task, without bias, from n stored ones; of more
    draws than there are rewards, the best of them all.

    For pass/fail it is pass@k, 1 - C(n-c, k)/C(n, k) with c passes (Chen et al., "Evaluating large language models trained on
    code", 2021). For graded rewards it is the same average over all choices of k of the n: the i-th smallest reward is the best
    of C(i-1, k-1) of these C(n, k).
    """
    ascending = sorted(rewards)
    own = [mean_of(rewards), *(_best_of_whole(ascending, k) for k in range(2, len(rewards) + 1))]
    return own + own[-1:] * (most - len(own))


def interpolated(values: Sequence[float], k: float) -> float:
    """A curve over 1, 2, … read at k, which may lie between: so many draws on average."""
    below = math.floor(k)
    value = values[below - 1]
    return value if k == below else value + (k - below) * (values[below] - value)


def _best_of_whole(ascending: Sequence[float], k: int) -> float:
    ways = math.comb(len(ascending), k)
    return math.fsum(reward * (math.comb(place, k - 1) / ways) for place, reward in enumerate(ascending))
