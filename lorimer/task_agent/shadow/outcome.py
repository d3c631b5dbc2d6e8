"""How shadows come out, in values and in words. Pure."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.harness.api import Completion
from lorimer.task_agent.matching import Parted
from lorimer.traces import wired

DIFF_LINES = 60
"""Lines of a difference that are shown; a reworded prompt takes ten, a conversation that went another way thousands."""

COMPARED_LINES = 500
"""Lines that are compared: the time it takes grows with their square, and a file that is written may have a million."""

CUT = "[... "
"""What the last line of a difference begins with where not all of it is shown."""


@dataclass(frozen=True)
class Untouched:
    """The harness did all that the record holds, and nothing else."""

    calls: int
    """How many."""

    def __str__(self) -> str:
        return f"untouched: all {self.calls} calls are as recorded"


@dataclass(frozen=True)
class Touched:
    """The harness asks for something that the record does not hold."""

    step: int
    """The number of the first such call of the trial, from 1."""
    of: int
    """How many calls the record holds."""
    method: str
    kinds: tuple[str, ...]
    """What of the call is different: `system`, `messages`, `max_tokens`, `command`, `timeout`, …"""
    says: str
    """One line: `the request now says …`."""
    diff: str
    """The recorded call of the same place and the one that was made instead, as a unified diff."""
    model_calls: int = 0
    """How many recorded answers of the model come before it."""
    tokens: int = 0
    """What those answers took, input and output."""

    def __str__(self) -> str:
        return f"touched at step {self.step} of {self.of}, {self.method}: {self.says}"


@dataclass(frozen=True)
class NotPreviewable:
    """It cannot be told what the edit touches here."""

    why: str
    drew: tuple[str, ...] = ()
    """What it draws from chance, where that is why."""

    def __str__(self) -> str:
        return f"not previewable: {self.why}"


Outcome = Untouched | Touched | NotPreviewable


def touched(
    parted: Parted,
    answered: Sequence[wired.RecordedCall],
    of: int,
    now: wired.WireRequest,
    recorded: wired.WireRequest | None,
) -> Touched:
    """The outcome of a shadow that parted.

    Args:
        answered: the recorded calls that were taken before, of all parts of the trial.
        of: all calls of the record.
        now: what was asked for.
        recorded: what the record holds at that place, where it holds anything.
    """
    method = wired.method_of(now)
    old = "" if recorded is None else f"{wired.method_of(recorded)}\n{wired.plain(recorded)}"
    new = f"{method}\n{wired.plain(now)}"
    lines = _difference(old.splitlines(), new.splitlines())
    says = {
        "beyond": "the record has ended here",
        "skipped": "what the record holds before it was left out",
        "early": "the harness finishes before the record does",
    }.get(parted.way) or f"the request now says {_first(lines)}"
    if len(lines) > DIFF_LINES:
        lines = [*lines[:DIFF_LINES], f"{CUT}{len(lines) - DIFF_LINES} more lines ...]"]
    usage = [call.answer.usage for call in answered if isinstance(call.answer, Completion)]
    tokens = sum(each.input_tokens + each.output_tokens for each in usage)
    step = len(answered) + 1
    return Touched(step, of, method, kinds(now, recorded), says, "\n".join(lines), len(usage), tokens)


def kinds(now: wired.WireRequest, recorded: wired.WireRequest | None) -> tuple[str, ...]:
    """Which fields of two requests differ, or the method's name where they are of two methods."""
    if recorded is None or type(now) is not type(recorded):
        return (wired.method_of(now),)
    fields = [field.name for field in dataclasses.fields(now)]
    return tuple(name for name in fields if getattr(now, name) != getattr(recorded, name)) or ("order",)


def _difference(old: list[str], new: list[str]) -> list[str]:
    """A unified diff; of long texts only from their first difference on, with the numbers of lines left out of account."""
    if max(len(old), len(new)) > COMPARED_LINES:
        pairs = enumerate(zip(old, new, strict=False))
        same = next((at for at, (left, right) in pairs if left != right), min(len(old), len(new)))
        begin = max(0, same - 2)
        old, new = (lines[begin : begin + COMPARED_LINES] for lines in (old, new))
    return list(difflib.unified_diff(old, new, "recorded", "now", lineterm="", n=2))


def _first(lines: list[str]) -> str:
    """The first line that is new, or else the first that is gone."""
    body = lines[2:]
    for sign in "+-":
        for line in body:
            if line.startswith(sign) and line[1:].strip():
                text = line[1:].strip()
                said = f"{text[:100]}…" if len(text) > 100 else text
                return f'"{said}"' if sign == "+" else f'no longer "{said}"'
    return "the same in another order"
