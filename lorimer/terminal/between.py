"""Two harnesses, for people: their diff, and the tasks that they do not solve alike."""

from __future__ import annotations

from lorimer.meta_agent.reports.between import Between
from lorimer.meta_agent.reports.flips import Flips
from lorimer.terminal.words import table


def text(found: Between) -> str:
    """The diff first, as tools that read one skip what follows it."""
    said = found.diff.rstrip("\n")
    if found.flips is None:
        return f"{said}\n\n{found.note}".lstrip("\n")
    return f"{said}\n\n{flips_text(found.flips)}".lstrip("\n")


def flips_text(found: Flips) -> str:
    """A line for every task that flipped, and what chance alone would give."""
    rows = [
        (each.task, f"{each.before:.2f}", f"{each.after:.2f}", f"{each.trials[0]}, {each.trials[1]}", each.flip)
        for each in found.tasks
        if each.flip
    ]
    listed = [table(("task", "before", "after", "trials", ""), rows)] if rows else []
    return "\n".join([*listed, str(found)])
