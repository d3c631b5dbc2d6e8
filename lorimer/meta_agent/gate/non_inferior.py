"""Equal, and better in another way: a harness that is no worse by more than a margin may be promoted for being simpler or
cheaper. Pure.

Non-inferiority, one-sided: the hypothesis to be refuted is "the candidate's mean is lower by the margin or more". The
difference of means plus the margin is set against its standard error; were the hypothesis true, that ratio exceeds the normal
quantile of 1 - alpha with a chance of at most alpha. Exact tests of this hypothesis do not exist for tasks of unlike
difficulty; that this one keeps its level is shown by simulation (tests/meta_agent/test_equal.py). It errs on the safe side:
each task's variance is that of both arms' rewards and of half a success and half a failure.

It is asked of complete runs alone. A run is not finished for it once an equal harness would hardly pass from here; that can
only reject, so it costs no validity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.policies import Policy, means
from lorimer.meta_agent.gate.statistics.scores import Result, smoothed_variance
from lorimer.meta_agent.gate.stopping.futility import LOOKS

_FLOOR = 1e-6
"""The least chance that ends a run, with `futility` 0 too."""


@dataclass(frozen=True)
class NonInferior:
    """A test's result."""

    p: float
    difference: float
    """The candidate's mean minus the champion's."""
    margin: float

    def passed(self, alpha: float) -> bool:
        return self.p <= alpha


def non_inferior(pairs: Sequence[Pair], margin: float) -> NonInferior:
    """Whether the candidate is no worse than the champion by `margin` or more, in mean reward."""
    candidate, champion = means(pairs)
    variance = math.fsum(
        _spread(pair.candidate + pair.champion) * (1 / len(pair.candidate) + 1 / len(pair.champion)) for pair in pairs
    )
    error = math.sqrt(variance) / len(pairs)
    difference = candidate - champion
    # Half a step of the differences that pass/fail rewards can have: without it, few trials pass too often.
    step = 1 / (len(pairs) * max(max(len(pair.candidate), len(pair.champion)) for pair in pairs))
    return NonInferior(1 - NormalDist().cdf((difference + margin - step / 2) / error), difference, margin)


class Hope:
    """Whether a harness that is just as good could still pass, asked at the looks of a run that grows by one trial at a time."""

    def __init__(
        self,
        champion: Mapping[str, Sequence[float | None]],
        planned: Sequence[str],
        margin: float,
        policy: Policy,
    ) -> None:
        scored = {task: [r for r in rewards if r is not None] for task, rewards in champion.items()}
        counts = {task: count for task, count in Counter(planned).items() if scored.get(task)}
        self.is_lost = not counts
        """Whether, at a look, such a harness would have passed with a chance of less than `futility`. Once true it stays true."""
        self._spread = {task: _spread(scored[task]) for task in counts}
        self._mean = {task: math.fsum(scored[task]) / len(scored[task]) for task in counts}
        noise = math.fsum(counts[task] * self._spread[task] * (1 + counts[task] / len(scored[task])) for task in counts)
        self._needed = NormalDist().inv_cdf(1 - policy.alpha) * math.sqrt(noise)
        self._allowed = margin * sum(counts.values())
        self._unseen = math.fsum(counts[task] * self._spread[task] for task in counts)
        self._won, self._position = 0.0, 0
        self._looks = {round(len(planned) * look / LOOKS) for look in range(1, LOOKS)} - {len(planned)}
        self._least = max(policy.futility, _FLOOR)

    def add(self, outcome: Result) -> None:
        """One more trial of the candidate."""
        self._position += 1
        if self.is_lost:
            return
        if outcome.task in self._mean:
            self._unseen -= self._spread[outcome.task]
            self._won += 0.0 if outcome.reward is None else outcome.reward - self._mean[outcome.task]
        if self._position in self._looks:
            hoped = self._won + self._allowed - self._needed
            chance = NormalDist().cdf(hoped / math.sqrt(max(self._unseen, 1e-9)))
            self.is_lost = chance < self._least


def hopeless(
    candidate: Sequence[Result],
    champion: Mapping[str, Sequence[float | None]],
    planned: Sequence[str],
    margin: float,
    policy: Policy,
) -> bool:
    """Whether hope was lost at one of the looks at the prefix `candidate` (`Hope`)."""
    hope = Hope(champion, planned, margin, policy)
    for outcome in candidate:
        hope.add(outcome)
    return hope.is_lost


def _spread(rewards: Sequence[float]) -> float:
    """The variance of rewards and half a success and half a failure, as a sample of a larger whole."""
    n = len(rewards)
    return (
        smoothed_variance(math.fsum(rewards), math.fsum(reward * reward for reward in rewards), n) * (n + 1) / max(1, n)
    )
