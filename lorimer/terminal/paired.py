"""What `lorimer compare` and `lorimer power --pairings` say, for people."""

from __future__ import annotations

from pathlib import Path

from lorimer.errors import UserError
from lorimer.meta_agent.forecast.price import Range
from lorimer.meta_agent.pairings import page
from lorimer.meta_agent.pairings.planning import WANTED, Detectable, GridForecast
from lorimer.meta_agent.pairings.spec import searches_each
from lorimer.meta_agent.pairings.values import GridResult
from lorimer.terminal.words import table
from lorimer.wording import count, dollars


def forecast_text(found: GridForecast) -> str:
    """A grid before it is paid for."""
    share = found.share
    lines = [
        f"{found.cells} pairings, {searches_each(found.searches)}, {found.train} train tasks, {found.holdout} sealed ones",
        f"  budget      {_amount(share.unit, found.whole)} in all: {_amount(share.unit, share.each)} for each search, "
        f"{_amount(share.unit, share.last)} of it for its last measure"
        + (f"; {_amount(share.unit, share.transfers)} for transfers" if share.transfers else ""),
        f"  price       {_range(found.price, dollars)}, {_range(found.tokens, lambda value: f'{value:,.0f}')} tokens, "
        "were no search ended by its share",
        f"  from        {found.source}; about {count(found.candidates, 'candidate')} per search",
        *[_detectable(each) for each in found.detectable],
        *[f"warning: {warning}" for warning in found.warnings],
    ]
    return "\n".join(lines)


def _detectable(found: Detectable) -> str:
    base = f"  detectable  where cross pairings gain {100 * found.gain:.0f} points: "
    if found.difference is None:
        return f"{base}no difference that the tasks leave room for is told {WANTED:.0%} of the time"
    return (
        f"{base}a difference of {100 * found.difference:.0f} points is told {found.chance:.0%} of the time "
        f"(interval ±{100 * found.half:.0f})"
    )


def _amount(unit: str, value: float) -> str:
    return dollars(value) if unit == "usd" else f"{value:,.0f} {unit}"


def _range(found: Range, shown: object) -> str:
    assert callable(shown)
    if found.low is None or found.high is None:
        return "unknown" if found.low is None and found.high is None else _open(found, shown)
    return f"{shown(found.low)} to {shown(found.high)}"


def _open(found: Range, shown: object) -> str:
    assert callable(shown)
    return f"{shown(found.low)} or more" if found.high is None else f"up to {shown(found.high)}"


def result_text(found: GridResult) -> str:
    """What a comparison came to."""
    lines = [f"grid {found.name} on {found.benchmark}", table(page.HEAD, page.rows(found)), ""]
    if found.transfers:
        lines += [table(page.TRANSFER_HEAD, page.transfer_rows(found)), ""]
    difference = "" if found.contrast.interval is None else f"same - cross  {found.contrast.interval}"
    return "\n".join([*lines, *page.remarks(found), *([difference] if difference else []), found.contrast.sentence])


markdown, html = page.markdown, page.html


def write(path: Path, text: str) -> None:
    """Write a file that the user named. Raises UserError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
