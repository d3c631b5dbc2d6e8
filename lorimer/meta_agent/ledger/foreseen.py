"""What experiments foresaw and what came of it: how often predictions held, and how each kind of edit fares. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DecidedRun:
    """An experiment whose full run was decided."""

    kind: str
    """What its edit is about; empty where that was not stated."""
    promoted: bool
    fixes: frozenset[str]
    """Tasks that it should have fixed."""
    at_risk: frozenset[str]
    better: frozenset[str]
    """Tasks on which it did better."""
    worse: frozenset[str]

    @property
    def regressed(self) -> bool:
        """Whether it did worse on more tasks than better."""
        return len(self.worse) > len(self.better)


def lines(outcomes: Sequence[DecidedRun]) -> list[str]:
    """A line on predictions and one on kinds; none where nothing was decided."""
    if not outcomes:
        return []
    named, held = _counts((each.fixes, each.better) for each in outcomes)
    broken, foreseen = _counts((each.worse, each.at_risk) for each in outcomes)
    kinds = []
    for kind in sorted({each.kind for each in outcomes}, key=lambda kind: (kind == "", kind)):
        own = [each for each in outcomes if each.kind == kind]
        kept, fell = sum(each.promoted for each in own), sum(each.regressed for each in own)
        kinds.append(
            f"{kind or 'not stated'}: {len(own)} tested, {kept} promoted, {fell} did worse on more tasks than better"
        )
    return [
        f"Predictions of the last {len(outcomes)} with a full run: {held} of {named} tasks that they should fix did better; "
        f"{foreseen} of {broken} tasks that did worse were named as at risk.",
        f"Kinds of these edits: {'; '.join(kinds)}.",
    ]


def _counts(pairs: Iterable[tuple[frozenset[str], frozenset[str]]]) -> tuple[int, int]:
    """How many tasks the first sets hold, and how many of them the second ones hold too."""
    all_, both = 0, 0
    for wanted, found in pairs:
        all_ += len(wanted)
        both += len(wanted & found)
    return all_, both
