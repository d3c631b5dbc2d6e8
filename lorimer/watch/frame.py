"""What `lorimer watch` shows: a study's page as rows of a terminal. Pure: a page and a size in, rows out.

It is drawn in ASCII, which every terminal has; what models wrote stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from lorimer.dashboard.svg import Axis, ticks
from lorimer.dashboard.views.history import History, bounds
from lorimer.dashboard.views.overview import Alert, Overview, Stint, ToldCandidate
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.terminal.words import cost, duration
from lorimer.watch.cells import Row, Style, StyledText, clean, columns, fit, wrapped
from lorimer.wording import count

BAR = 20
"""The widest bar of a stage's trials."""
LEAST_CHART, MOST_CHART = 5, 14
"""Rows of the staircase: fewer tell nothing, more tell nothing new."""
MARGIN = 5
"""Columns left of the staircase, for the scores."""
MARKS = {"promoted": "*", "passed": "^", "rejected": "o", "undecided": "?", "audit": "+"}
LEGEND = "= champion   * promoted   ^ passed   o rejected   ? undecided   + audit"
STATES: dict[str, Style] = {
    "running": "good", "finished": "good", "promoted": "good", "better": "good", "paused": "warn", "interrupted": "warn",
    "undecided": "warn", "rejected": "bad", "failed": "bad",
}  # fmt: skip


def frame(view: Overview, width: int, height: int, foot: str, held: Sequence[str] = ()) -> Sequence[Row]:
    """Rows for a terminal of this size, none of them wider and not more of them.

    Args:
        foot: what the last row says.
        held: what holds back the model requests of the process that runs the study, a line for each provider.
    """
    inside = max(10, width)
    head = _head(view)
    runs = _runs(view, held, inside, 4 if height >= 30 else 3)
    money = _money(view)
    room = height - len(head) - len(runs) - len(money) - 1
    chart = _chart(view.history, inside, room)
    told = _told(view, inside, room - len(chart))
    rows = [*head, *chart, *runs, *told, *money]
    rows = rows[: max(0, height - 1)]
    rows += [[]] * (height - 1 - len(rows))
    return [fit(row, width) for row in [*rows, [StyledText(foot, "dim")]]][-height:]


def _head(view: Overview) -> list[Row]:
    row, opened = view.opened.row, view.opened
    models = row.task_model if row.task_model == row.meta_model else f"{row.task_model} / {row.meta_model}"
    sealed = f" and {view.holdout} sealed" if view.holdout else ""
    tasks = f"{count(view.train, 'task')}{sealed} of {row.benchmark}"
    champion = view.champion_name + (f": {view.champion_title}" if view.champion_title else "")
    rows: list[Row] = [
        [
            StyledText(f"{opened.id} ", "bold"),
            StyledText(f"{opened.state}  ", _style(opened.state)),
            StyledText(f"{tasks}, {models}"),
        ],
        [StyledText("champion  "), StyledText(f"{_score(view.champion)}  ", "bold"), StyledText(champion)],
    ]
    against = f"seed      {_score(view.baseline)}"
    if view.sealed is not None:
        against += f"   sealed tasks {_score(view.sealed[0])}, the seed {view.sealed[1].mean:.3f}"
    elif view.holdout and opened.sealed:
        against += "   sealed tasks: shown at the end"
    return [*rows, [StyledText(against)]]


def _score(found: Score | None) -> str:
    if found is None or found.trials == 0:
        return "not measured yet"
    return f"{found.mean:.3f} [{found.low:.2f}, {found.high:.2f}]"


def _style(state: str) -> Style:
    return STATES.get(state, "")


def _chart(found: History, width: int, room: int) -> list[Row]:
    """The champion's score over the candidates, and where each of them came out; nothing where there is no room for it."""
    height = min(MOST_CHART, room - 6)
    if not found.treads or height < LEAST_CHART or width < 30:
        return []
    low, high = bounds(found)
    last = max(1, found.candidates)
    x, y = Axis(0, last + 0.3, MARGIN, width - 2), Axis(low, high, height - 1, 0)
    cells = [[" "] * width for _ in range(height)]
    for value in ticks(low, high, max(2, height // 2)):
        label = f"{value:.2f}"
        cells[round(y(value))][: len(label)] = label
    before: int | None = None
    for tread in found.treads:
        start, end, at = round(x(tread.since)), round(x(tread.until)), round(y(tread.score))
        for column in range(start, min(end, width - 1) + 1):
            cells[at][column] = "="
        for between in range(min(at, before) + 1, max(at, before)) if before is not None else ():
            cells[between][start] = "|"
        before = at
    for point in found.points:
        cells[round(y(point.score))][min(width - 1, round(x(point.number)))] = MARKS[point.shape]
    axis = [" "] * width
    for number in ticks(0, last, max(2, width // 12)):
        label = "seed" if number == 0 else f"c{number:.0f}"
        place = min(round(x(number)), width - len(label))
        if number == int(number) and not "".join(axis[max(0, place - 1) : place + len(label)]).strip():
            axis[place : place + len(label)] = label
    return [
        *([StyledText("".join(row))] for row in cells),
        [StyledText("".join(axis), "dim")],
        [StyledText(" " * MARGIN + LEGEND, "dim")],
    ]


def _runs(view: Overview, held: Sequence[str], width: int, most: int) -> list[Row]:
    rows: list[Row] = [_stint(stint, width) for stint in view.running]
    rows += [[StyledText("requests  "), StyledText(line, "warn")] for line in held]
    if view.proposing is not None:
        rows.append([StyledText("runs now  "), StyledText(f"the meta-agent proposes {view.proposing.name}")])
    grave = next((alert for alert in view.alerts if alert.level == "grave"), None)
    if grave is not None:
        rows += _alert(grave, width)
    return rows[:most]


def _alert(alert: Alert, width: int) -> list[Row]:
    head = f"{clean(alert.word):<10}"
    said = wrapped(alert.said, width - columns(head), 2)
    return [
        [StyledText(head if not place else " " * columns(head), "warn"), StyledText(line)]
        for place, line in enumerate(said)
    ]


def _stint(stint: Stint, width: int) -> Row:
    full = BAR * min(stint.done, stint.planned) // max(1, stint.planned)
    bar = "#" * full + "-" * (BAR - full) if width >= 70 else ""
    tasks = "sealed tasks" if stint.sealed else ", ".join(task for _, task in stint.trials)
    done = f"{stint.what}  {stint.done}/{stint.planned}  {bar}".rstrip()
    return [StyledText("runs now  "), StyledText(f"{done}  ", "bold"), StyledText(tasks)]


def _told(view: Overview, width: int, room: int) -> list[Row]:
    """The latest decisions in words, as many as there is room for, the newest first."""
    rows: list[Row] = []
    for each in view.latest:
        lines = _decision(each, width)
        if len(rows) + len(lines) > room:
            break
        rows += lines
    return rows


def _decision(told: ToldCandidate, width: int) -> list[Row]:
    head: Row = [
        StyledText(f"{told.name:<10}"),
        StyledText(f"{told.state}  ", _style(told.state)),
        StyledText(told.title),
    ]
    return [head, *([StyledText(" " * 10 + line)] for line in wrapped(told.came_of, width - 10, 2))]


def _money(view: Overview) -> list[Row]:
    spent, saved = view.spent, view.spent.saved
    used = f"{cost(spent.known_usd, spent.unknown)}, {spent.tokens:,} tokens, {spent.trials:,} trials"
    kept = f"  (replay saved {cost(saved.known_usd, saved.unknown)}, {saved.tokens:,} tokens)" if saved.trials else ""
    left = "  ".join(words for words, _ in view.left) or "no bound is set"
    seconds = seconds_left(spent.hours * 3600, [share for _, share in view.left])
    ends = f"  about {duration(seconds)} at this pace" if seconds is not None and view.opened.state == "running" else ""
    return [
        [StyledText("spent     "), StyledText(f"{used}, {duration(spent.hours * 3600)}{kept}")],
        [StyledText("left      "), StyledText(f"{left}{ends}")],
    ]


def seconds_left(ran: float, shares: Sequence[float]) -> float | None:
    """Seconds until the first bound is reached, at the pace of the whole study so far; `None` while nothing tells.

    Args:
        ran: for how long processes have run it.
        shares: of each bound, how much is used.
    """
    return min((ran * (1 / share - 1) for share in shares if share > 0), default=None) if ran > 0 else None
