"""The pooled comparison: every trial of a harness that was not found to be better says something of the champion. Pure.

Most edits change little. So the trials of candidates that were rejected since the last promotion are, nearly, further trials of
the champion: a study that has tried twenty edits knows its champion from a thousand trials instead of two hundred, and finds the
next gain with a third of the trials. What that costs is the proof: a permutation test is exact only if both arms of an edit
without effect are alike, and rejected candidates are on the whole a little worse than the champion. Two things hold that in
bounds. Where the rejected are surely worse than the champion's own trials, theirs are lifted to its level (`champion_arm`), and
whatever passes is confirmed side by side with the champion in fresh trials (`gate.confirmation`), which no such thing can bend.

The statistic is the difference of weighted totals from what the tasks' pools let expect, in standard deviations of a draw without
replacement. A task's weight follows from the pool of both arms, which an exchange of trials between arms leaves as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from lorimer.meta_agent.gate.permutation import Pair
from lorimer.meta_agent.gate.scores import Result, Scored, by_task, scored
from lorimer.meta_agent.gate.weights import FINENESS, RARE

_SURE = 0.5
"""The squared number of standard errors up to which a difference of the rejected from the champion counts as none."""
EARLY = 1 - NormalDist().cdf(1.8)
"""The level at which a run may end before its plan does, for what is better: 1.8 standard deviations. With 2
the trials of a study rise by a twentieth for the same gains; the confirmation that follows takes the luck out again."""


def weight(rate: float) -> float:
    """What a reward counts on a task with this rate: the square root of how much of the luck in a total it takes away."""
    return 1 / math.sqrt(max(0.0, rate) + RARE)


def weights(known: Mapping[str, float]) -> dict[str, int]:
    """Each task's weight in whole units, for the looks at a run that is under way."""
    return {task: round(FINENESS * weight(rate)) for task, rate in known.items()}


def p_value(pairs: Sequence[Pair]) -> float:
    """The chance of a weighted total as high as the candidate's, were all trials of a task to fall to either arm alike: by the
    normal approximation. 1 where the tasks tell nothing."""
    won = spread = 0.0
    for pair in pairs:
        more, luck = pair.once(surplus)
        won += more
        spread += luck
    return 1.0 if spread <= 1e-12 else 1 - NormalDist().cdf(won / math.sqrt(spread))


def surplus(pair: Pair) -> tuple[float, float]:
    """How much more the candidate has won on a task than its pool lets expect, weighted, and the variance of that."""
    mine, pool = len(pair.candidate), pair.pool
    size = len(pool)
    if not pair.candidate or not pair.champion:
        return 0.0, 0.0
    total = math.fsum(pool)
    rate = total / size
    variance = max(0.0, math.fsum(reward * reward for reward in pool) - total * rate) / (size - 1)
    counted = weight(rate)
    return (
        counted * (math.fsum(pair.candidate) - mine * rate),
        counted * counted * mine * (size - mine) / size * variance,
    )


def champion_arm(own: Sequence[Result], rejected: Sequence[Result]) -> list[Result]:
    """The champion's own trials, and those of the candidates that it withstood.

    Where the rejected are worse, task by task, by more than chance lets expect, their task means are multiplied by what brings
    them to the champion's level, less what chance explains (a positive-part James-Stein estimate of the difference). So a row of
    edits that break things does not make the champion look weak.
    """
    theirs = scored(by_task(rejected))
    short = _shortfall(scored(by_task(own)), theirs)
    if not short:
        return [*own, *rejected]
    missing = {task: _missing(each.total / len(each.rewards), 1 + short) for task, each in theirs.items()}
    lifted = (r if r.reward is None else Result(r.task, r.reward + (1 - r.reward) * missing[r.task]) for r in rejected)
    return [*own, *lifted]


def _missing(mean: float, times: float) -> float:
    """The share of what its trials miss of a full reward that brings a task's mean to so many `times` itself, at most to 1."""
    return 0.0 if mean >= 1 else (min(1.0, mean * times) - mean) / (1 - mean)


def _shortfall(own: Mapping[str, Scored], rejected: Mapping[str, Scored]) -> float:
    """By which share of their rewards the rejected fall short of the champion's, beyond chance; 0 where they do not."""
    mine = theirs = variance = 0.0
    for task in own.keys() & rejected.keys():
        n, m = len(own[task].rewards), len(rejected[task].rewards)
        share = n * m / (n + m)
        mine += share * own[task].total / n
        theirs += share * rejected[task].total / m
        rate = (own[task].total + rejected[task].total + 0.25) / (n + m + 0.5)
        square = (own[task].squares + rejected[task].squares + 0.25) / (n + m + 0.5)
        variance += share * share * max(0.0, square - rate * rate) * (1 / n + 1 / m)
    short = mine - theirs
    if short <= 0 or theirs <= 0:
        return 0.0
    return max(0.0, 1 - _SURE * variance / (short * short)) * short / theirs
