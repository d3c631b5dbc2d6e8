"""Edits against tasks: which edit flips which task, beside what chance alone flips; and the pictures of that page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from markupsafe import Markup

from lorimer.dashboard.shelf import Opened
from lorimer.dashboard.svg import Axis, element, picture
from lorimer.dashboard.views.compared import Again, EditRow, TaskCell, again, rows, with_full_run
from lorimer.meta_agent.gate.reported.made_of import MadeOf
from lorimer.meta_agent.gate.statistics.estimates import Estimate
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.state.names import short
from lorimer.traces.base import StudyReader

EDITS = 15
"""Rows on a page."""


@dataclass(frozen=True)
class Flipping:
    """The page."""

    rows: tuple[EditRow, ...]
    again: tuple[Again, ...]
    """The champions against themselves."""
    tasks: tuple[str, ...]
    """Columns: those on which some shown edit flips, then the others, each in the suite's order."""
    focus: EditRow | None
    """The edit that the sentence is about: the one that was asked for, else the champion's, else the newest."""
    passed_over: str
    """The edit that was asked for and has no row, as its full run is not decided; empty where there is none."""
    open: bool
    """Whether the focus shows its hunks."""
    gain: MadeOf | None
    total: int
    first: int


def flipping(
    reader: StudyReader,
    opened: Opened,
    first: int,
    focus: int | None,
    hunks: bool,
    *,
    most: int = EDITS,
    besides: Collection[int] = (),
) -> Flipping:
    """Read the page.

    Args:
        focus: a candidate's number; one that has no full run is passed over.
        most: rows at most, beside the focus and those of `besides`.
        besides: candidates that are shown wherever they stand.
    """
    known = with_full_run(opened)
    shown = known[first : first + most]
    champion = opened.world.champion
    wanted = focus if focus is not None else champion.number if champion else None
    more = [row for row in known if (row.number == wanted or row.number in besides) and row not in shown]
    found = rows(reader, opened, [*more, *shown])
    chosen = next((row for row in found if row.number == wanted), found[0] if found else None)
    flipped = {task for row in found for task, cell in row.cells.items() if cell.flip}
    run = {task for row in found for task in row.cells}
    order = [task for task in opened.world.train if task in run]
    return Flipping(
        rows=tuple(found),
        again=tuple(again(reader, opened)),
        tasks=tuple([task for task in order if task in flipped] + [task for task in order if task not in flipped]),
        focus=chosen,
        passed_over=short(focus) if focus is not None and focus not in {row.number for row in found} else "",
        open=hunks,
        gain=gain_of(reader, opened.world, opened.row),
        total=len(known),
        first=first,
    )


WIDE, HIGH = 58, 40
"""A cell's picture."""


def cell_picture(cell: TaskCell, *, faint: bool = False) -> Markup:
    """Before and after as points on their intervals, joined; a dot where the edit fired; chance as a bar below.

    What it says in words stands beside it, where a screen reader finds it. There are thousands on a page, so it is put together
    of numbers and words of ours alone, which need no escaping.

    Args:
        faint: of a champion against itself.
    """
    y = Axis(0.0, 1.0, HIGH - 13.0, 4.0)
    before, after, kind = cell.before, cell.after, cell.flip or "stays"
    a, b = y(before.mean), y(after.mean)
    parts = [
        f'<path class="whisker" d="M15 {y(before.low):.1f}V{y(before.high):.1f}M41 {y(after.low):.1f}V{y(after.high):.1f}"/>',
        f'<path class="slope" d="M15 {a:.1f}L41 {b:.1f}"/>',
        f'<circle class="before" cx="15" cy="{a:.1f}" r="2.6"/><circle class="after" cx="41" cy="{b:.1f}" r="3.4"/>',
        f'<text x="15" y="{HIGH - 3}">{before.solved}/{before.trials}</text>',
        f'<text x="41" y="{HIGH - 3}">{after.solved}/{after.trials}</text>',
    ]
    if cell.told:
        parts.append(f'<circle class="{"fired" if cell.fired else "unfired"}" cx="53" cy="6" r="3"/>')
    if cell.chance > 0 and not faint:
        parts.append(f'<path class="chance" d="M1 {HIGH - 1}h{(WIDE - 2) * cell.chance:.1f}"/>')
    look = f"cell {kind}{' faint' if faint else ''}"
    svg = f'<svg viewBox="0 0 {WIDE} {HIGH}" aria-hidden="true" class="{look}">{"".join(parts)}</svg>'
    return Markup(svg)  # noqa: S704 - see above


def hunk_picture(fired: tuple[int, int]) -> Markup:
    """A picture of how many of a task's trials one hunk fired in."""
    some, told = fired
    said = f"fired in {some} of {told} trials" if told else "not known"
    if not told:
        return element("span", "·", class_="quiet", title=said)
    return element("span", f"{some}/{told}", class_="fires" if some else "quiet", title=said)


def gain_picture(gain: MadeOf, width: int = 520) -> Markup:
    """What a gain is made of: each part as a bar from zero, with its interval. Nothing where there is no gain to tell."""
    parts: list[tuple[str, Estimate]] = [("gain", gain.gain)] if gain.gain else []
    parts += [("compute, at most", gain.compute.bought)] if gain.compute else []
    parts += [("did not carry over", gain.carried.lost)] if gain.carried else []
    parts += [("the rest", gain.rest)] if gain.rest else []
    if not parts:
        return Markup("")
    low = min(0.0, *(min(each.low, each.value) for _, each in parts))
    high = max(0.0, *(max(each.high, each.value) for _, each in parts))
    x = Axis(low, high, 132.0, width - 62.0)
    drawn = [element("line", x1=x(0), x2=x(0), y1=0, y2=24 * len(parts), class_="zero")]
    for place, (name, each) in enumerate(parts):
        top, start, end = 24 * place, min(x(0), x(each.value)), max(x(0), x(each.value))
        words = name.replace(" ", "-").replace(",", "")
        drawn += [
            element("text", name, x=122, y=top + 16, class_="tick end"),
            element("rect", x=start, y=top + 5, width=end - start, height=13, class_=f"part {words}"),
            element("line", x1=x(each.low), x2=x(each.high), y1=top + 11.5, y2=top + 11.5, class_="whisker"),
            element("text", f"{each.value:+.3f}", x=width - 4, y=top + 16, class_="tick end"),
        ]
    said = "; ".join(f"{name} {each}" for name, each in parts)
    return picture(drawn, width, 24 * len(parts), f"What the gain is made of: {said}", "gain")
