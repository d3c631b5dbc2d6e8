"""A grid as Markdown and as one self-contained HTML page, with its intervals drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from lorimer.meta_agent.pairings.values import Cell, GridResult, Interval
from lorimer.wording import dollars

if TYPE_CHECKING:
    from markupsafe import Markup

HEAD = (
    "task model",
    "meta model",
    "gain",
    "per dollar",
    "first promoted",
    "promoted",
    "predictions held",
    "fired",
    "searches",
)

SIMULATED = "The models are simulated: these numbers say nothing about any language model."


def rows(found: GridResult) -> list[tuple[str, ...]]:
    """A row for each pairing, under `HEAD`."""
    return [_row(cell) for cell in found.cells]


def remarks(found: GridResult) -> list[str]:
    """What belongs to the table: in what budgets are equal, on which tasks gains are, what is not known."""
    each = dollars(found.each) if found.unit == "usd" else f"{found.each:,.0f} {found.unit}"
    said = [
        f"Budgets are equal in {'dollars' if found.unit == 'usd' else found.unit}: {each} for each search. Gains are in points "
        f"of mean reward on {len(found.tasks)} sealed tasks, in trials that decided nothing, each with its 90% interval."
    ]
    if found.left_out:
        said.append(f"{found.left_out} sealed tasks are left out, as their trials errored in some search.")
    unmeasured = [search.study for search in found.searches if search.gains is None]
    if unmeasured:
        said.append(f"Not measured yet: {', '.join(unmeasured)}.")
    if found.simulated:
        said.append(SIMULATED)
    return said


def markdown(found: GridResult) -> str:
    """The whole result."""
    lines = [f"# Pairings: {found.name}", "", f"**{found.contrast.sentence}**", "", *_joined(remarks(found))]
    lines += _table(HEAD, rows(found))
    if found.transfers:
        lines += ["## Winners under other task models", "", *_table(TRANSFER_HEAD, transfer_rows(found))]
    lines += ["## Searches", "", *_table(SEARCH_HEAD, search_rows(found))]
    return "\n".join(lines)


TRANSFER_HEAD = ("winner of", "searched with", "run under", "gain", "sealed tasks")
SEARCH_HEAD = ("search", "state", "gain", "candidates", "promoted", "trials", "tokens", "cost")


def transfer_rows(found: GridResult) -> list[tuple[str, ...]]:
    """A row for each winner under another task model."""
    return [
        (each.study, str(each.pairing), each.model, f"{100 * each.gain:+.1f}", str(each.tasks))
        for each in found.transfers
    ]


def search_rows(found: GridResult) -> list[tuple[str, ...]]:
    """A row for each search."""
    made: list[tuple[str, ...]] = []
    for each in found.searches:
        gain = (
            None
            if each.gains is None or not found.tasks
            else sum(each.gains[task] for task in found.tasks) / len(found.tasks)
        )
        said = "-" if gain is None else f"{100 * gain:+.1f}"
        counts = (str(each.candidates), str(each.promoted), f"{each.trials:,}", f"{each.tokens:,}")
        made.append((each.study, each.state, said, *counts, _usd(each.usd)))
    return made


# ---- HTML -----------------------------------------------------------------------------------------------------------

WIDTH, LEFT, LINE = 760, 300, 34
"""Sizes of the drawing, in pixels: the width of all of it and of its labels, and the height of a row."""


@dataclass(frozen=True)
class IntervalBar:
    """An interval as it is drawn."""

    label: str
    said: str
    y: int
    x: float
    low: float
    high: float
    kind: str
    """`same`, `cross` or `contrast`."""


@dataclass(frozen=True)
class Plot:
    """All intervals on one axis."""

    width: int
    height: int
    zero: float
    ticks: tuple[tuple[float, str], ...]
    bars: tuple[IntervalBar, ...]


def plot(found: GridResult) -> Plot:
    """The pairings' gains and the contrast, with an axis in points that holds all of them and 0."""
    named: list[tuple[str, str, Interval]] = [
        (
            f"{_short(cell.pairing.task)} / {_short(cell.pairing.meta)}",
            "same" if cell.pairing.same else "cross",
            cell.gain,
        )
        for cell in found.cells
        if cell.gain is not None
    ]
    if found.contrast.interval is not None:
        named.append(("same - cross", "contrast", found.contrast.interval))
    ends = [0.0, *(end for _, _, each in named for end in (each.low, each.high))]
    low, high = min(ends), max(ends)
    at = _scale(low, high)
    bars = [
        IntervalBar(label, str(each), 30 + row * LINE, at(each.value), at(each.low), at(each.high), kind)
        for row, (label, kind, each) in enumerate(named)
    ]
    step = next((step for step in (1, 2, 5, 10, 20, 50) if 100 * (high - low) / step <= 8), 100)
    first, last = int(100 * low // step) * step, int(100 * high // step) * step
    ticks = [
        (at(points / 100), f"{points:+d}")
        for points in range(first, last + step, step)
        if LEFT <= at(points / 100) <= WIDTH
    ]
    return Plot(WIDTH, 50 + len(named) * LINE, at(0.0), tuple(ticks), tuple(bars))


def _scale(low: float, high: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: round(LEFT + 20 + (value - low) / span * (WIDTH - LEFT - 60), 1)


def tables(found: GridResult) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Title, head and rows of each table."""
    return [
        ("Pairings", HEAD, rows(found)),
        *([("Winners under other task models", TRANSFER_HEAD, transfer_rows(found))] if found.transfers else []),
        ("Searches", SEARCH_HEAD, search_rows(found)),
    ]


def drawing(found: GridResult) -> Markup:
    """The intervals as inline SVG, which a style sheet colours by class; all text in it is escaped."""
    return _filled("plot.html.j2", plot=plot(found))


def html(found: GridResult) -> str:
    """One page that needs no other file and runs no script."""
    return _filled("page.html.j2", found=found, drawing=drawing(found), tables=tables(found), remarks=remarks(found))


def _filled(name: str, **values: object) -> Markup:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    template = (files("lorimer.meta_agent.pairings") / name).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return Markup(environment.from_string(template).render(**values))  # noqa: S704 - a template's text


# ---- inside ---------------------------------------------------------------------------------------------------------


def _row(cell: Cell) -> tuple[str, ...]:
    worth = "-" if cell.points_per_usd is None else f"{cell.points_per_usd:+.1f}"
    first = "-" if cell.first is None else f"c{cell.first:.1f}".removesuffix(".0")
    if cell.never:
        first += f" ({cell.never} of {cell.searches} never)"
    return (
        cell.pairing.task,
        "same" if cell.pairing.same else cell.pairing.meta,
        "not measured" if cell.gain is None else str(cell.gain),
        worth,
        first,
        str(cell.promotions),
        str(cell.predictions),
        str(cell.fired),
        f"{cell.measured} of {cell.searches}",
    )


def _usd(value: float | None) -> str:
    return "unknown" if value is None else dollars(value)


def _short(model: str) -> str:
    return model.rpartition("/")[2]


def _joined(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in (line, "")]


def _table(head: Sequence[str], made: Sequence[Sequence[str]]) -> list[str]:
    cells = [[value.replace("|", "\\|") for value in row] for row in (head, *made)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{'---|' * len(head)}", *lines[1:], ""]
