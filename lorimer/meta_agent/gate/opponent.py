"""Whom a candidate meets in its full run: the champion's arm, and what orders and weighs the tasks. Pure.

The loop, a replay and a forecast all ask here, so that what is decided, decided again and foretold is the same comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lorimer.meta_agent.gate.statistics import pooled
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.statistics.weights import Rates, rates, weights


@dataclass(frozen=True)
class Opponent:
    """What stands against a candidate in its full run."""

    champion: Sequence[Result]
    """The champion's arm. Side by side it is empty: its trials are run with the candidate's."""
    known: Rates
    """The rates that order the plan: never those of the candidate's own trials."""
    weights: Mapping[str, int]
    """What a reward counts on each task."""
    doubt: float = 0.0
    """That of a pooled arm (`pooled.PooledArm`)."""
    own: int | None = None
    """How many of the champion's arm, the first, are trials of its own; `None` is all."""

    def judged_by(self, policy: Policy) -> Policy:
        """The policy as it judges a run against this opponent."""
        return replace(policy, doubt=self.doubt)


def opponent(
    standing: Sequence[Result],
    *,
    pools: bool,
    withstood: Callable[[], Sequence[Result]],
    earlier: Callable[[], Rates],
) -> Opponent:
    """The opponent of a candidate.

    Args:
        standing: the champion's own trials.
        pools: whether the trials of candidates that it withstood count for it (`GateSettings.pools`).
        withstood: gives those trials; asked for only where they count.
        earlier: gives the rates in trials that the test does not count; asked for only where `withstood` is not.
    """
    if pools:
        arm = pooled.champion_arm(standing, withstood())
        known: Rates = rates(arm.trials)
        return Opponent(arm.trials, known, pooled.weights(known), arm.doubt, len(standing))
    known = earlier()
    return Opponent(standing, known, weights(known))
