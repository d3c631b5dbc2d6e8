"""Makes cells of searches, and of cells the contrast `same - cross`, each with a 90% interval. Pure and seeded.

Two things are luck: which searches were made, and which tasks are sealed. A cell's searches differ by the first, and all cells
share the second. So searches are drawn anew within cells, tasks are drawn anew for all cells at once, and the interval is made
of both. Where searches are few, a plain bootstrap is too narrow in three ways, each of which is put right here:

- what R searches show of their spread is on average (R - 1) / R of it: deviations are scaled by that;
- the trials' own luck is in the spread over searches and in the spread over tasks: it is counted once;
- the spread itself is badly known: quantiles are stretched as Student's t is, by Satterthwaite's degrees of freedom.

How much searches differ is taken to be alike in all cells, as two or three of one cell tell too little. `bench/pairings.py`
measures how often such intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorimer.meta_agent.gate.statistics.estimates import Z95, student
from lorimer.meta_agent.pairings.values import Cell, Contrast, Interval, Pairing, Search, Tally, Verdict

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Gains = NDArray[float64]
    """Gains of a cell: a row per search, a column per task."""

LEVEL = 0.9
DRAWS = 4_000
"""Draws of the bootstrap: the ends of an interval then vary by about a fiftieth of its half."""


@dataclass(frozen=True)
class _Measured:
    """The cells that have measured searches, on the tasks that all of these share."""

    cells: Mapping[Pairing, Gains]
    tasks: tuple[str, ...]
    left_out: int


def cells_of(searches: Sequence[Search], seed: int = 0) -> tuple[Cell, ...]:
    """Every pairing of the grid, in the order of its first search."""
    measured = _measured(searches)
    found = []
    for pairing in dict.fromkeys(search.pairing for search in searches):
        own = [search for search in searches if search.pairing == pairing]
        gain = _interval(measured, {pairing: 1.0}, seed)[0] if pairing in measured.cells else None
        found.append(_cell(pairing, own, gain))
    return tuple(found)


def shared_tasks(searches: Sequence[Search]) -> tuple[tuple[str, ...], int]:
    """The sealed tasks that every measured search has, and how many others there are."""
    measured = _measured(searches)
    return measured.tasks, measured.left_out


def contrast(searches: Sequence[Search], seed: int = 0) -> Contrast:
    """`same - cross` over the whole grid, with what it means."""
    measured = _measured(searches)
    weights, confounded = _weights(list(measured.cells))
    if weights is None:
        return Contrast(
            "cannot tell",
            "Cannot tell: the grid has no task model with measured searches both by itself and by another meta model.",
            None,
        )
    interval, known = _interval(measured, weights, seed)
    if not any(search.promoted or any((search.gains or {}).values()) for search in searches):
        proposals = sum(search.candidates for search in searches)
        return Contrast("cannot tell", _nothing(proposals), interval, confounded, searches_known=known)
    if not known:
        return Contrast("cannot tell", _one_search(interval, confounded), interval, confounded, searches_known=False)
    verdict: Verdict = "more" if interval.low > 0 else "less" if interval.high < 0 else "cannot tell"
    return Contrast(verdict, _sentence(interval, confounded), interval, confounded)


# ---- the interval ---------------------------------------------------------------------------------------------------


def _measured(searches: Sequence[Search]) -> _Measured:
    import numpy as np

    known = [search for search in searches if search.gains is not None]
    all_ = dict.fromkeys(task for search in known for task in search.gains or {})
    tasks = tuple(task for task in all_ if all(task in (search.gains or {}) for search in known))
    rows: dict[Pairing, list[list[float]]] = {}
    for search in known:
        assert search.gains is not None
        rows.setdefault(search.pairing, []).append([search.gains[task] for task in tasks])
    cells = {pairing: np.asarray(each, dtype=np.float64) for pairing, each in rows.items()} if tasks else {}
    return _Measured(cells, tasks, len(all_) - len(tasks))


def _interval(measured: _Measured, weights: Mapping[Pairing, float], seed: int) -> tuple[Interval, bool]:
    """A weighted sum of cells' gains, and whether the interval holds the luck of searches."""
    import numpy as np

    tasks, cells = len(measured.tasks), {name: gains for name, gains in measured.cells.items() if weights.get(name)}
    value = float(sum(weights[name] * gains.mean() for name, gains in cells.items()))
    spread = _spread(list(measured.cells.values()))
    by_task = sum(weights[name] * gains.mean(axis=0) for name, gains in cells.items())
    off_task = np.asarray(by_task - value, dtype=np.float64)
    search_part = sum(weights[name] ** 2 / len(gains) for name, gains in cells.items())
    task_var = float((off_task**2).sum() / (tasks - 1) / tasks) if tasks > 1 else 0.0
    once = max(task_var - spread.luck * search_part / tasks, 0.0) if spread.freedom else task_var
    scale = math.sqrt(once / task_var) if task_var else 0.0

    dice = np.random.default_rng(seed)
    off = np.zeros(DRAWS)
    for name, gains in cells.items():
        if len(spread.residuals):
            drawn = dice.choice(spread.residuals, size=(DRAWS, len(gains)))
            off += weights[name] * drawn.mean(axis=1)
    if tasks > 1:
        drawn = dice.choice(off_task * math.sqrt(tasks / (tasks - 1)), size=(DRAWS, tasks))
        off += scale * drawn.mean(axis=1)

    searched = spread.variance * search_part
    variance = searched + once
    freedom = _freedom((searched, spread.freedom), (once, tasks - 1))
    # Where all came out alike, one more search may not: as if half a task of one of them had.
    least = math.sqrt(search_part) * 0.5 / (tasks + 1)
    error = max(math.sqrt(variance), least)
    stretched = float(np.quantile(np.abs(off), LEVEL)) * student(freedom, Z95) / Z95
    half = max(stretched, least * student(freedom, Z95))
    # A gain is a difference of mean rewards; a contrast of two gains may reach twice that.
    most = sum(abs(weight) for weight in weights.values())
    low, high = max(-most, value - half), min(most, value + half)
    return Interval(value, low, high, error, freedom), spread.freedom > 0


@dataclass(frozen=True)
class _Spread:
    """How searches of one cell differ."""

    variance: float
    """The variance of a search's mean gain; that of its trials is in it."""
    luck: float
    """The variance of one task's gain in one search that neither the search nor the task explains."""
    residuals: Gains
    """What searches gained above their cell's mean, scaled to that variance."""
    freedom: int


def _spread(cells: Sequence[Gains]) -> _Spread:
    """Pooled over cells of two searches or more."""
    import numpy as np

    several = [gains for gains in cells if len(gains) > 1]
    freedom = sum(len(gains) - 1 for gains in several)
    if not freedom:
        return _Spread(0.0, 0.0, np.zeros(0), 0)
    tasks = several[0].shape[1]
    means = [gains.mean(axis=1) - gains.mean() for gains in several]
    # Each cell's own scale: cells may have different numbers of searches.
    residuals = np.concatenate([each * math.sqrt(len(each) / (len(each) - 1)) for each in means])
    variance = sum(float((each**2).sum()) for each in means) / freedom
    luck = 0.0
    if tasks > 1:
        rest = [
            gains - gains.mean(axis=1, keepdims=True) - gains.mean(axis=0, keepdims=True) + gains.mean()
            for gains in several
        ]
        luck = sum(float((each**2).sum()) for each in rest) / (freedom * (tasks - 1))
    shown = math.sqrt(float((residuals**2).mean()))
    return _Spread(variance, luck, residuals * (math.sqrt(variance) / shown if shown else 0.0), freedom)


def _freedom(*parts: tuple[float, float]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances, each with its own."""
    parts = tuple((variance, freedom) for variance, freedom in parts if freedom > 0)
    total = sum(variance for variance, _ in parts)
    if not total:
        return max(1.0, min((freedom for _, freedom in parts), default=1.0))
    return max(1.0, total**2 / sum(variance**2 / freedom for variance, freedom in parts))


def _weights(pairings: Sequence[Pairing]) -> tuple[dict[Pairing, float] | None, bool]:
    """What each cell's gain counts in `same - cross`, and whether a meta model's own strength is in it.

    By least squares under gain = task model + meta model + (same), which leaves out how good a model is at tasks or at edits
    wherever the grid can tell that apart; in a square grid that is the mean of the same cells less that of the cross ones.
    Elsewhere it is the plain difference within each task model that has both.
    """
    import numpy as np

    same = [float(each.same) for each in pairings]
    tasks, metas = (list(dict.fromkeys(names)) for names in ([p.task for p in pairings], [p.meta for p in pairings]))
    main = [[float(p.task == name) for name in tasks] + [float(p.meta == name) for name in metas] for p in pairings]
    if pairings:
        full = np.asarray([[*row, own] for row, own in zip(main, same, strict=True)])
        if np.linalg.matrix_rank(full) > np.linalg.matrix_rank(np.asarray(main)):
            return dict(zip(pairings, map(float, np.linalg.pinv(full)[-1]), strict=True)), False
    both = [
        name
        for name in tasks
        if any(p.same and p.task == name for p in pairings) and any(not p.same and p.task == name for p in pairings)
    ]
    if not both:
        return None, False
    found = {}
    for pairing in pairings:
        if pairing.task in both:
            others = sum(not p.same and p.task == pairing.task for p in pairings)
            found[pairing] = (1.0 if pairing.same else -1.0 / others) / len(both)
    return found, True


# ---- words ----------------------------------------------------------------------------------------------------------


def _sentence(found: Interval, confounded: bool) -> str:
    between = f"90% interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    if found.low > 0 or found.high < 0:
        word = "more" if found.low > 0 else "less"
        said = (
            f"Same-model pairings gained {abs(100 * found.value):.1f} points {word} than cross-model ones ({between})."
        )
    else:
        said = (
            f"Cannot tell: same-model pairings gained {100 * found.value:+.1f} points against cross-model ones, and the "
            f"{between} holds no difference at all."
        )
    return said + (f" {_CONFOUNDED}" if confounded else "")


_CONFOUNDED = (
    "In this grid a meta model's own strength is in that difference as well: it can be told apart only where each model "
    "is both a task model and a meta model."
)


def _nothing(proposals: int) -> str:
    return f"Cannot tell: nothing was promoted in any pairing ({proposals} tried), so there is no gain to compare."


def _one_search(found: Interval, confounded: bool) -> str:
    said = (
        f"Cannot tell: same-model pairings gained {100 * found.value:+.1f} points against cross-model ones, but with one "
        "search of each pairing nobody knows how much of that is the luck of a search; the interval is over tasks alone."
    )
    return said + (f" {_CONFOUNDED}" if confounded else "")


# ---- cells ----------------------------------------------------------------------------------------------------------


def _cell(pairing: Pairing, own: Sequence[Search], gain: Interval | None) -> Cell:
    begun = [search for search in own if search.state != "planned"]
    usd = None if any(search.usd is None for search in begun) else _mean([search.usd or 0.0 for search in begun])
    firsts = [float(search.first) for search in begun if search.first is not None]
    return Cell(
        pairing=pairing,
        searches=len(own),
        measured=sum(search.gains is not None for search in own),
        gain=gain,
        usd=usd if begun else 0.0,
        points_per_usd=100 * gain.value / usd if gain is not None and usd else None,
        tokens=_mean([float(search.tokens) for search in begun]) or 0.0,
        trials=_mean([float(search.trials) for search in begun]) or 0.0,
        first=_mean(firsts),
        never=sum(search.gains is not None and not search.promoted for search in own),
        promotions=Tally(sum(search.promoted for search in begun), sum(search.candidates for search in begun)),
        predictions=sum((search.predictions for search in begun), start=Tally()),
        fired=sum((search.fired for search in begun), start=Tally()),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
