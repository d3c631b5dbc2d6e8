"""The stratified permutation test on total reward. Pure Python: importing scipy would cost a second and 100 MB."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations
from operator import add, mul
from typing import Literal

TIE = 1e-9
"""Rewards are sums of floats from verifiers; differences below this are ties."""
_NEGLIGIBLE = 1e-16
"""Probabilities cut from the ends of a distribution. A few thousand are cut at most, so p is right to 1e-12."""
_MAX_DENOMINATOR = 32
"""Rewards that are multiples of 1/d, d up to this, are convolved exactly; beyond, the lattice is too fine to be quick."""
_MAX_WORK = 4_000_000
"""Multiplications that an exact convolution may take (about 0.2 s); beyond it Monte-Carlo is quicker."""
_MAX_SUBSETS = 5_000
"""Ways to split one task's trials that are listed (10 trials give 252); beyond it splits are drawn."""


@dataclass(frozen=True)
class Pair:
    """One task's scored rewards in both arms."""

    candidate: tuple[float, ...]
    champion: tuple[float, ...]
    planned: int = 0
    """How many trials the candidate's arm will have; 0 where it has them all."""


@dataclass(frozen=True)
class PValue:
    """A one-sided p-value and how it was had."""

    p: float
    method: Literal["exact", "monte-carlo"]
    error: float = 0.0
    """Standard error of the Monte-Carlo estimate."""
    draws: int = 0


def permutation_test(pairs: Sequence[Pair], *, seed: int = 0, draws: int = 10_000) -> PValue:
    """P(total of the candidate's rewards >= the observed one) when trials exchange arms within each task.

    Exact, by convolution of the tasks' distributions, where rewards lie on a lattice of at most 1/32 and the work is
    small (always so for pass/fail); else Monte-Carlo with (1 + hits) / (1 + draws), which is itself a valid p-value.
    """
    mixed = [pair for pair in pairs if _informative(pair)]
    if not mixed:
        return PValue(1.0, "exact")
    denominator = _denominator(mixed)
    if denominator is not None:
        exact = _exact(mixed, denominator)
        if exact is not None:
            return PValue(exact, "exact")
    return _monte_carlo(pairs, seed, draws)


def _informative(pair: Pair) -> bool:
    """A task whose trials all came out alike, or that one arm lacks, adds a constant and no information."""
    if not pair.candidate or not pair.champion:
        return False
    pool = pair.candidate + pair.champion
    return max(pool) - min(pool) > TIE


def _denominator(pairs: Sequence[Pair]) -> int | None:
    """The smallest d for which all rewards are multiples of 1/d."""
    values = {reward for pair in pairs for reward in pair.candidate + pair.champion}
    for d in range(1, _MAX_DENOMINATOR + 1):
        if all(abs(value * d - round(value * d)) < TIE for value in values):
            return d
    return None


def _exact(pairs: Sequence[Pair], denominator: int) -> float | None:
    """The exact tail probability, or `None` where it would take too long.

    Tasks with the same pool of rewards and the same number of candidate trials share a distribution: it is raised to the
    power of how many they are, by squaring. With pass/fail rewards there are few such classes however many tasks.
    """
    observed = 0
    classes: Counter[tuple[tuple[int, ...], int]] = Counter()
    for pair in pairs:
        candidate = [round(reward * denominator) for reward in pair.candidate]
        pool = sorted(candidate + [round(reward * denominator) for reward in pair.champion])
        base = pool[0]  # a shift of all rewards of a task shifts its sum by a constant
        observed += sum(candidate) - base * len(candidate)
        classes[tuple(value - base for value in pool), len(candidate)] += 1

    parts: list[_Mass] = []
    for (pool_key, taken), count in classes.items():
        if sum(pool_key) * len(pool_key) * taken > _MAX_WORK // 10:
            return None
        parts.append(_class_mass(pool_key, taken, count))
    work, width = 0, 0
    for part in sorted(parts, key=lambda mass: len(mass.weights)):
        work += width * len(part.weights)
        width += len(part.weights)
    if work > _MAX_WORK:
        return None
    *rest, largest = sorted(parts, key=lambda mass: len(mass.weights))
    total = _Mass(0, (1.0,))
    for part in rest:
        total = total.convolve(part)
    return total.tail_with(largest, observed)


@dataclass(frozen=True)
class _Mass:
    """A distribution on the integers: `weights[i]` is the probability of `start + i`."""

    start: int
    weights: tuple[float, ...]

    def convolve(self, other: _Mass) -> _Mass:
        long, short = (self, other) if len(self.weights) >= len(other.weights) else (other, self)
        kernel = short.weights[::-1]
        pad = (0.0,) * (len(kernel) - 1)
        padded = pad + long.weights + pad
        size = len(long.weights) + len(kernel) - 1
        out = [sum(map(mul, kernel, padded[i : i + len(kernel)])) for i in range(size)]
        first, last = 0, size
        while out[first] < _NEGLIGIBLE and first < last - 1:
            first += 1
        while out[last - 1] < _NEGLIGIBLE and last - 1 > first:
            last -= 1
        return _Mass(self.start + other.start + first, tuple(out[first:last]))

    def tail_with(self, other: _Mass, at_least: int) -> float:
        """P(self + other >= at_least), without building their convolution."""
        tail = [*accumulate(reversed(other.weights))][::-1]
        total = 0.0
        for value, weight in enumerate(self.weights, self.start):
            index = at_least - value - other.start
            if index < len(tail):
                total += weight * tail[max(0, index)]
        return min(1.0, total)


@lru_cache(maxsize=512)  # the prefixes that futility looks at share most of their classes
def _class_mass(pool: tuple[int, ...], taken: int, count: int) -> _Mass:
    """The distribution of the candidate's total over `count` tasks with the same pool."""
    return _power(_subset_sums(pool, taken), count)


def _power(mass: _Mass, count: int) -> _Mass:
    result, square = None, mass
    while True:
        if count & 1:
            result = square if result is None else result.convolve(square)
        count >>= 1
        if not count:
            assert result is not None
            return result
        square = square.convolve(square)


def _subset_sums(pool: tuple[int, ...], taken: int) -> _Mass:
    """The distribution of the sum of `taken` of the pool's values, drawn without replacement."""
    ways: list[Counter[int]] = [Counter() for _ in range(taken + 1)]
    ways[0][0] = 1
    for seen, value in enumerate(pool):
        for size in range(min(seen + 1, taken), 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + value] += count
    everything = math.comb(len(pool), taken)
    low, high = min(ways[taken]), max(ways[taken])
    return _Mass(low, tuple(ways[taken][total] / everything for total in range(low, high + 1)))


def _monte_carlo(pairs: Sequence[Pair], seed: int, draws: int) -> PValue:
    """Every task has its own stream of splits, by position: raising a candidate's reward can then only lower p, draw by
    draw, which is what makes futility monotone for graded rewards as well.
    """
    # 2 million draws of one task's split take about a second; under 1,000 draws a p near 0.1 is off by over 0.01.
    draws = max(1_000, min(draws, 2_000_000 // len(pairs)))
    observed = math.fsum(reward for pair in pairs for reward in pair.candidate)
    totals = [0.0] * draws
    for position, pair in enumerate(pairs):
        pool, taken = pair.candidate + pair.champion, len(pair.candidate)
        if not _informative(pair):
            observed -= math.fsum(pair.candidate)
            continue
        stream = random.Random(f"{seed}/{position}")  # noqa: S311  - statistics, not secrets
        if math.comb(len(pool), taken) <= _MAX_SUBSETS:
            drawn = stream.choices([math.fsum(subset) for subset in combinations(pool, taken)], k=draws)
        else:
            drawn = [math.fsum(stream.sample(pool, taken)) for _ in range(draws)]
        totals = list(map(add, totals, drawn))
    hits = sum(total >= observed - TIE for total in totals)
    p = (1 + hits) / (1 + draws)
    return PValue(p, "monte-carlo", math.sqrt(p * (1 - p) / draws), draws)
