"""What the meta-agent reads of a preview: text of bounded length, cases by their names, each difference once."""

from __future__ import annotations

from collections.abc import Iterator

from lorimer.meta_agent.proposer.cases import CUT_MARK_CHARS, cut
from lorimer.meta_agent.proposer.touching import summary
from lorimer.task_agent.shadow.outcome import Touched
from lorimer.task_agent.shadow.previewed import Preview, Previewed

DIFFS = 4
"""Differences that are shown. Edits differ in one or two ways; a model that wants more edits less at once."""
DIFF_CHARS = 2_000
"""The room for one difference: the record's side and the edit's, each with the lines around."""
NAMED = 12
"""Trials named after a kind of difference."""


def told(preview: Preview, room: int) -> str:
    """Which trials an edit touches, by kind of first difference, and the differences themselves, in at most `room` characters."""
    lines = [f"This edit would be accepted. It {summary(preview.touches)}."]
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[Previewed, Touched]]] = {}
    for each, outcome in _touched(preview):
        groups.setdefault((outcome.method, outcome.kinds), []).append((each, outcome))
    for (method, kinds), found in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        lines.append(f"First difference in {method} ({', '.join(kinds)}), {len(found)} trials: {_named(found)}")
    shown: dict[str, str] = {}
    for each, outcome in _touched(preview):
        if outcome.diff not in shown and len(shown) < DIFFS:
            where = f"{each.case}, step {outcome.step} of {outcome.of}, {outcome.method}"
            shown[outcome.diff] = f"== {where} ==\n{cut(outcome.diff, DIFF_CHARS)}"
    text = "\n".join([*lines, *shown.values()])
    return text if len(text) <= room else cut(text, room - CUT_MARK_CHARS)


def _touched(preview: Preview) -> Iterator[tuple[Previewed, Touched]]:
    """The failed trials first: those are what an edit is for."""
    for solved in (False, True):
        for each in preview.trials:
            if each.solved is solved and isinstance(each.outcome, Touched):
                yield each, each.outcome


def _named(found: list[tuple[Previewed, Touched]]) -> str:
    names = [f"{each.case} (step {outcome.step}{', solved' if each.solved else ''})" for each, outcome in found]
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
