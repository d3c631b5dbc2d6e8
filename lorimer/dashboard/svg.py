"""Small pictures as text: inline SVG that a server writes, with no script and no library. Pure.

Colours, strokes and dark mode are the style sheet's, by class. Everything that is put in is escaped: titles of candidates and
names of tasks are written by models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape


def element(name: str, inside: str | Markup = "", **attributes: object) -> Markup:
    """One element. Text inside is escaped unless it is `Markup`.

    Args:
        attributes: `class_` is `class`, and other underscores are dashes; numbers are rounded to a tenth; those that are `None`
            are left out.
    """
    written = "".join(
        [f' {_attribute(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None]
    )
    return Markup(f"<{name}{written}>{escape(inside)}</{name}>")  # noqa: S704 - all that is not ours is escaped


@lru_cache(maxsize=256)
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def group(parts: Sequence[Markup], **attributes: object) -> Markup:
    """Elements in a `g`."""
    return element("g", Markup("").join(parts), **attributes)


def picture(
    parts: Sequence[Markup], width: float, height: float, label: str, class_: str = "", *, links: bool = False
) -> Markup:
    """A whole picture that scales with its column; a screen reader reads `label` and passes over the parts.

    Args:
        links: whether parts are links, which a screen reader then finds in it.
    """
    view, role = f"0 0 {width:g} {height:g}", "group" if links else "img"
    return element(
        "svg", Markup("").join(parts), viewBox=view, role=role, aria_label=label, class_=f"chart {class_}".strip()
    )


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value) if isinstance(value, int) else escape(value)


@dataclass(frozen=True)
class Axis:
    """A line from values to places."""

    low: float
    high: float
    start: float
    """Where `low` lies."""
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, which may lie outside."""
        span = self.high - self.low
        return self.start if span == 0 else self.start + (value - self.low) / span * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between two others: at most `most`, 1, 2 or 5 times a power of ten apart."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low or most < 2:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / (most - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def mark(shape: str, x: float, y: float, size: float = 4.5) -> Markup:
    """A point of a shape that can be told from the others without colour.

    Args:
        shape: `promoted` (a full diamond), `passed` (an empty one), `rejected` (a circle), `undecided` (a triangle) or `audit`
            (a square); its class, too.
    """
    s, wide, name = size, 1.35 * size, f"mark {shape}"
    match shape:
        case "promoted" | "passed":
            d = f"M{x:.1f} {y - wide:.1f}l{wide:.1f} {wide:.1f}l{-wide:.1f} {wide:.1f}l{-wide:.1f} {-wide:.1f}z"
        case "undecided":
            d = f"M{x:.1f} {y - s:.1f}l{s:.1f} {1.8 * s:.1f}h{-2 * s:.1f}z"
        case "audit":
            d = f"M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}z"
        case _:
            return element("circle", cx=float(x), cy=float(y), r=float(s), class_=name)
    return element("path", d=d, class_=name)


def across(place: float, left: float, right: float, said: str) -> Markup:
    """A line of an axis, with its value before it."""
    line = element("line", x1=left, x2=right, y1=place, y2=place, class_="grid")
    return group([line, element("text", said, x=left - 8, y=place + 4, class_="tick end")])
