"""Text in a terminal's cells: what others wrote moves no cursor, and nothing is wider than it may be. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Style = Literal["", "bold", "dim", "good", "bad", "warn"]

SGR = {"bold": "1", "dim": "2", "good": "32", "bad": "31", "warn": "33"}
"""Those of the sixteen colours which every terminal has that can be read on black and on white."""


@dataclass(frozen=True)
class StyledText:
    """A text in one style."""

    text: str
    style: Style = ""


Row = Sequence[StyledText]


def clean(text: str) -> str:
    """A text in one line, without what a terminal would obey: titles and task names are written by models."""
    line = " ".join(text.split())
    return "".join("?" if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") else letter for letter in line)


def columns(text: str) -> int:
    """How many cells a text takes."""
    return sum(_cells(letter) for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The part of a text that so many cells hold; where it is cut it ends in two points."""
    if columns(text) <= width:
        return text
    kept, room = "", width - 2
    for letter in text:
        room -= _cells(letter)
        if room < 0:
            break
        kept += letter
    return (kept.rstrip() + "..")[: max(0, width)]


def wrapped(text: str, width: int, most: int) -> list[str]:
    """A text in at most so many lines, broken between words; the last one is cut."""
    lines, rest = list[str](), clean(text).split(" ")
    while rest and len(lines) < most - 1:
        line = rest.pop(0)
        while rest and columns(f"{line} {rest[0]}") <= width:
            line += f" {rest.pop(0)}"
        lines.append(cut(line, width))
    return [*lines, cut(" ".join(rest), width)] if rest else lines


def fit(row: Row, width: int) -> list[StyledText]:
    """The pieces that so many cells hold, the last one cut."""
    found = list[StyledText]()
    for piece in row:
        text = cut(clean_keeping_blanks(piece.text), width)
        found.append(StyledText(text, piece.style))
        width -= columns(text)
        if width <= 2:
            break
    return found


def clean_keeping_blanks(text: str) -> str:
    """`clean`, with blanks as they are: the rows of a picture are made of them."""
    return "".join(letter if letter == " " else clean(letter) or " " for letter in text)


def written(row: Row, *, colour: bool) -> str:
    """A row as a terminal takes it."""
    if not colour:
        return "".join(piece.text for piece in row).rstrip()
    return "".join(f"\x1b[{SGR[each.style]}m{each.text}\x1b[0m" if each.style else each.text for each in row)
