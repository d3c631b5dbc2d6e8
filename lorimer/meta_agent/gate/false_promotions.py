"""How many of a study's promotions to expect to be false. Pure.

A test at level a passes an edit without effect with a chance of at most a. So of a study's tests at most the sum of their
levels would pass if no edit had an effect; the edits that have one only lower that. Under `error = "study"` the levels are such
that, in expectation, at most the share alpha of all promotions is false.

That is a bound, and far above what happens: a run that begins badly ends before its test, the mean must be higher as well, what
passed is confirmed, and a champion that stands is rather a lucky one. So the estimate is what simulated studies promote of edits
without effect. It takes every edit of the study for one of these, so it is still rather too high than too low.
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


SIMULATED = {"paired": 0.23, "pooled": 0.19, "eprocess": 0.19, "strict": 0.09}
"""How often an edit without effect is promoted, as a share of its test's level, by policy: of 60 such edits each in 60 simulated
studies on the panel of docs/gate.md (`python -m bench.gate`; of `eprocess`, of 1,000 candidates). Standard errors are 0.03, 0.02,
0.04 and 0.01. On 12 tasks it is far seldomer; on 300, or where most rates are near one half, oftener, up to the bound."""
SURE = 0.95
"""How seldom there are more than the estimate's upper end."""


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
    promoted: int
    """What passed and was neither vetoed nor held back."""
    estimated: float
    """How many of them are false, as simulated."""
    most: int
    """How many of them are false at most, in 19 of 20 studies like this one."""

    @property
    def false_share(self) -> float | None:
        """The share of the promotions that is false, as estimated; `None` where there are none."""
        return min(1.0, self.estimated / self.promoted) if self.promoted else None

    def __str__(self) -> str:
        if not self.tests:
            return "no test has been decided yet"
        tests = "1 test" if self.tests == 1 else f"{self.tests} tests"
        most = "at most" if self.bounded else "about"
        said = f"{self.passed} of {tests} passed; were all edits without effect, {most} {self.expected:.2g} would pass by luck"
        if not self.bounded:
            said += " (policy strict has no bound)"
        said += f", and in simulated studies about {self.estimated:.2g}"
        if self.false_share is not None:
            all_of_them = f", seldom more than {self.most}" if self.most < self.promoted else ""
            said += (
                f"; so the 1 promotion is false with a chance of about {self.false_share:.0%}"
                if self.promoted == 1
                else f"; so about {self.false_share:.0%} of the {self.promoted} promotions are false{all_of_them}"
            )
        if self.share is not None:
            said += f"; of a study's promotions at most {self.share:.0%} are false, in expectation"
        return said


def expect(tests: Sequence[Test], gate: Mapping[str, Any], promoted: int) -> FalsePromotions:
    """What to expect after these tests of a study with these [gate] settings, after which so many candidates were promoted."""
    levels = [PLAIN if _plain(test) else float(test.policy.get("alpha", PLAIN)) for test in tests]
    whole = gate.get("error") == "study" and not any(map(_plain, tests))
    estimated = math.fsum(
        SIMULATED.get(str(test.policy.get("name")), 1.0) * level for test, level in zip(tests, levels, strict=True)
    )
    return FalsePromotions(
        tests=len(tests),
        passed=sum(test.kind == "promote" or held_back(test.kind, test.numbers) for test in tests),
        expected=math.fsum(levels),
        bounded=not any(map(_plain, tests)),
        share=float(gate["alpha"]) if whole else None,
        promoted=promoted,
        estimated=estimated,
        most=_most(estimated),
    )


def _most(expected: float) -> int:
    """The number that a Poisson count exceeds in at most one case of twenty."""
    count, term = 0, math.exp(-expected)
    total = term
    while total < SURE:
        count += 1
        term *= expected / count
        total += term
    return count


def _plain(test: Test) -> bool:
    return test.policy.get("name") == "strict"
