"""How many of a study's promotions to expect to be false. Pure.

A test at level a passes an edit without effect with a chance of at most a. So of a study's tests at most the sum of their
levels would pass if no edit had an effect; the edits that have one only lower that. Under `error = "study"` the levels are such
that, in expectation, at most the share alpha of all promotions is false.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lorimer.meta_agent.gate.cost import held_back

PLAIN = 0.5
"""The chance of a false promotion under `strict`, which has no level: of two harnesses that are alike, each is ahead equally
often."""


class Test(Protocol):
    """A full run's decision, as stored."""

    kind: str
    numbers: dict[str, Any]
    policy: dict[str, Any]


@dataclass(frozen=True)
class FalsePromotions:
    """What luck alone would do in a study."""

    tests: int
    """Full runs that were decided."""
    passed: int
    """The tests that were passed; the holdout may have vetoed some, and the bound on cost have held some back."""
    expected: float
    """How many would pass, at most, if no edit had an effect."""
    bounded: bool
    """Whether that is a bound; `strict` has none."""
    share: float | None
    """The share of promotions that is false in expectation, at most; `None` where no such thing is claimed."""

    def __str__(self) -> str:
        if not self.tests:
            return "no test has been decided yet"
        tests = "1 test" if self.tests == 1 else f"{self.tests} tests"
        most = "at most" if self.bounded else "about"
        said = f"{self.passed} of {tests} passed; were all edits without effect, {most} {self.expected:.2g} would pass by luck"
        if not self.bounded:
            said += " (policy strict has no bound)"
        if self.share is not None:
            said += f"; of a study's promotions at most {self.share:.0%} are false, in expectation"
        return said


def expect(tests: Sequence[Test], gate: Mapping[str, Any]) -> FalsePromotions:
    """What to expect after these tests of a study with these [gate] settings."""
    levels = [PLAIN if _plain(test) else float(test.policy.get("alpha", PLAIN)) for test in tests]
    whole = gate.get("error") == "study" and not any(map(_plain, tests))
    return FalsePromotions(
        tests=len(tests),
        passed=sum(test.kind == "promote" or held_back(test.kind, test.numbers) for test in tests),
        expected=math.fsum(levels),
        bounded=not any(map(_plain, tests)),
        share=float(gate["alpha"]) if whole else None,
    )


def _plain(test: Test) -> bool:
    return test.policy.get("name") == "strict"
