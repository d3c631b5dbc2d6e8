"""A study's score over its candidates: what the champion scored, and where each candidate came out. Pure, from its world."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lorimer.dashboard.svg import Axis, across, element, group, mark, picture, ticks
from lorimer.meta_agent.ledger.telling import against, scored
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import World, score_of
from lorimer.traces.schema import Stage


@dataclass(frozen=True)
class Tread:
    """A champion, from the candidate that met it first to the last one."""

    name: str
    since: int
    until: float
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A candidate in its full run, or a champion in its audit."""

    number: int
    name: str
    title: str
    score: float
    """Where it is drawn: the champion's score, and by how much it did better on the tasks that both have run. A run that was
    ended early ran some tasks alone, and its own mean is that of these."""
    shape: str
    """One of the shapes of `svg.mark`."""
    said: str
    """What was measured: `0.571 against 0.536`."""


@dataclass(frozen=True)
class History:
    """What the picture shows."""

    treads: tuple[Tread, ...]
    points: tuple[Point, ...]
    candidates: int

    @property
    def label(self) -> str:
        """The picture in words."""
        if not self.treads:
            return "Score history: nothing has been measured yet."
        first, last = self.treads[0], self.treads[-1]
        made = sum(point.shape == "promoted" for point in self.points)
        return (
            f"Score history over {self.candidates} candidates: {first.name} scores {first.score:.3f}, the champion now, "
            f"{last.name}, {last.score:.3f} (95% interval {last.low:.2f} to {last.high:.2f}); {made} promoted."
        )


def history(world: World) -> History:
    """Champions by the trials that stand for them, candidates by their full run; nothing of the sealed tasks."""
    treads = []
    reigns, last = [world.reign_at(number) for number in range(1, world.next_number + 1)], len(world.candidates)
    for place, reign in enumerate(reigns):
        if place and reigns[place - 1] is reign:
            continue
        until = next((later for later in range(place, len(reigns)) if reigns[later] is not reign), last)
        said = world.reported_of(reign.champion)
        if said is None or said.numbers.get("score") is None:
            continue
        found, view = score_of(said), world.candidate(reign.champion)
        name = short(view.number) if view else "the seed harness"
        treads.append(Tread(name, place, max(until, place + 0.3), found.mean, found.low, found.high))
    points = tuple(point for view in world.candidates for point in _points(world, view))
    return History(tuple(treads), points, len(world.candidates))


def _points(world: World, view: CandidateView) -> Iterator[Point]:
    full, audit = world.decided(view.id, Stage.FULL), world.decided(view.id, Stage.AUDIT)
    stood = world.reported_of(world.champion_before(view.number))
    mean = full.numbers.get("candidate_mean") if full else None
    if full is not None and mean is not None and stood is not None and stood.numbers.get("score") is not None:
        theirs = float(full.numbers["champion_mean"])
        place = min(1.0, max(0.0, float(stood.numbers["score"]) + float(mean) - theirs))
        ended = view.state in ("promoted", "rejected", "undecided")
        shape = view.state if ended else "passed" if full.kind == "promote" else "rejected"
        said = f"{scored(full)} against {against(full)}"
        yield Point(view.number, short(view.number), view.title, place, shape, said)
    fresh = audit.numbers.get("score") if audit else None
    if fresh is not None:
        said = f"{fresh:.3f} in fresh trials"
        yield Point(view.number, short(view.number), "its audit", float(fresh), "audit", said)


def bounds(found: History) -> tuple[float, float]:
    """The scores between which the picture reaches: all that is in it, at least a tenth, within 0 and 1."""
    values = [point.score for point in found.points]
    values += [value for tread in found.treads for value in (tread.low, tread.high)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.02, (0.1 - (high - low)) / 2)
    return max(0.0, math.floor((low - room) * 20) / 20), min(1.0, math.ceil((high + room) * 20) / 20)


def drawn(found: History, link: Callable[[int], str], width: int, height: int, class_: str) -> Markup:
    """The picture.

    Args:
        link: the address of a candidate's page by its number; empty where there is none.
        class_: the style sheet shows one of several widths.
    """
    left, right, top, bottom = 44.0, width - 14.0, 12.0, height - 30.0
    low, high = bounds(found)
    x, y = Axis(0, max(1, found.candidates) + 0.3, left, right), Axis(low, high, bottom, top)
    parts = [
        group([across(y(value), left, right, f"{value:.2f}") for value in ticks(low, high)], class_="axis"),
        group(
            [
                element("text", f"c{value:.0f}" if value else "seed", x=x(value), y=bottom + 20, class_="tick")
                for value in ticks(0, max(1, found.candidates), max(3, width // 110))
                if value == int(value)
            ],
            class_="axis middle",
        ),
        *_stairs(found.treads, x, y),
        *(_point(point, x, y, link(point.number), 3.2 if found.candidates > 150 else 4.5) for point in found.points),
    ]
    return picture(parts, width, height, found.label, class_, links=True)


def _stairs(treads: Sequence[Tread], x: Axis, y: Axis) -> list[Markup]:
    bands = [
        element(
            "rect",
            x=x(tread.since),
            y=y(tread.high),
            width=max(1.0, x(tread.until) - x(tread.since)),
            height=y(tread.low) - y(tread.high),
            class_="band",
        )
        for tread in treads
    ]
    d = "".join(
        f"{'V' if place else f'M{x(tread.since):.1f} '}{y(tread.score):.1f}H{x(tread.until):.1f}"
        for place, tread in enumerate(treads)
    )
    return [*bands, *([element("path", d=d, class_="stair")] if d else [])]


def _point(point: Point, x: Axis, y: Axis, address: str, size: float) -> Markup:
    said = f"{point.name} {point.shape}, {point.said}" + (f": {point.title}" if point.title else "")
    drawn_mark = mark(point.shape, x(point.number), y(point.score), size)
    # A keyboard goes through the table below instead of hundreds of points.
    return element("a", element("title", said) + drawn_mark, href=address or None, tabindex="-1")
