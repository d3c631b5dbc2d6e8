"""How numbers, tables and values are written, for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.wording import count, dollars, visible_line

if TYPE_CHECKING:
    from lorimer.task_agent.budget import Allowance
    from lorimer.traces.tables import Trial


def score_text(value: Score) -> str:
    """`score 0.417 [0.29, 0.55] over 12 tasks`, with what errored and what of the calls was refused."""
    if math.isnan(value.mean):
        return f"no score ({value.errored} errored)"
    return f"score {value.mean:.3f} [{value.low:.2f}, {value.high:.2f}] over {count(value.tasks, 'task')}{value.doubts}"


def calls_of(trial: Trial) -> str:
    """A trial's model calls, with those that were refused: `12`, `12 (3 refused)`."""
    return f"{trial.model_calls} ({trial.refused_calls} refused)" if trial.refused_calls else str(trial.model_calls)


def cost(known: float, unknown: int) -> str:
    """What calls cost, of which so many are of unknown cost: `$0.53`, `$0.53+` where that is not all, or that it is unknown."""
    if not unknown:
        return dollars(known)
    return f"{dollars(known)}+" if known else dollars(None)


def amount(bound: Allowance, value: float) -> str:
    """A value in a bound's own unit: `$4.99`, `88,000 tokens`, `41 trials`, `7:59:00`."""
    unit = bound.key.rpartition(".")[2]
    if unit == "usd":
        return dollars(value)
    return duration(value * 3600) if unit == "hours" else f"{value:,.0f} {unit}"


def left_of(bound: Allowance) -> str:
    """What is left of a bound: `$4.99 of $20.00`, `0 of 4 candidates`."""
    left, limit = amount(bound, bound.left), amount(bound, bound.limit)
    unit = limit.partition(" ")[2]
    return f"{left.removesuffix(unit).rstrip()} of {limit}"


def left_text(bounds: Sequence[Allowance]) -> str:
    """`$4.99, 88,000 tokens, meta $1.20 left`, with the model whose part it is."""
    roles = (bound.key.removeprefix("budget.").rpartition(".")[0] for bound in bounds)
    said = (f"{role} {amount(bound, bound.left)}".strip() for role, bound in zip(roles, bounds, strict=True))
    return ", ".join(said) + " left"


def duration(seconds: float) -> str:
    """`0:42`, `12:05` or `3:00:00`."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def for_the_test(tasks: int) -> str:
    """What follows the number of sealed tasks; "" where no test side is kept."""
    return f", {tasks} for the test" if tasks else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned plain columns: readable on a terminal, cuttable in a pipe."""
    cells = [[_cell(value) for value in row] for row in (columns, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return visible_line(str(value))


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses as objects, nan as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """A listing as JSON, for `--json`; with no `indent` on one line."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False)
