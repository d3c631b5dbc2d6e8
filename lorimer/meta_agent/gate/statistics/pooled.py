"""The pooled comparison: every trial of a harness that was not found to be better says something of the champion. Pure.

Most edits change little. So the trials of candidates that were rejected since the last promotion are, nearly, further trials of
the champion: a study that has tried twenty edits knows its champion from a thousand trials instead of two hundred, and finds the
next gain with a third of the trials. What that costs is the proof: a permutation test is exact only if both arms of an edit
without effect are alike, and rejected candidates are on the whole a little worse than the champion. Two things hold that in
bounds. Where the rejected did worse than the champion's own trials, theirs are lifted to its level (`champion_arm`), and whatever
passes is confirmed side by side with the champion in fresh trials (`gate.confirmation`), which no such thing can bend.

The statistic is the difference of weighted totals from what the tasks' pools let expect, in standard deviations of a draw without
replacement. A task's weight follows from the pool of both arms, which an exchange of trials between arms leaves as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.scores import Result, Scored, by_task, scored
from lorimer.meta_agent.gate.statistics.weights import FINENESS, RARE


def weight(rate: float) -> float:
    """What a reward counts on a task with this rate: the square root of how much of the luck in a total it takes away."""
    return 1 / math.sqrt(max(0.0, rate) + RARE)


def weights(known: Mapping[str, float]) -> dict[str, int]:
    """Each task's weight in whole units, for the looks at a run that is under way."""
    return {task: round(FINENESS * weight(rate)) for task, rate in known.items()}


@dataclass(frozen=True)
class PooledArm:
    """The champion's arm of a pooled comparison."""

    trials: Sequence[Result]
    doubt: float = 0.0
    """The relative standard error of its level, beyond what the number of its trials says: where the rejected were lifted, that
    level is the champion's own, and known from its own trials alone."""


def p_value(pairs: Sequence[Pair], doubt: float = 0.0) -> float:
    """The chance of a weighted total as high as the candidate's, were all trials of a task to fall to either arm alike: by the
    normal approximation. 1 where the tasks tell nothing.

    Args:
        doubt: that of the champion's arm (`PooledArm`).
    """
    won = spread = level = 0.0
    for pair in pairs:
        more, luck, expected = pair.once(surplus)
        won += more
        spread += luck
        level += expected
    spread += (doubt * level) ** 2
    return 1.0 if spread <= 1e-12 else 1 - NormalDist().cdf(won / math.sqrt(spread))


def surplus(pair: Pair) -> tuple[float, float, float]:
    """How much more the candidate has won on a task than its pool lets expect, weighted, the variance of that, and how much of
    what is expected rests on the champion's arm."""
    mine, pool = len(pair.candidate), pair.pool
    size = len(pool)
    if not pair.candidate or not pair.champion:
        return 0.0, 0.0, 0.0
    total = math.fsum(pool)
    rate = total / size
    variance = max(0.0, math.fsum(reward * reward for reward in pool) - total * rate) / (size - 1)
    counted, moved = weight(rate), mine * (size - mine) / size
    return (
        counted * (math.fsum(pair.candidate) - mine * rate),
        counted * counted * moved * variance,
        counted * moved * rate,
    )


def champion_arm(own: Sequence[Result], rejected: Sequence[Result]) -> PooledArm:
    """The champion's own trials, and those of the candidates that it withstood.

    Where the rejected did worse on the same tasks, their task means are multiplied by what brings them to the champion's level:
    a row of edits that break things does not make it look weak. They still say how hard each task is, but how good the champion
    is its own trials alone say then, which is the arm's doubt.
    """
    mine, theirs = scored(by_task(own)), scored(by_task(rejected))
    short, doubt = _shortfall(mine, theirs)
    if not short:
        return PooledArm([*own, *rejected])
    missing = {task: _missing(each.total / len(each.rewards), 1 + short) for task, each in theirs.items()}
    lifted = (r if r.reward is None else Result(r.task, r.reward + (1 - r.reward) * missing[r.task]) for r in rejected)
    return PooledArm([*own, *lifted], doubt)


def _missing(mean: float, times: float) -> float:
    """The share of what its trials miss of a full reward that brings a task's mean to so many `times` itself, at most to 1."""
    return 0.0 if mean >= 1 else (min(1.0, mean * times) - mean) / (1 - mean)


def _shortfall(own: Mapping[str, Scored], rejected: Mapping[str, Scored]) -> tuple[float, float]:
    """The share of their rewards by which the rejected fall short of the champion's on the same tasks, and the relative standard
    error of the champion's; 0 and 0 where they do not."""
    mine = theirs = variance = 0.0
    # In order of name: a set's order differs from process to process, and with it the last digit of a sum.
    for task in sorted(own.keys() & rejected.keys()):
        n, m = len(own[task].rewards), len(rejected[task].rewards)
        share = n * m / (n + m)
        mine += share * own[task].total / n
        theirs += share * rejected[task].total / m
        rate = (own[task].total + rejected[task].total + 0.25) / (n + m + 0.5)
        square = (own[task].squares + rejected[task].squares + 0.25) / (n + m + 0.5)
        variance += share * share * max(0.0, square - rate * rate) / n
    short = mine - theirs
    return (short / theirs, math.sqrt(variance) / mine) if short > 0 and theirs > 0 else (0.0, 0.0)
