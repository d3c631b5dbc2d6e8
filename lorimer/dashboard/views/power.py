"""What a study can find: how often its gate promotes an edit without effect, and edits of true gains; drawn and in words."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lorimer.config.settings import parse_stored
from lorimer.dashboard.shelf import Opened
from lorimer.dashboard.svg import Axis, across, element, group, mark, picture, ticks
from lorimer.meta_agent.forecast import known
from lorimer.meta_agent.forecast.playing import Promotions
from lorimer.meta_agent.forecast.power import WANTED, Forecast
from lorimer.terminal.outlook import outlook, power_text
from lorimer.traces.base import StudyReader

LABELS = 22.0
"""Room for the numbers below the picture."""


@dataclass(frozen=True)
class Power:
    """The page."""

    found: Forecast
    words: str
    """What `lorimer power` prints."""

    @property
    def points(self) -> tuple[Promotions, ...]:
        """The unchanged harness against itself, and the gains that were tried, the smallest first."""
        return () if self.found.null is None else (self.found.null, *self.found.curve)

    @property
    def headline(self) -> str:
        """What it comes to, in a sentence or two."""
        found = self.found
        if found.null is None:
            return found.lacking.said if found.lacking is not None else "Nothing is known yet."
        said = f"An edit without effect is promoted in {found.null.promoted:.1%} of cases"
        if found.detectable is None:
            return f"{said}; no gain is found {WANTED:.0%} of the time."
        return f"{said}; a gain of {100 * found.detectable:.3g} points is found {WANTED:.0%} of the time."


def read(reader: StudyReader, opened: Opened) -> Power:
    """Play the study's gate against its champion's own dice. It takes seconds of a processor. Raises UserError where the champion
    has no scored trial yet."""
    found = known.of_study(reader, opened.row, parse_stored(opened.row.config, opened.id))
    return Power(found, power_text(outlook(found, None)))


def drawn(found: Power, width: int = 1120, height: int = 330) -> Markup:
    """The share of edits that are promoted, by their true gain."""
    left, right, top, bottom = 52.0, width - 16.0, 12.0, height - 34.0
    points = found.points
    most = max(point.gain for point in points)
    x, y = Axis(0.0, most or 0.1, left, right), Axis(0.0, 1.0, bottom, top)
    steps = [x(point.gain) for point in points]
    line = "M" + "L".join(f"{place:.1f} {y(point.promoted):.1f}" for place, point in zip(steps, points, strict=True))
    parts = [
        group([across(y(value), left, right, f"{value:.0%}") for value in ticks(0.0, 1.0)], class_="axis"),
        group(
            [
                element("text", f"+{100 * value:.3g}" if value else "A/A", x=x(value), y=bottom + LABELS, class_="tick")
                for value in ticks(0.0, most or 0.1, max(4, width // 110))
            ],
            class_="axis middle",
        ),
        element("line", x1=left, x2=right, y1=y(WANTED), y2=y(WANTED), class_="wanted"),
        element("line", x1=left, x2=right, y1=y(found.found.level), y2=y(found.found.level), class_="alpha"),
        element("path", d=line, class_="stair"),
        *(_point(point, x(point.gain), y) for point in points),
    ]
    return picture(parts, width, height, found.headline)


def _point(point: Promotions, place: float, y: Axis) -> Markup:
    low, high = max(0.0, point.promoted - 2 * point.error), min(1.0, point.promoted + 2 * point.error)
    whisker = element("line", x1=place, x2=place, y1=y(low), y2=y(high), class_="whisker")
    shape = "audit" if point.gain == 0 else "rejected"
    return group([whisker, mark(shape, place, y(point.promoted))])
