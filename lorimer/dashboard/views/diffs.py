"""Two texts side by side, line by line. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

CONTEXT = 3
"""Equal lines that are kept around what differs."""
MOST = 1_500
"""Rows at most: an edit of a harness has a few dozen."""


@dataclass(frozen=True)
class Beside:
    """One row; a side that has no line there is `None`."""

    kind: str
    """`same`, `changed`, `removed`, `added`, or `gap` where equal lines are left out."""
    left: int | None = None
    """The line's number, from 1."""
    right: int | None = None
    before: str = ""
    after: str = ""
    skipped: int = 0
    """The number of lines that a gap skips."""


def side_by_side(before: str, after: str) -> list[Beside]:
    """The lines that differ with some around them. Lines that were replaced stand beside each other in order."""
    a, b = before.splitlines(), after.splitlines()
    found: list[Beside] = []
    done = 0
    for cluster in difflib.SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(CONTEXT):
        start = cluster[0][1]
        if start > done:
            found.append(Beside("gap", skipped=start - done))
        for what, i, j, k, m in cluster:
            found += _rows(what, range(i, j), range(k, m), a, b)
        done = cluster[-1][2]
    if found and done < len(a):
        found.append(Beside("gap", skipped=len(a) - done))
    return found[:MOST]


def size(hunks: Sequence[dict[str, str]]) -> tuple[int, int]:
    """The lines that an edit takes away, and those that it puts in."""
    removed = added = 0
    for hunk in hunks:
        for line in difflib.ndiff(hunk["search"].splitlines(), hunk["replace"].splitlines()):
            removed += line.startswith("- ")
            added += line.startswith("+ ")
    return removed, added


def _rows(what: str, left: range, right: range, a: Sequence[str], b: Sequence[str]) -> list[Beside]:
    if what == "equal":
        return [Beside("same", i + 1, j + 1, a[i], b[j]) for i, j in zip(left, right, strict=True)]
    both = min(len(left), len(right))
    rows = [Beside("changed", i + 1, j + 1, a[i], b[j]) for i, j in zip(left[:both], right[:both], strict=True)]
    rows += [Beside("removed", left=i + 1, before=a[i]) for i in left[both:]]
    return rows + [Beside("added", right=j + 1, after=b[j]) for j in right[both:]]
