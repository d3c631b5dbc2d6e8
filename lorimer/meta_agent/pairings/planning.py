"""`lorimer power --pairings`: the smallest difference between same and cross that a grid can tell, and its price, beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorimer.benchmarks.split import split
from lorimer.config.settings import Config
from lorimer.errors import ConfigError
from lorimer.meta_agent.forecast import panel
from lorimer.meta_agent.forecast.price import PriceEstimate, Range, estimate
from lorimer.meta_agent.pairings import analysis
from lorimer.meta_agent.pairings.dice import Played, Tendency, expected, grid
from lorimer.meta_agent.pairings.spec import (
    SearchBudget,
    Sizes,
    Spec,
    candidates_paid,
    check_settings,
    settings_of,
    share_of,
)
from lorimer.meta_agent.pairings.values import Pairing
from lorimer.meta_agent.workspace.suite import load_suite

WANTED = 0.8
"""The chance with which a difference counts as detectable."""
GRIDS = 200
"""Simulated grids for each difference: the chance is then known to 3 points."""
LIFT = 0.4
"""What a cure adds to a task's rate, about as much as one of the simulated models' does."""
GAINS = (0.05, 0.10)
"""Gains of the cross pairings on the sealed tasks that are tried: a small and a middling one. Searches whose gains are larger
differ more, and a difference between them is harder to tell."""
MOST = 0.5
STEP = 0.01


@dataclass(frozen=True)
class Detectable:
    """The smallest difference that a grid would tell, at one gain of the cross pairings."""

    gain: float
    difference: float | None
    """The smallest difference that is told with chance `WANTED`, in mean reward; `None` where none is that there is room for."""
    chance: float
    """The chance that it is told; where there is none, that of the largest difference that was tried."""
    half: float
    """Half the width of the 90% interval, on average, where there is no difference."""


@dataclass(frozen=True)
class GridForecast:
    """What `lorimer power --pairings` says."""

    cells: int
    searches: int
    """Searches in each cell."""
    train: int
    holdout: int
    share: SearchBudget
    whole: float
    candidates: int
    """That a search is taken to try."""
    source: str
    """Where the tasks' rates are from."""
    detectable: tuple[Detectable, ...]
    """Empty where one search per pairing tells nothing."""
    price: Range
    """Dollars of the whole grid, were no search ended by its share."""
    tokens: Range
    warnings: tuple[str, ...] = ()


def plan(root: Path, config: Config, spec: Spec, *, assume: str | None = None) -> GridForecast:
    """What this grid could detect, and its price. No model is called. Raises ConfigError, UserError."""
    check_settings(config)
    suite = load_suite(root, config)
    sides = split(suite.tasks, config.split, config.study.seed, base=root)
    sizes = Sizes(len(sides.train), len(sides.holdout))
    if not sizes.holdout:
        raise ConfigError(
            "split.holdout: a grid is judged on sealed tasks, and none is sealed; set it to a share over 0"
        )
    share = share_of(spec, config, sizes)
    candidates = candidates_paid(config, sizes, share)
    rates = panel.parse_rates(assume) if assume else [step / 10 for step in range(10)]
    source = f"pass rates as assumed: {assume}" if assume else "tasks assumed to be solved at any rate, evenly"
    priced = [estimate(root, settings_of(config, search, share)) for search in spec.plan if search.number == 1]
    warnings = []
    if spec.searches == 1:
        warnings.append(
            "one search per pairing does not tell how much searches differ by luck: no difference can be told"
        )
    if not all(any(p.same for p in spec.pairings if p.task == task) for task in spec.task):
        warnings.append("a task model that is no meta model has no pairing with itself in this grid")
    return GridForecast(
        cells=len(spec.pairings),
        searches=spec.searches,
        train=sizes.train,
        holdout=sizes.holdout,
        share=share,
        whole=spec.budget.amount,
        candidates=candidates,
        source=source,
        detectable=_detectable(
            spec, Played(spec.searches, sizes.holdout, config.gate.holdout_repeats, candidates, rates)
        ),
        price=_sum([each.total.cost.usd.times(spec.searches, spec.searches) for each in priced]),
        tokens=_sum([each.total.cost.tokens.times(spec.searches, spec.searches) for each in priced]),
        warnings=(*warnings, *_ends(priced)),
    )


def _detectable(spec: Spec, played: Played) -> tuple[Detectable, ...]:
    if played.searches == 1 or not (any(p.same for p in spec.pairings) and any(not p.same for p in spec.pairings)):
        return ()
    return tuple(smallest(spec.pairings, played, gain) for gain in GAINS)


def smallest(pairings: Sequence[Pairing], played: Played, gain: float, grids: int = GRIDS) -> Detectable:
    """The smallest difference that is told with chance `WANTED`, by halving over whole points."""
    cross = tendency(gain, played)
    tried: dict[int, tuple[float, float]] = {}

    def chance(points: int) -> float:
        if points not in tried:
            same = tendency(gain + points * STEP, played)
            tried[points] = _told({p: same if p.same else cross for p in pairings}, played, grids)
        return tried[points][0]

    room = expected(Tendency(1.0, 1.0), 200, played.rates) - gain
    high = int(min(MOST, room) / STEP)
    half = (chance(0), tried[0][1])[1]
    if high < 1 or chance(high) < WANTED:
        return Detectable(gain, None, chance(max(high, 0)), half)
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= WANTED else (middle, high)
    return Detectable(gain, high * STEP, chance(high), half)


def tendency(gain: float, played: Played) -> Tendency:
    """A cell whose searches gain so much on average: by cures of `LIFT` that come often enough, or by larger ones."""
    lift = LIFT
    while expected(Tendency(1.0, lift), played.candidates, played.rates) < gain and lift < 1.0:
        lift = min(1.0, lift + 0.05)
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if expected(Tendency(middle, lift), played.candidates, played.rates) < gain:
            low = middle
        else:
            high = middle
    return Tendency(high, lift)


def _told(cells: Mapping[Pairing, Tendency], played: Played, grids: int) -> tuple[float, float]:
    """How often a grid tells a difference, and half the width of its interval on average."""
    import numpy as np

    told, width = 0, 0.0
    dice = np.random.default_rng(0)
    for number in range(grids):
        found = analysis.contrast(grid(cells, played, dice), seed=number)
        told += found.verdict == "more"
        width += 0.0 if found.interval is None else (found.interval.high - found.interval.low) / 2
    return told / grids, width / grids


def _sum(parts: Sequence[Range]) -> Range:
    total = Range(0.0, 0.0)
    for part in parts:
        total = total + part
    return total


def _ends(priced: Sequence[PriceEstimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(said for each in priced for said in each.ends))
