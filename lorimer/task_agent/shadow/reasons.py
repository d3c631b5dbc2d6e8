"""Why a harness does not do again what the record of its own trial holds. Pure.

Nothing is guessed from what a text may mean: a difference is the clock's where both texts are the same but for times and
dates, and a name's where they are the same but for ids, addresses and temporary names. What is left is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from lorimer.task_agent.shadow.outcome import CUT, NotPreviewable, Outcome, Touched
from lorimer.traces.wired import Gap, GapKind

Reason = Literal["clock", "names", "order", "network", "randomness", "unknown"] | GapKind

_WEEKDAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)"
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)"
)
_YEAR = r"(?:19|20)\d\d\b"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NUMBER = r"\d+(?:\.\d+)?(?:e-\d+)?"
_UNIT = r"(?:[mµun]?s|secs?|seconds?|milliseconds?|mins?|minutes?|h|hours?|days?)"
_CLOCK = re.compile(
    "|".join(
        [
            # 2026-11-27, 2026-11-27T05:43:53.123+00:00; 20261127-054353
            r"\b(?:19|20)\d\d-\d\d-\d\d(?:[T _]\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?)?(?:Z\b|[+-]\d\d:?\d\d\b)?",
            r"\b20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[T_-]?[0-2]\d[0-5]\d[0-5]\d)?\b",
            # 27.11.2026, 11/27/2026, 2026/11/27
            r"\b\d{1,2}[./]\d{1,2}[./](?:19|20)\d\d\b|\b(?:19|20)\d\d/\d{1,2}/\d{1,2}\b",
            # Fri Nov 27 05:43:53 UTC 2026
            rf"\b{_WEEKDAY} +{_MONTH} +\d{{1,2}} +\d\d:\d\d:\d\d(?: +[A-Z]{{3,5}})? +{_YEAR}",
            # Friday, 27 November 2026; Nov 27, 2026; November 2026; Friday
            rf"(?<![\w.:])(?:{_WEEKDAY}(?:day)?,? +)?"
            rf"(?:{_DAY} +{_MONTH}\b\.?(?! +{_DAY},? +{_YEAR})|{_MONTH}\.? +{_DAY}\b)(?:,? +{_YEAR})?",
            rf"\b{_MONTH} +{_YEAR}|\b{_WEEKDAY}day\b",
            # 05:43:53.123, 5:43 pm, 05:43; no place in a file (x.py:10:15)
            r"(?<![\w.:])\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?(?:\s?[AaPp][Mm]\b)?|\s?[AaPp][Mm]\b)|(?<![\w.:])[0-2]\d:[0-5]\d(?![\w:])",
            # seconds since 1970 from 2020 to 2033, also in thousandths and billionths
            r"\b1[6-9]\d{8}(?:\.\d+)?\b|\b1[6-9]\d{11}\b|\b1[6-9]\d{17}\b",
            # 0.52 s, 3 minutes; took 0.52
            rf"(?<![\w.]){_NUMBER} ?{_UNIT}\b",
            rf"\b(?:[Ee]lapsed|[Tt]ook|[Ss]econds?|[Dd]uration|[Uu]ptime|[Tt]imestamp)\b\W{{1,3}}{_NUMBER}\b",
        ]
    )
)
_NAMES = re.compile(
    "|".join(
        [
            r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",  # a UUID
            r"\b0x[0-9a-fA-F]{6,}\b",  # an address, as of <object at 0x7f3a5c0e1d30>
            r"\btmp[a-z0-9_]{6,10}\b|\btmp\.[A-Za-z0-9]{6,12}\b",  # of Python's tempfile and of mktemp
            r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b",  # a digest, a container
            r"\bpid\W{1,3}\d+\b|/proc/\d+\b",
            r"\bport\W{1,2}\d{4,5}\b|\b(?:localhost|(?:\d{1,3}\.){3}\d{1,3}):\d{4,5}\b",
        ]
    )
)
_NETWORK = re.compile(
    "|".join(
        [
            r"connection (?:refused|reset|aborted|timed out|closed)",
            r"network is (?:unreachable|down)|no route to host",
            r"name or service not known|(?:temporary failure in )?name resolution|getaddrinfo|could not resolve host",
            r"nodename nor servname|ssl handshake|max retries exceeded with url",
        ]
    ),
    re.IGNORECASE,
)
_Hide = Callable[[str], str]


def reasons(outcome: Outcome | Gap) -> tuple[Reason, ...]:
    """Why the recorded harness's own shadow came out so; nothing where it did all that the record holds.

    There are two where both times and names are different, else one.
    """
    if isinstance(outcome, Gap):
        return (outcome.kind,)
    if isinstance(outcome, Touched):
        return _of_touch(outcome)
    if isinstance(outcome, NotPreviewable):
        return ("randomness",) if outcome.drew else ("unknown",)
    return ()


def differ(recorded: str, now: str) -> tuple[Reason, ...]:
    """What two different texts differ by. They may be whole, or the lines alone that are not in both."""
    if recorded == now:  # the same lines in other places
        return ("order",)
    for found, hide in _HIDDEN:
        if hide(recorded) == hide(now):
            return found
    if sorted(_words(recorded)) == sorted(_words(now)):
        return ("order",)
    if set(_NETWORK.findall(recorded)) != set(_NETWORK.findall(now)):
        return ("network",)
    return ("unknown",)


def _of_touch(outcome: Touched) -> tuple[Reason, ...]:
    if outcome.kinds == ("order",):
        return ("order",)
    lines = outcome.diff.split("\n")[2:]
    old, new = ([line[1:] for line in lines if line.startswith(sign)] for sign in "-+")
    # Of another call, or of a difference that is not shown in full, nothing can be told.
    if outcome.kinds == (outcome.method,) or not (old and new) or lines[-1].startswith(CUT):
        return ("unknown",)
    return differ("\n".join(old), "\n".join(new))


def _clock(text: str) -> str:
    return _CLOCK.sub("\0", text)


def _names(text: str) -> str:
    return _NAMES.sub("\1", text)


_HIDDEN: tuple[tuple[tuple[Reason, ...], _Hide], ...] = (
    (("clock",), _clock),
    (("names",), _names),
    (("clock", "names"), lambda text: _clock(_names(text))),
)
"""The fewest kinds of what is hidden come first."""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)
