"""Whether a command that is run again says what it said in the record. Pure.

Two outputs are alike where they differ in dates and durations alone. Whatever else differs (a random name, a process's number, an
order) parts the trial from its record: what the record says next would be about another sandbox. So does a date that is used
again: a file that is named by the second holds no second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lorimer.harness.api import ExecResult
from lorimer.traces import wired

_DAY = r"(?:Mon|Tue(?:s)?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b,?"
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AP]M\b)?"
_ZONE = r"(?:\s?(?:Z\b|UTC\b|GMT\b|CES?T\b|[ECMP][DS]T\b|[+-]\d{2}:?\d{2}\b))?"
_TIMES = re.compile(
    "|".join(
        (
            rf"\b\d{{4}}[-/.]\d{{2}}[-/.]\d{{2}}(?:[T _]{_CLOCK}{_ZONE})?",
            rf"\b(?:{_DAY}\s+)?{_MONTH}\s+\d{{1,2}}\b(?:,?\s+(?:{_CLOCK}{_ZONE}(?:\s+\d{{4}}\b)?|\d{{4}}\b))?",
            # Not the size of a file before its date, as in `60 Nov 27 17:43`.
            rf"\b(?:{_DAY}\s+)?\d{{1,2}}\s+{_MONTH}(?!\s+\d{{1,2}}\b(?!:))(?:\s+\d{{4}}\b)?(?:\s+{_CLOCK}{_ZONE})?",
            rf"\b\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,]\d+)?\b{_ZONE}",
            r"\b\d+m\d+(?:[.,]\d+)?s\b",
            r"\b\d+(?:\.\d+)?(?:e-?\d+)?\s?(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|hours?)\b",
        )
    )
)
"""Dates, times of day and durations, as `date`, `ls -l`, `time`, logs and test runners write them."""


def apart(recorded: wired.Answer, now: wired.Answer) -> tuple[str, frozenset[str]]:
    """How an answer of the fresh sandbox differs from that of the record.

    Returns a clause for people, empty where the two are alike; and the dates and durations of the record that are others now.
    """
    if type(recorded) is not type(now):
        return f"{_kind(recorded)} in the record, and {_kind(now)} now", frozenset()
    stale = set[str]()
    for name, old, new in _texts(recorded, now):
        if old == new:
            continue
        if _TIMES.sub("\0", old) != _TIMES.sub("\0", new):
            return f"{name} {_first_difference(old, new)}", frozenset()
        pairs = zip(_TIMES.finditer(old), _TIMES.finditer(new), strict=True)
        stale |= {left.group().strip() for left, right in pairs if left.group() != right.group()}
    return "", frozenset(stale)


def names_one(request: wired.WireRequest, stale: frozenset[str]) -> str:
    """Which of these texts a request to the sandbox holds; "" where none."""
    said = {
        wired.Exec: lambda: request.command,  # type: ignore[union-attr]
        wired.Read: lambda: request.path,  # type: ignore[union-attr]
        wired.Write: lambda: request.path,  # type: ignore[union-attr]
    }.get(type(request), str)()
    return next((text for text in sorted(stale) if text in said), "")


def _texts(recorded: wired.Answer, now: wired.Answer) -> Iterator[tuple[str, str, str]]:
    """What of two answers of one kind must be alike, by name."""
    if isinstance(recorded, ExecResult) and isinstance(now, ExecResult):
        yield "its exit code", str(recorded.exit_code), str(now.exit_code)
        yield "whether it ran over its time", str(recorded.timed_out), str(now.timed_out)
        yield "its output", recorded.stdout, now.stdout
        yield "its error output", recorded.stderr, now.stderr
    elif isinstance(recorded, wired.ReadPiece) and isinstance(now, wired.ReadPiece):
        # Every byte is a character of Latin-1.
        yield "the file", recorded.data.decode("latin-1"), now.data.decode("latin-1")
    elif isinstance(recorded, wired.RefusedCall) and isinstance(now, wired.RefusedCall):
        yield "the error", recorded.message, now.message


def _kind(answer: wired.Answer) -> str:
    return f'the error "{_short(answer.message)}"' if isinstance(answer, wired.RefusedCall) else "an answer"


def _first_difference(old: str, new: str) -> str:
    """`was "a", is "b"`: the first line that is another one."""
    left, right = old.splitlines() or [""], new.splitlines() or [""]
    for was, now in zip(left, right, strict=False):
        if _TIMES.sub("\0", was) != _TIMES.sub("\0", now):
            return f'was "{_short(was)}" and is "{_short(now)}"'
    return f"had {len(left)} lines and has {len(right)}"


def _short(line: str) -> str:
    said = line.strip()
    return f"{said[:100]}…" if len(said) > 100 else said
