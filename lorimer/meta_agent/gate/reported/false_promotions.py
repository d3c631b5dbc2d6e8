"""How many of a study's promotions to expect to be false. Pure.

What luck alone would do is known in two ways. A test at level a of a policy with a proof passes an edit without effect with a
chance of at most a, so at most the sum of the levels would pass. Far fewer are promoted: a run that begins badly ends before its
test, the mean must be higher as well, what passed is confirmed, and a champion that stands is rather a lucky one. How many are is
known from simulated studies.

How many of the promotions there are luck made is told by how far ahead these were. A promotion's rarity is the share of the
promotions of edits without effect that are as far ahead as it: among these it is spread evenly from 0 to 1, so luck makes few
that are rare. Cut anywhere: luck makes as many of the rarer ones as its share comes to, and at the worst all of the others. The
cut at which that is least gives the estimate. Where luck may well have made as many as there are at every cut, none is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

from lorimer.meta_agent.gate.cost import held_back

PLAIN = 0.5
"""The chance of a false promotion under `strict`, which has no level: of two harnesses that are alike, each is ahead equally
often."""
PROVEN = frozenset({"paired", "eprocess"})
"""The policies of which it is proven that a test passes an edit without effect with a chance of at most its level."""
BY_LUCK = {"paired": 0.30, "pooled": 0.25, "eprocess": 0.25, "strict": 0.12}
"""How many edits without effect are promoted, as a share of the levels of their tests, by policy: 1.3 times what 60 simulated
studies each came to on the panel of docs/gate.md. That is 0.23, 0.19, 0.19 (of 1,000 candidates) and 0.09, with standard errors
of 0.03, 0.02, 0.04 and 0.01; the suite and the other edits move it, and docs/decisions.md has what comes of it."""
TAIL = {1: 3.0, 2: 2.5, 3: 2.5}
"""A confirmed edit without effect leads by z standard errors or more about so many times as often as a standard normal number
is z or more, by `[gate] revision`: a confirmation that is ahead ends there, so it is oftener than twice. By revision 1 it is 2 to
3.4 times, by the others 2 to 2.9 times, as far as 5 standard errors. The exact number at each z does not estimate better."""
SURE = 0.975
"""How surely luck makes no more of the rarer promotions than is allowed for at a cut. There are several cuts; docs/decisions.md
has how often more were false."""
EQUAL = "route"
"""The number of a decision that says by which way a harness was promoted that was not better."""


class Test(Protocol):
    """A full run's decision, or a confirmation's, as stored."""

    @property
    def kind(self) -> str: ...

    @property
    def numbers(self) -> Mapping[str, Any]: ...

    @property
    def policy(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Won:
    """A promotion by the decisions on its full run and on its audit."""

    full: Test
    audit: Test | None = None


@dataclass(frozen=True)
class Cut:
    """The promotions that were furthest ahead."""

    rarer: int
    by_luck: float
    """How many promotions so far ahead luck makes in such a study."""
    said: str = ""
    """What they all have; empty where there are none."""


@dataclass(frozen=True)
class FalsePromotions:
    """What luck alone would do in a study."""

    tests: int
    """Full runs that were decided."""
    passed: int
    """The tests that were passed; the holdout may have vetoed some, and the bound on cost have held some back."""
    expected: float
    """How many would pass if no edit had an effect: at most so many where that is bounded, else about."""
    bounded: bool
    """Whether that is a bound: it is proven of some policies."""
    share: float | None
    """The share of promotions that is false in expectation, at most; `None` where no such thing is claimed."""
    by_luck: float
    """How many would be promoted if no edit had an effect, as simulated."""
    promoted: int
    """What was promoted for being better."""
    equal: int
    """What was promoted for being no worse and simpler or cheaper: no gain was claimed."""
    cut: Cut
    """Those of the promotions that are told from luck best."""
    estimated: float
    """How many of the promotions are false: those that the cut leaves, and what luck makes of the others."""
    most: int
    """How many of them are false at most, in all but a few of 100 simulated studies like this one."""
    unknown: int
    """The promotions of which it is not known how far ahead they were."""

    @property
    def luck_alone(self) -> bool:
        """Whether luck may have made all of them: then it is not told how many it made."""
        return self.promoted > 0 and self.most >= self.promoted

    def __str__(self) -> str:
        if not self.tests:
            return "no test has been decided yet"
        tests = "1 test" if self.tests == 1 else f"{self.tests} tests"
        most = "at most" if self.bounded else "about"
        said = f"{self.passed} of {tests} passed; were all edits without effect, {most} {self.expected:.2g} would pass "
        said += f"and {_about(self.by_luck)} be promoted"
        if self.promoted:
            said += self._of_promotions()
        if self.equal:
            said += f"; {self.equal} more promoted as no worse and simpler or cheaper"
        if self.share is not None:
            said += f"; of a study's promotions at most {self.share:.0%} are false, in expectation"
        return said

    def _of_promotions(self) -> str:
        only, rarer = self.promoted == 1, self.cut.rarer
        them = "the 1 promotion" if only else f"the {self.promoted} promotions"
        said = ""
        if rarer:
            which = them if rarer == self.promoted else f"{rarer} of {them}"
            said += f"; {which} {'has' if rarer == 1 else 'have'} {self.cut.said}, of which luck makes "
            said += _about(self.cut.by_luck)
        if self.unknown:
            which = them if self.unknown == self.promoted else f"{self.unknown} of {them}"
            said += f"; how far ahead {which} {'was' if self.unknown == 1 else 'were'} is not known"
        if self.luck_alone:
            return f"{said}; luck alone may have made {'it' if only and said else them if only else f'all {self.promoted}'}"
        if only:
            return f"{said}; so it is false with a chance of {_about(self.estimated, percent=True)}"
        if not self.most:
            return f"{said}; so hardly any of the {self.promoted} is false"
        return f"{said}; so {_about(self.estimated)} of the {self.promoted} are false, seldom more than {self.most}"


def expect(tests: Sequence[Test], gate: Mapping[str, Any], promotions: Sequence[Won]) -> FalsePromotions:
    """What to expect after these tests of a study with these [gate] settings, of which these promotions came."""
    levels = [_level(test) for test in tests]
    by_luck = math.fsum(BY_LUCK.get(_name(test), 1.0) * level for test, level in zip(tests, levels, strict=True))
    bounded = all(_name(test) in PROVEN for test in tests)
    better = [won for won in promotions if EQUAL not in won.full.numbers]
    alike = len({_level(won.full) for won in better}) == 1
    ahead = sorted(_rarity(won, alike) for won in better)
    cuts = [Cut(0, 0.0), *(Cut(k, by_luck * share, said) for k, (share, said) in enumerate(ahead, 1))]
    cut = min(cuts, key=lambda each: each.by_luck - each.rarer)
    return FalsePromotions(
        tests=len(tests),
        passed=sum(test.kind == "promote" or held_back(test.kind, test.numbers) for test in tests),
        expected=math.fsum(levels),
        bounded=bounded,
        share=float(gate["alpha"]) if bounded and gate.get("error") == "study" else None,
        by_luck=by_luck,
        promoted=len(better),
        equal=len(promotions) - len(better),
        cut=cut if cut.said else Cut(0, 0.0),
        estimated=len(better) - cut.rarer + cut.by_luck,
        most=len(better) - max(each.rarer - _seldom_more(each.by_luck) for each in cuts),
        unknown=sum(not said for _, said in ahead),
    )


def _rarity(won: Won, alike: bool) -> tuple[float, str]:
    """Which share of the promotions of edits without effect is as far ahead as this one, and what it has in common with all that
    are further ahead; 1 and nothing where that is not known.

    Under `pooled` a full run ends when it is far enough ahead, so its p says nothing; its confirmation is of fresh trials.

    Args:
        alike: whether all promotions were tested at the same level.
    """
    numbers, level = won.full.numbers, _level(won.full)
    if _name(won.full) == "paired" and numbers.get("p") is not None:
        share = min(1.0, float(numbers["p"]) / level)
        return share, f"p <= {_up(float(numbers['p']))}" if alike else f"a p of at most {_up(share)} times its level"
    audit = won.audit
    if _name(won.full) == "pooled" and audit is not None and audit.numbers.get("error"):
        lead = float(audit.numbers["difference"]) / float(audit.numbers["error"])
        share = min(1.0, TAIL[int(audit.policy.get("revision", 1))] * (1 - NormalDist().cdf(lead)))
        return share, f"a lead of {math.floor(10 * lead) / 10:.1f} standard errors or more in the confirmation"
    return 1.0, ""


def _seldom_more(expected: float) -> int:
    """The number that a Poisson count exceeds in at most 1 - SURE of all cases."""
    if expected > 100:
        return math.ceil(expected + NormalDist().inv_cdf(SURE) * math.sqrt(expected))
    count, term = 0, math.exp(-expected)
    total = term
    while total < SURE:
        count += 1
        term *= expected / count
        total += term
    return count


def _level(test: Test) -> float:
    return PLAIN if _name(test) == "strict" else float(test.policy.get("alpha", PLAIN))


def _name(test: Test) -> str:
    return str(test.policy.get("name"))


def _about(number: float, *, percent: bool = False) -> str:
    """A number that is known roughly, in words."""
    if number < 0.01:
        return f"less than {'1%' if percent else '0.01'}"
    return f"about {f'{number:.0%}' if percent else f'{number:.2g}'}"


def _up(p: float) -> str:
    """A number with two digits, rounded up, so that what is said to be at most so much is."""
    digits = 1 - math.floor(math.log10(p)) if p > 0 else 2
    return f"{math.ceil(round(p * 10**digits, 6)) / 10**digits:.2g}"
