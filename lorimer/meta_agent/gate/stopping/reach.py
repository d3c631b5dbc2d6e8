"""Whether a run's best case still reaches the bar, asked of many of its prefixes. Pure.

Raising any reward never lowers what is held against a bar. So where a long prefix has a best case that meets the bar, every
shorter one has, and need not be tested. That is concluded only where arithmetic cannot make a difference: of a p that is exact,
which is right to 1e-11, and not of one that is drawn. So it changes no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from lorimer.meta_agent.gate.comparison import Arms
from lorimer.meta_agent.gate.statistics.permutation import Pair, surely_exact
from lorimer.meta_agent.gate.statistics.policies import RULES, Bar, Policy, means

_CLEAR = 1e-6
"""The slack in rewards, and as a share of evidence."""


def is_futile(arms: Arms, policy: Policy, at: int) -> bool:
    """Whether even full rewards for all trials after the first `at` miss the bar."""
    return arms.once(("reach", policy), lambda: _Reach(policy)).is_lost(arms, at)


class _Reach:
    """What is known of the prefixes of one run under a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lost: dict[int, bool] = {}
        self._within = -1
        """The longest prefix of which it is clear that its best case meets the bar."""

    def is_lost(self, arms: Arms, at: int) -> bool:
        if at <= self._within:
            return False
        if at not in self._lost:
            prefix = arms.prefix(at)
            best = prefix.best_case()
            bar = RULES[self._policy.name](best, self._policy) if best else None
            self._lost[at] = bar is not None and not bar.met
            if bar is not None and _clear(bar, best, prefix, self._policy):
                self._within = at
        return self._lost[at]


def _clear(bar: Bar, best: Sequence[Pair], arms: Arms, policy: Policy) -> bool:
    """Whether a best case meets its bar by more than arithmetic may be off."""
    mine, theirs = means(best)
    if not bar.met or mine < theirs + _CLEAR:
        return False
    found = bar.numbers()
    if policy.name == "eprocess":
        return float(found["e"] or 0.0) >= (1 + _CLEAR) / policy.alpha
    if policy.name == "strict":
        return True
    span = sum(pair.weight * len(pair.candidate) for pair in best)
    work = max((len(pair.candidate) + len(pair.champion)) ** 2 * len(pair.candidate) for pair in best)
    return float(found["p"] or 0.0) <= policy.alpha and surely_exact(_values(arms), len(best), span, work)


def _values(arms: Arms) -> frozenset[float]:
    """All rewards there are, and the one that is hoped for."""

    def find() -> frozenset[float]:
        mine = {trial.reward for trial in arms.longest if trial.reward is not None}
        return frozenset(mine | arms.champion_values | {1.0})

    return arms.once("values", find)
