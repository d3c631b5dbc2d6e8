"""What `power`, `gate replay` and `optimize --dry-run` say, for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorimer.meta_agent.forecast.playing import Promotions
from lorimer.meta_agent.forecast.power import GAINS, WANTED, Forecast
from lorimer.meta_agent.forecast.spending import Spending
from lorimer.meta_agent.replay.unchanged import Replays
from lorimer.terminal import replayed
from lorimer.terminal.replayed import ReplaySummary
from lorimer.terminal.words import duration, for_the_test, score_text, table
from lorimer.wording import count, dollars

if TYPE_CHECKING:  # what plans a study is not needed to tell of a forecast: 0.1 s
    from lorimer.meta_agent.forecast.price import Comparison, Cost, PriceEstimate, Range


@dataclass(frozen=True)
class PowerOutlook(Forecast):
    """All that `power` says."""

    replays: ReplaySummary | None = None
    """How many of the champion's trials the champion itself replays; `None` where that was not tried."""
    no_replays: str = ""
    """Why it could not be."""


def outlook(found: Forecast, replays: Replays | str | None) -> PowerOutlook:
    """A forecast, and what came of the champion's own trials."""
    shown = replayed.summary(replays) if isinstance(replays, Replays) else None
    return PowerOutlook(**vars(found), replays=shown, no_replays=replays if isinstance(replays, str) else "")


def power_text(found: Forecast) -> str:
    """A forecast for people."""
    level = f"alpha {found.alpha:g}" if found.policy != "strict" else "a strictly higher mean"
    if found.level != found.alpha:
        level += f" for the whole study, so {found.level:.2g} for its first test"
    champion = score_text(found.score) if found.score else f"expected score {found.mean or 0.0:.3f}"
    lines = [
        f"{f'the rest of {found.rest_of}' if found.rest_of else 'a new study'}: policy {found.policy}, {level}; "
        f"{found.tasks} train tasks, {count(found.repeats, 'trial')} each against "
        f"{found.champion_repeats} of the champion; {found.holdout} sealed tasks{for_the_test(found.test)}",
        f"  from        {found.source}",
        f"  champion    {champion}",
    ]
    costs = f"  costs       baseline{f' {_spending(found.start)}' if found.start.trials else ': done'}"
    if found.lacking is not None:
        lines += [
            "  unknown     noise, false promotions, the gain that can be found, what candidates cost",
            f"              {found.lacking.said}",
            f"              {found.lacking.remedy}",
            costs,
        ]
    else:
        lines += [*_played(found), costs, *_paid(found)]
    lines += _replayed(found) if isinstance(found, PowerOutlook) else []
    lines += [f"warning: {warning}" for warning in found.warnings]
    return "\n".join(lines)


def _replayed(found: PowerOutlook) -> list[str]:
    """How much `preview` will be able to tell."""
    if found.replays is None:
        return [f"  replays     unknown: {found.no_replays}"] if found.no_replays else []
    return [f"  replays     {found.replays.says}", *(f"              {line}" for line in replayed.lines(found.replays))]


def _played(found: Forecast) -> list[str]:
    """What the champion's dice tell."""
    assert found.noise is not None
    assert found.null is not None
    assert found.strict is not None
    lines = [
        f"  noise       one run of the same harness, each task once, varies by {100 * found.noise:.1f} points (SD)",
        f"  unchanged   {_share(found.null)} of edits without effect are promoted"
        + ("" if found.policy == "strict" else f"; under policy strict {_share(found.strict)}"),
    ]
    if found.detectable is not None:
        lines.append(
            f"  detectable  a gain of about {_plain(found.detectable)} points is found {WANTED:.0%} of the time"
        )
    else:
        most = f": {_share(found.curve[-1])} at {_points(found.curve[-1])}" if found.curve else ""
        lines.append(f"  detectable  no gain is found {WANTED:.0%} of the time{most}")
    first = {point.gain: f"; as a study's first candidate, {_share(point)}" for point in found.first}
    return lines + [
        f"              {_points(point):>7}: {_share(point)} promoted{first.get(point.gain, '')}"
        for point in _told(found)
    ]


def _paid(found: Forecast) -> list[str]:
    """What candidates cost, and how many the budget pays for."""
    assert found.null_candidate is not None
    assert found.affordable is not None
    lines = [f"              a candidate without effect, on average {_spending(found.null_candidate)}"]
    if found.good_candidate is not None:
        lines.append(
            f"              one worth {_plain(found.detectable or 0)} points, audited {_spending(found.good_candidate)}"
        )
    if found.study_total is not None:
        lines.append(
            f"              to the end of budget.candidates ({found.candidates}) {_spending(found.study_total)}"
        )
    affordable = found.affordable
    if affordable.candidates is None:
        lines.append("  affordable  as many candidates as you like: no budget bounds them")
    else:
        noun = "candidate" if affordable.candidates == 1 else "candidates"
        lines.append(f"  affordable  {affordable.candidates} more {noun} without effect ({affordable.bound})")
    if affordable.unknown:
        lines.append(f"              {' and '.join(affordable.unknown)} cannot be counted: prices are unknown")
    return lines


def _told(found: Forecast) -> list[Promotions]:
    """The gains that are always tried, and the largest that the suite has room for."""
    return [point for point in found.curve if point.gain in GAINS or point is found.curve[-1]]


def _points(point: Promotions) -> str:
    return f"+{_plain(point.gain)}"


def _plain(gain: float) -> str:
    """A gain in points, with a decimal where it is not whole."""
    return f"{100 * gain:.1f}".removesuffix(".0")


def _share(found: Promotions) -> str:
    return f"{found.promoted:.1%} (± {found.error:.1%})"


def _spending(found: Spending) -> str:
    """`93 trials, $0.12, 45,120 tokens, 0:12`."""
    tokens = "? tokens" if found.tokens is None else f"{found.tokens:,.0f} tokens"
    hours = "? h" if found.hours is None else duration(found.hours * 3600)
    return f"{found.trials:.0f} trials, {dollars(found.usd)}, {tokens}, {hours}"


# ---- optimize --dry-run -------------------------------------------------------------------------------------------------


def estimate_text(found: PriceEstimate) -> str:
    """A plan with what it may cost, for people."""
    each = (
        "as many candidates as the budget pays for"
        if found.candidates is None
        else count(found.candidates, "candidate")
    )
    rows = [
        (
            line.stage,
            _range(line.trials, _whole),
            *_costs(line.cost),
            line.note,
        )
        for line in (*found.lines, found.total)
    ]
    return "\n".join(
        [
            f"{found.benchmark}: {found.train} train tasks, {found.holdout} sealed{for_the_test(found.test)}; {each}; "
            "nothing was run",
            table(("stage", "trials", "tokens", "dollars", "time", ""), rows),
            *found.sources,
            *found.ends,
        ]
    )


def comparison_text(found: Comparison) -> str:
    """A comparison of two files with what it may cost, for people."""
    tokens, usd, time = _costs(found.cost)
    return "\n".join(
        [
            f"{found.benchmark}: {count(found.tasks, 'task')}, {count(found.repeats, 'trial')} of each file on each, side by "
            f"side: {_range(found.trials, _whole)} trials",
            f"{tokens} tokens, {usd}, {time} of time",
            found.source,
            *found.ends,
        ]
    )


def _costs(cost: Cost) -> tuple[str, str, str]:
    """Tokens, dollars and time."""
    hours = _range(cost.hours, lambda hours: duration(hours * 3600))
    return _range(cost.tokens, _whole), _range(cost.usd, dollars), hours


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _range(found: Range, shown: Callable[[float], str]) -> str:
    """`12`, `3 to 12`, `3 or more`, `unknown`."""
    if found.low is None:
        return "unknown" if found.high is None else f"up to {shown(found.high)}"
    if found.high is None:
        return f"{shown(found.low)} or more"
    low, high = shown(found.low), shown(found.high)
    return low if low == high else f"{low} to {high}"
