"""Which of a benchmark's tasks a list of names and patterns means."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from lorimer.errors import NoSuchTask


def chosen(ids: Sequence[str], only: Sequence[str], where: str = "") -> set[str]:
    """Those of `ids` that match one of `only`, or all.

    Raises NoSuchTask, with the nearest name and after `where`, when patterns match none.
    """
    if not only:
        return set(ids)
    there = set(ids)
    matched = {pattern: _matching(pattern, there) for pattern in only}
    if missing := tuple(pattern for pattern, found in matched.items() if not found):
        near = difflib.get_close_matches(missing[0], ids, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise NoSuchTask(f"{where}no task matches '{missing[0]}'{hint}", missing)
    return set().union(*matched.values())


def _matching(pattern: str, ids: set[str]) -> set[str]:
    # A study asks for thousands of tasks by name: each is one look, not one for each task that there is.
    exact = {pattern} & ids
    return exact | {id_ for id_ in ids if fnmatchcase(id_, pattern)} if set("*?[") & set(pattern) else exact
