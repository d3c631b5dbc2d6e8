"""Words that several rooms put together in the same way. The standard library alone: every room may import it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence

STANDARD_OUTPUT = "standard output"
"""What errors of writing to it name, as those of a file name the file."""
UNREAD = "nobody reads its output any more"
"""Why work stopped whose output is a pipe that was closed."""

_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control and format characters, lone surrogates, and separators of lines: a terminal moves, hides or turns text by them."""

_MOST_DECIMALS = 12
"""Amounts that are alike up to there are said alike."""

LONGEST_WORDS = 500
"""The provider's words are cut to so many characters in a message of one line: enough for what is wrong, where some servers
answer with a page."""


def minute(made: str) -> str:
    """A stored time (UTC, ISO 8601) for people, with its zone: `2026-11-27 06:22 UTC`."""
    return f"{made[:16].replace('T', ' ')} UTC"


def count(number: int, noun: str) -> str:
    """`1 trial`, `3 trials`: for nouns whose plural takes an s."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def first_names(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: the first `most` of the names, and how many others there are."""
    others = len(names) - most
    return ", ".join(names[:most]) + (f" and {others} more" if others > 0 else "")


def dollars(value: float | None) -> str:
    """An amount of dollars as it is said everywhere, or that it is unknown: `$1,234.50`, `$0.7570`, `$0.0000457`, `$0.00`.

    What is under a dollar has four decimals, and more where these would leave fewer than three digits that count: most calls
    cost less than a cent, and none is said to cost nothing.
    """
    return "$ unknown" if value is None else f"${value:,.{_decimals(value)}f}"


def is_unread(error: BaseException) -> bool:
    """Whether it says that nobody reads standard output: a broken pipe of another kind is a fault."""
    return isinstance(error, BrokenPipeError) and error.filename == STANDARD_OUTPUT


def dollars_apart(values: Sequence[float]) -> list[str]:
    """Several amounts as `dollars` says them, or with so many decimals more that those which differ are told apart."""
    decimals = max(map(_decimals, values), default=0)
    return told_apart(values, list(map(dollars, values)), lambda value, more: f"${value:,.{more}f}", decimals)


def percents_apart(values: Sequence[float]) -> list[str]:
    """Shares in whole percent, or with so many decimals that those which differ are told apart."""

    def form(value: float, decimals: int) -> str:
        return f"{value:.{decimals}%}"

    return told_apart(values, [form(value, 0) for value in values], form, 0)


def scores_apart(values: Sequence[float]) -> list[str]:
    """Mean rewards with three decimals, or with so many more that those which differ are told apart: one solved trial of 2,736
    is 0.0004. What is alike up to nine decimals does not differ."""

    def form(value: float, decimals: int) -> str:
        return f"{value:.{decimals}f}"

    values = [round(value, 9) for value in values]
    return told_apart(values, [form(value, 3) for value in values], form, 3)


def digits_apart(values: Sequence[float], digits: int) -> list[str]:
    """Numbers with so many digits, or with so many more that those which differ are told apart."""

    def form(value: float, more: int) -> str:
        return f"{value:.{more}g}"

    return told_apart(values, [form(value, digits) for value in values], form, digits)


def told_apart(values: Sequence[float], said: list[str], form: Callable[[float, int], str], decimals: int) -> list[str]:
    """What is `said` of the values, or their `form` with so many decimals that those which differ are told apart.

    Args:
        decimals: the most that any has in what is said.
    """
    while len(set(said)) < len(set(values)) and decimals < _MOST_DECIMALS:
        decimals += 1
        said = [form(value, decimals) for value in values]
    return said


def _decimals(value: float) -> int:
    if value == 0 or abs(value) >= 1:
        return 2
    return min(_MOST_DECIMALS, max(4, 2 - math.floor(math.log10(abs(value)))))


def a(word: str) -> str:
    """`a run`, `an optimize`."""
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def visible(text: str) -> str:
    """A text of somebody else's for a terminal: what it would obey (control characters, turns of direction) is shown as `\\x1b`.

    Newlines and tabs stay.
    """
    # Most lines hold nothing of the kind, which is seen of a whole line at once: a long log has a million letters.
    return "\n".join(line if line.isprintable() else _visible(line) for line in text.split("\n"))


def visible_line(text: str) -> str:
    """The same in one line."""
    return visible(" ".join(text.split()))


def _visible(line: str) -> str:
    return "".join(letter if letter == "\t" or not _is_obeyed(letter) else _escape(letter) for letter in line)


def _is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) in _OBEYED and letter not in "\u200c\u200d"  # joiners, as in Persian and emoji


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def quoted(words: str) -> str:
    """A provider's words, for a message of one line."""
    line = " ".join(words.split()) or "it gave no reason"
    return f'"{line[:LONGEST_WORDS]}…"' if len(line) > LONGEST_WORDS else f'"{line}"'
