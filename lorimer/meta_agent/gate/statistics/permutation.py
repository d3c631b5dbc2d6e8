"""The stratified permutation test on weighted total reward. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lorimer.meta_agent.gate.statistics.scores import mean_of

if TYPE_CHECKING:
    from numpy import complex128, float64, int16, intp
    from numpy.typing import NDArray

Found = TypeVar("Found")

TIE = 1e-9
"""Rewards are sums of floats from verifiers; differences below this are ties."""
_MAX_DENOMINATOR = 32
"""Rewards that are multiples of 1/d, d up to this, are convolved exactly; beyond, the lattice is too fine to be quick."""
_MAX_WORK = 400_000
"""Steps that listing one task's sums may take (about 40 ms); beyond it Monte-Carlo is quicker."""
_MAX_POINTS = 1 << 17
"""Points of the transform; a total that is spread wider is drawn, not computed."""
_MAX_CELLS = 4_000_000
"""Points times different tasks: about 0.3 s."""
_KEPT_POINTS = 1 << 13
"""Points up to which laws' transforms are kept for later tests: 512 of them then take at most 33 MB. In a study of 700
candidates one test in twenty has over 4,096 points, and nearly half of all transforms is of these."""
_NEGLIGIBLE = 1e-12
"""What an exact p may be off by, and the smallest that is given."""
_MAX_SUBSETS = 5_000
"""Ways to split one task's trials that are listed (10 trials give 252); beyond it splits are drawn."""


@dataclass(frozen=True)
class Pair:
    """One task's scored rewards in both arms."""

    candidate: tuple[float, ...]
    champion: tuple[float, ...]
    planned: int = 0
    """How many trials the candidate's arm will have; 0 where it has them all."""
    weight: int = 1
    """What a reward of this task counts in the total."""
    shared: bool = field(default=False, compare=False)
    """Whether other runs hold this pair too (`pair_of`). Draws are not kept of it: they take 80 KB each."""

    @cached_property
    def means(self) -> tuple[float, float]:
        """The mean reward of both arms, which each must have."""
        return mean_of(self.candidate), mean_of(self.champion)

    @cached_property
    def pool(self) -> tuple[float, ...]:
        """The rewards of both arms."""
        return self.candidate + self.champion

    @cached_property
    def values(self) -> frozenset[float]:
        """The rewards that there are in either arm."""
        return frozenset(self.pool)

    @cached_property
    def informative(self) -> bool:
        """A task whose trials all came out alike, or that one arm lacks, adds a constant and no information."""
        return bool(self.candidate and self.champion) and max(self.pool) - min(self.pool) > TIE

    @cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    def once(self, find: Callable[..., Found], *given: Hashable) -> Found:
        """What `find` gives of this pair, found the first time that it is asked for: of a run that grows, a trial changes one
        pair, and the tests of a longer run share all the others with those of a shorter one."""
        key = (find, *given)
        if key not in self._kept:
            self._kept[key] = find(self, *given)
        found: Found = self._kept[key]
        return found


@lru_cache(maxsize=8192)
def pair_of(candidate: tuple[float, ...], champion: tuple[float, ...], planned: int, weight: int) -> Pair:
    """The pair of these rewards: the same object for the same ones, so that what tests find of it is found once.

    A champion meets hundreds of candidates, and a forecast's hundreds of simulated ones, which have much the same rewards on a
    task: in a study of 700 candidates and 87 tasks of five trials each, pass or fail, 95 of 100 pairs have been there before.
    """
    return Pair(candidate, champion, planned, weight, shared=True)


@dataclass(frozen=True)
class PValue:
    """A one-sided p-value and how it was had."""

    p: float
    method: Literal["exact", "monte-carlo"]
    error: float = 0.0
    """Standard error of the Monte-Carlo estimate."""
    draws: int = 0
    slack: Callable[[float], float] = field(default=lambda level: 0.0, compare=False, repr=False)
    """How far the candidate's weighted total may fall short of the observed one before p exceeds a level, at most. A reward
    of the candidate that is lower by d, or one of the champion that is higher by d, takes at most its weight times d of it: what
    trials exchange arms for moves the same way, by as much at most."""


def permutation_test(pairs: Sequence[Pair], *, seed: int = 0, draws: int = 10_000) -> PValue:
    """P(weighted total of the candidate's rewards >= the observed one) when trials exchange arms within each task.

    Exact, by the product of the tasks' transforms, where rewards lie on a lattice of at most 1/32 and the work is small
    (always so for pass/fail); right to 1e-11. Else Monte-Carlo with (1 + hits) / (1 + draws), which is itself a valid p-value.
    """
    mixed = [pair for pair in pairs if pair.informative]
    if not mixed:
        return PValue(1.0, "exact")
    denominator = _denominator(mixed)
    if denominator is not None:
        exact = _exact(mixed, denominator)
        if exact is not None:
            return exact
    return _monte_carlo(pairs, seed, draws)


def surely_exact(values: frozenset[float], tasks: int, span: int, work: int) -> bool:
    """Whether the test of so many tasks is exact, whichever of these rewards their trials have.

    Args:
        values: all rewards that a trial may have.
        span: the sum over tasks of weight times the candidate's trials.
        work: the largest, over tasks, of the candidate's trials times the square of both arms' trials.
    """
    fine = _fineness(values)
    if fine is None or fine * work > _MAX_WORK:
        return False
    points = 2 * (fine * span + 1)  # rounded up to a power of 2
    return points <= _MAX_POINTS and points * tasks <= _MAX_CELLS


def import_ahead() -> None:
    """Import numpy with all that the test takes of it, where nothing waits for it yet."""
    permutation_test([Pair((1.0,), (0.0,))])


def _denominator(pairs: Sequence[Pair]) -> int | None:
    """The smallest d for which all rewards are multiples of 1/d."""
    return _fineness(frozenset().union(*{pair.values for pair in pairs}))


@lru_cache(maxsize=1024)
def _fineness(values: frozenset[float]) -> int | None:
    for d in range(1, _MAX_DENOMINATOR + 1):
        if all(abs(value * d - round(value * d)) < TIE for value in values):
            return d
    return None


def _exact(pairs: Sequence[Pair], denominator: int) -> PValue | None:
    """The tail's probability, or `None` where it would take too long.

    The distribution of a sum is the product of the parts' transforms. Tasks with the same pool of rewards, number of
    candidate trials and weight share one, raised to the power of how many they are; with pass/fail rewards there are few such
    classes however many tasks.
    """
    observed = 0
    classes: Counter[_Class] = Counter()
    for pair in pairs:
        drawn, won = pair.once(_class_of, denominator)
        observed += won
        classes[drawn] += 1

    step = math.gcd(*(weight * math.gcd(*pool) for pool, _, weight in classes))
    mean = spread = 0.0
    span = highest = 0
    for (pool_key, taken, weight), count in classes.items():
        if sum(pool_key) * len(pool_key) * taken > _MAX_WORK:
            return None
        scale, size, centre = weight / step, len(pool_key), sum(pool_key) / len(pool_key)
        mean += count * scale * taken * centre
        spread += count * scale * scale * taken * (sum(value * value for value in pool_key) / size - centre * centre)
        span += count * sum(pool_key[-taken:]) * weight // step
        highest = max(highest, pool_key[-1] * weight // step)
    # The transform has a period: what lies beyond half of it on either side is counted at the other end. Bernstein's bound,
    # which holds for draws without replacement too (Hoeffding 1963), says how far that must be to weigh under _NEGLIGIBLE.
    third = -math.log(_NEGLIGIBLE) * highest / 3
    reach = third + math.sqrt(third * third - 2 * math.log(_NEGLIGIBLE) * spread)
    points = 1 << max(1, math.ceil(math.log2(min(span + 1, 2 * reach + 2))))
    if points > _MAX_POINTS or points * len(classes) > _MAX_CELLS:
        return None
    parts = [((pool_key, taken, weight, step), count) for (pool_key, taken, weight), count in classes.items()]
    first = 0 if span < points else math.floor(mean) - points // 2
    sums, at = _sums(parts, points, first), observed // step - first

    def slack(level: float) -> float:
        """The slack in rewards: the lattice's steps down to the lowest sum whose tail is within the level."""
        lowest = int((sums[::-1].cumsum() <= level).sum())
        return max(0, at - (points - lowest)) * step / denominator

    p = 1.0 if at <= 0 else min(1.0, max(_NEGLIGIBLE, float(sums[at:].sum())))
    return PValue(p, "exact", slack=slack)


def _class_of(pair: Pair, denominator: int) -> tuple[_Class, int]:
    """What a task's law follows from, and the candidate's weighted sum there."""
    pool, won = _whole(pair.candidate, pair.champion, denominator)
    return (pool, len(pair.candidate), pair.weight), pair.weight * won


@lru_cache(maxsize=8192)  # a study's champion meets hundreds of candidates, which have much the same rewards on a task
def _whole(candidate: tuple[float, ...], champion: tuple[float, ...], denominator: int) -> tuple[tuple[int, ...], int]:
    """One task's pool of rewards as whole numbers from 0 on, and the candidate's sum of them."""
    mine = [round(reward * denominator) for reward in candidate]
    pool = sorted(mine + [round(reward * denominator) for reward in champion])
    base = pool[0]  # a shift of all rewards of a task shifts its sum by a constant
    return tuple(value - base for value in pool), sum(mine) - base * len(mine)


_Class = tuple[tuple[int, ...], int, int]
"""A pool of whole rewards, how many are drawn of it, and the weight of one."""
_Law = tuple[tuple[int, ...], int, int, int]
"""A pool of whole rewards, how many are drawn of it, the weight of one, and what weighted sums are divided by."""


def _sums(parts: Sequence[tuple[_Law, int]], points: int, first: int) -> NDArray[float64]:
    """The distribution of the sum of independent integers, `count` of each law, at `first` .. `first + points - 1`."""
    import numpy  # 0.1 s, and only a study needs it

    transform = _kept_transform if points <= _KEPT_POINTS else _transform
    powers = [(transform(law, points), count) for law, count in parts]
    product = numpy.ones(points // 2 + 1, dtype=complex)
    while powers:
        odd = [law for law, count in powers if count % 2]
        if odd:
            part = odd[0].copy()
            for law in odd[1:]:
                part *= law
            product *= part
        powers = [(law**2, count // 2) for law, count in powers if count > 1]
    sums = numpy.fft.irfft(product, points)
    return numpy.roll(sums, -first) if first else sums


def _transform(law: _Law, points: int) -> NDArray[complex128]:
    """A law's transform, with its sums counted modulo `points`."""
    import numpy

    pool, taken, weight, step = law
    shares = numpy.zeros(points)
    for total, share in _subset_sums(pool, taken).items():
        shares[total * weight // step % points] += share
    return numpy.fft.rfft(shares)


_kept_transform = lru_cache(maxsize=512)(_transform)


@lru_cache(maxsize=4096)  # the prefixes that futility looks at share most of their classes
def _subset_sums(pool: tuple[int, ...], taken: int) -> Mapping[int, float]:
    """The distribution of the sum of `taken` of the pool's values, drawn without replacement."""
    ways: list[Counter[int]] = [Counter() for _ in range(taken + 1)]
    ways[0][0] = 1
    for seen, value in enumerate(pool):
        for size in range(min(seen + 1, taken), 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + value] += count
    everything = math.comb(len(pool), taken)
    return {total: count / everything for total, count in ways[taken].items()}


def _monte_carlo(pairs: Sequence[Pair], seed: int, draws: int) -> PValue:
    """Each task is drawn for in its turn, told by its draws or not: raising a candidate's reward can then only lower p, draw by
    draw, which is what makes futility monotone for graded rewards as well.
    """
    import numpy

    lots = _lots_of(pairs, seed, draws)
    draws = lots[0].draws
    observed, totals = 0.0, numpy.zeros(draws)
    for pair, lot in zip(pairs, lots, strict=True):
        if pair.informative:
            observed += pair.weight * math.fsum(pair.candidate)
            totals += _drawn(pair, lot) if pair.shared else pair.once(_drawn, lot)

    def slack(level: float) -> float:
        """Down to the highest draw that may not count as a hit."""
        allowed = math.floor(level * (1 + draws)) - 1
        return max(0.0, observed - float(numpy.sort(totals)[-1 - allowed]) - 2 * TIE) if 0 <= allowed < draws else 0.0

    hits = int((totals >= observed - TIE).sum())
    p = (1 + hits) / (1 + draws)
    return PValue(p, "monte-carlo", math.sqrt(p * (1 - p) / draws), draws, slack)


@dataclass(frozen=True, eq=False)
class Lot:
    """One task's draws: whichever rewards its trials have, these of them fall to the candidate."""

    taken: NDArray[int16]
    """Each draw's split by its number among those of `_subsets`; beyond `listed`, by the positions of the taken."""
    size: int
    """The size of the pool."""
    count: int
    """How many of it are taken."""
    listed: bool

    @property
    def draws(self) -> int:
        return len(self.taken)


def _drawn(pair: Pair, lot: Lot) -> NDArray[float64]:
    """The candidate's weighted sum in each draw."""
    import numpy

    rewards = pair.weight * numpy.array(pair.pool)
    if lot.listed:
        sums: NDArray[float64] = rewards[_subsets(lot.size, lot.count)].sum(axis=1)[lot.taken]
        return sums
    several: NDArray[float64] = rewards[lot.taken].sum(axis=1)
    return several


def _lots_of(pairs: Sequence[Pair], seed: int, draws: int) -> Sequence[Lot]:
    # 2 million draws of one task's split take about 0.1 s; under 1,000 draws a p near 0.1 is off by over 0.01.
    draws = max(1_000, min(draws, 2_000_000 // len(pairs)))
    return _lots(tuple((len(pair.pool), len(pair.candidate)) for pair in pairs), seed, draws)


@lru_cache(maxsize=2)  # 4 MB each, rarely 20; the best cases of a run share one
def _lots(shapes: tuple[tuple[int, int], ...], seed: int, draws: int) -> Sequence[Lot]:
    """The draws of tasks whose pools have these sizes, and of which so many trials are the candidate's."""
    import numpy

    stream = numpy.random.RandomState(seed % 2**32)  # whose numbers no version of numpy changes
    lots = []
    for size, count in shapes:
        ways = math.comb(size, count)
        listed = ways <= _MAX_SUBSETS
        luck = stream.random_sample(draws if listed else (draws, size))
        taken = (luck * ways).astype(numpy.int16) if listed else luck.argsort(axis=1)[:, :count].astype(numpy.int16)
        lots.append(Lot(taken, size, count, listed))
    return lots


@lru_cache(maxsize=64)
def _subsets(size: int, taken: int) -> NDArray[intp]:
    """Positions of every choice of `taken` out of `size`, a row each."""
    import numpy

    return numpy.array(list(combinations(range(size), taken)))
