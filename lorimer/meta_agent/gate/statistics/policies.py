"""What complete trials must show to be promoted: one function a policy. Pure.

- `paired`: a higher mean and p <= alpha of the stratified permutation test.
- `eprocess`: a higher mean and evidence of at least 1/alpha of a test by betting, which may be looked at again and again.
- `strict`: a higher mean.

A new policy is one more function in `RULES`; it inherits errors, futility and wording from the gate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from statistics import NormalDist
from typing import Any

from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate.statistics.permutation import TIE, Pair, permutation_test
from lorimer.meta_agent.gate.statistics.pooled import p_value, surplus
from lorimer.meta_agent.gate.statistics.revisions import NEWEST, REVISIONS, Ends
from lorimer.meta_agent.gate.statistics.scores import mean_of
from lorimer.wording import digits_apart

Value = str | int | float | bool | None

STAKES = tuple(step / 20 for step in range(1, 20))
"""What the bettors of `evidence` stake. None stakes all, so that one loss ruins nobody."""


@dataclass(frozen=True)
class Policy:
    """How strict the gate is."""

    name: PolicyName = "paired"
    alpha: float = 0.1
    """Chance that an edit without effect is promoted, per candidate (`paired`, `eprocess`)."""
    futility: float = 0.0
    """A full run ends when an edit worth finding would be promoted from here with a smaller chance than this; 0 ends it
    only when nothing could. Not for `strict`."""
    max_errored: float = 0.2
    """Share of an arm's planned trials that may have errored."""
    holdout_margin: float = 0.1
    """The holdout's mean may be worse by this."""
    max_cost_increase: float | None = None
    """A trial may cost more than the champion's by this share; `None` for no bound."""
    cost_increase_per_point: float = 0.0
    """The bound rises by this share for each point (0.01) of mean reward gained."""
    revision: int = NEWEST
    """Which of the gate's numbers for ends count (`gate.statistics.revisions`)."""
    doubt: float = 0.0
    """That of the champion's arm in one comparison (`pooled`)."""
    seed: int = 0
    """The seed of the Monte-Carlo draws, where rewards are graded too finely for an exact p."""
    draws: int = 10_000
    """Monte-Carlo draws; fewer where tasks are many, and said with the result."""

    @property
    def ends(self) -> Ends:
        """Where spot-checks, full runs and confirmations end."""
        return REVISIONS[self.revision]

    @cached_property
    def early_alpha(self) -> float:
        """The level at which a pooled run may end before its plan does, for what is better."""
        return 1 - NormalDist().cdf(self.ends.early)

    def as_json(self) -> dict[str, Value]:
        return {
            "name": self.name,
            "revision": self.revision,
            "alpha": self.alpha,
            "futility": self.futility,
            "max_errored": self.max_errored,
            "holdout_margin": self.holdout_margin,
            "max_cost_increase": self.max_cost_increase,
            "cost_increase_per_point": self.cost_increase_per_point,
        }


@dataclass(frozen=True)
class Bar:
    """Whether trials reach a policy's bar, and how to say so."""

    met: bool
    said: str
    values: Mapping[str, Value] = field(default_factory=dict)
    slack: Callable[[], float] = field(default=lambda: 0.0, compare=False, repr=False)
    """Weighted rewards that the candidate may lose, or the champion win, before this bar's p could exceed its level, at most."""

    def numbers(self) -> dict[str, Value]:
        return dict(self.values)


def means(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The candidate's and the champion's mean over tasks of each task's mean reward."""
    candidate, champion = zip(*(pair.means for pair in pairs), strict=True)
    return mean_of(candidate), mean_of(champion)


def evidence(pairs: Sequence[Pair]) -> float:
    """The e-value of a test by betting that the candidate is better: 1 says nothing, 1/alpha is as rare as alpha.

    A task's champion trials are dealt in equal blocks to the candidate's planned trials. Trial j bets on D = its reward
    minus the mean of block j, which is in -1..1. Were the edit without effect, the trials of a task would be
    exchangeable, so D has mean 0 given all earlier D; a bettor that stakes a fixed share s of its wealth then has the
    fair game prod(1 + s D), and so has the mean of several bettors. By Ville's inequality its wealth reaches 1/alpha
    *at any time* with a chance of at most alpha: trials may be added or stopped at will. The wealth does not depend on
    the order of the bets and rises with every reward, so futility is exact here too.

    Sources: Ville 1939; Shafer, "Testing by betting" (JRSS A 2021); Waudby-Smith and Ramdas, "Estimating means of bounded
    random variables by betting" (JRSS B 2024), whose mixture over stakes this is.
    """
    bets = Counter(chain.from_iterable(pair.once(wagers) for pair in pairs))
    logs = [math.fsum(count * math.log1p(stake * won) for won, count in bets.items()) for stake in STAKES]
    highest = max(logs)
    return math.exp(min(highest, 700.0)) * mean_of([math.exp(log - highest) for log in logs])


def wagers(pair: Pair) -> tuple[float, ...]:
    """How much more than its block of the champion's each trial of a task won, where that is not nothing."""
    planned = max(pair.planned, len(pair.candidate))
    size = max(1, len(pair.champion) // planned)
    won = (
        reward - mean_of(pair.champion[number * size : (number + 1) * size])
        for number, reward in enumerate(pair.candidate[: len(pair.champion) // size])
    )
    return tuple(each for each in won if abs(each) > TIE)


def _paired(pairs: Sequence[Pair], policy: Policy) -> Bar:
    candidate, champion = means(pairs)
    test = permutation_test(pairs, seed=policy.seed, draws=policy.draws)
    higher = candidate > champion + TIE
    p, level = _told(test.p, policy.alpha)
    said = f", p = {p}"
    if test.method == "monte-carlo":
        said += f" (Monte-Carlo, ± {test.error:.3f})"
    said += f", needs p <= {level}"
    if not higher:
        said += " and a higher mean"
    values: dict[str, Value] = {"p": test.p, "alpha": policy.alpha, "method": test.method, "p_error": test.error}
    return Bar(higher and test.p <= policy.alpha + TIE, said, values, partial(test.slack, policy.alpha))


def _pooled(pairs: Sequence[Pair], policy: Policy) -> Bar:
    candidate, champion = means(pairs)
    found = p_value(pairs, policy.doubt)
    higher = candidate > champion + TIE
    values: dict[str, Value] = {"p": found, "alpha": policy.alpha, "method": "normal", "doubt": policy.doubt}
    said = f", {bar_words(values)}" + ("" if higher else " and a higher mean")
    return Bar(higher and found <= policy.alpha, said, values)


def _eprocess(pairs: Sequence[Pair], policy: Policy) -> Bar:
    candidate, champion = means(pairs)
    found = evidence(pairs)
    higher = candidate > champion + TIE
    values: dict[str, Value] = {"e": found, "alpha": policy.alpha}
    said = f", {bar_words(values)}" + ("" if higher else " and a higher mean")
    return Bar(higher and found >= 1 / policy.alpha, said, values)


def _strict(pairs: Sequence[Pair], policy: Policy) -> Bar:
    candidate, champion = means(pairs)
    return Bar(candidate > champion + TIE, ", needs a strictly higher mean")


RULES: Mapping[PolicyName, Callable[[Sequence[Pair], Policy], Bar]] = {
    "pooled": _pooled,
    "paired": _paired,
    "eprocess": _eprocess,
    "strict": _strict,
}
_ASKED: Mapping[PolicyName, Callable[[Pair], object]] = {
    "pooled": lambda pair: pair.once(surplus),
    "paired": lambda pair: pair.informative,
    "eprocess": lambda pair: pair.once(wagers),
    "strict": lambda pair: pair.means,
}


def prepare(pair: Pair, policy: Policy) -> Pair:
    """The pair, with what a test will ask of it found ahead: a test of a thousand pairs then adds up."""
    _ASKED[policy.name](pair)
    _ = pair.means
    return pair


ANYTIME: frozenset[PolicyName] = frozenset({"eprocess"})
"""Policies that may promote at the end of any round of the plan, not only of the last one."""


def bar_words(numbers: Mapping[str, Any]) -> str:
    """What a decision's numbers say of the bar: what was reached, and what it needs; empty for a policy without one."""
    alpha = numbers.get("alpha")
    if alpha is None:
        return ""
    if numbers.get("e") is not None:
        reached, needed = digits_apart([numbers["e"], 1 / alpha], 3)
        return f"evidence {reached} to 1, needs {needed}"
    p, level = _told(numbers["p"], alpha)
    return f"p = {p}, needs p <= {level}"


def _told(p: float, alpha: float) -> tuple[str, str]:
    """A p-value and its level with few digits, or with as many as it takes to tell them apart. What is above its level by
    the rounding of floats alone passes, so it is said to be at it."""
    p = alpha if abs(p - alpha) <= TIE else p
    said = f"{p:.1e}" if p < 0.0005 else f"{p:.3f}" if p < 0.095 else f"{p:.2f}"
    level = f"{alpha:.2f}" if round(alpha, 2) == alpha else f"{alpha:.2g}"
    digits = 2
    while (float(said) > float(level)) != (p > alpha) and digits < 17:
        digits += 1
        said, level = f"{p:.{digits}g}", f"{alpha:.{digits}g}"
    return said, level
