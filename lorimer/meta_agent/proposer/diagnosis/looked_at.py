"""Which trials are counted: all of them where there are few, else as many of every task as a tool can look at in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from lorimer.meta_agent.proposer.cases import Case, Cases
from lorimer.meta_agent.proposer.diagnosis.kinds import Facts

STEPS = 2_500
"""Steps of failed trials and of solved ones that are counted: 5,000 take 0.13 s (`bench/traces.py`) and tell what is frequent."""


class LookedAt:
    """The trials of a session that are counted, with the facts of their steps, which are read once."""

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self._facts: dict[str, Facts] = {}
        self.failed = spread([case for case in cases.cases if not case.solved], STEPS)
        self.solved = spread([case for case in cases.cases if case.solved], STEPS)

    @property
    def whole(self) -> bool:
        """Whether these are all trials."""
        return len(self.failed) + len(self.solved) == len(self._cases.cases)

    def facts(self, cases: Sequence[Case]) -> list[Facts]:
        """The facts of these cases, in order."""
        missing = [case for case in cases if case.name not in self._facts]
        if missing:
            found = self._cases.recorded.outlines([case.name for case in missing])
            self._facts.update({case.name: Facts(case, tuple(found.get(case.name, ()))) for case in missing})
        return [self._facts[case.name] for case in cases]

    def remark(self) -> str:
        """What is said where not all were looked at; empty where all were."""
        if self.whole:
            return ""
        return f"[Counted are {len(self.failed)} failed and {len(self.solved)} solved trials, as many of every task as possible.]"


def spread(cases: Sequence[Case], steps: int) -> tuple[Case, ...]:
    """Choose as many cases as have about `steps` steps together, at least one, in the order given: the first of every task, then
    the second, and so on."""
    by_task: dict[str, list[Case]] = {}
    for case in cases:
        by_task.setdefault(case.task, []).append(case)
    chosen, used = set[str](), 0
    for row in zip_longest(*by_task.values()):
        for case in row:
            if case is None:
                continue
            # A model call and a command each turn.
            used += 2 * case.model_calls + 1
            if chosen and used > steps:
                return tuple(case for case in cases if case.name in chosen)
            chosen.add(case.name)
    return tuple(cases)
