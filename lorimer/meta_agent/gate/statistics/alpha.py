"""The level of each test in a row of many, so that a study's promotions as a whole can be believed. Pure.

Of a study's promotions the share that is false (the false-discovery rate) is held at `alpha` in expectation, whenever the
study ends, by giving each test a level of its own:

- p-values: LORD++ (Ramdas, Yang, Wainwright, Jordan, "Online control of the false discovery rate with decaying memory",
  NeurIPS 2017). Proven for p-values that are independent, or valid given the past. Those of candidates that meet the same
  champion share its trials; where that matters, use `eprocess`.
- e-values: e-LOND (Xu and Ramdas, "Online multiple testing with e-values", AISTATS 2024). Proven under any dependence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from lorimer.meta_agent.gate.statistics.policies import Policy

HORIZON = 5_000
"""Tests over which the levels are shared out. More candidates than that each get `LEAST`."""
LEAST = 1e-12
"""The lowest level of a test: of nothing no quantile is defined, and a million tests at it add up to a millionth."""

CONFIRMED = 0.5
"""How often an edit without effect that passed a pooled test is confirmed, at most: its difference in fresh trials is as likely
below nothing as above it, and a confirmation ends sooner for the former (`gate.confirmation`)."""


def at_level(policy: Policy, error: Literal["per-candidate", "study"], passed: Sequence[bool]) -> Policy:
    """The policy for the next test, after tests of which these were `passed`. `strict` has no level."""
    if error == "per-candidate" or policy.name == "strict":
        return policy
    level = elond(policy.alpha, passed) if policy.name == "eprocess" else lord(policy.alpha, passed)
    if policy.name == "pooled":
        level = min(policy.alpha, level / CONFIRMED)
    return replace(policy, alpha=max(level, LEAST))


def lord(alpha: float, passed: Sequence[bool]) -> float:
    """LORD++'s next level, with an initial wealth of alpha / 2 and gamma as its authors took it."""
    at, wealth = len(passed) + 1, alpha / 2
    hits = [number for number, hit in enumerate(passed, 1) if hit]
    level = wealth * _gamma(at)
    if hits:
        level += (alpha - wealth) * _gamma(at - hits[0])
    return level + alpha * math.fsum(_gamma(at - hit) for hit in hits[1:])


def elond(alpha: float, passed: Sequence[bool]) -> float:
    """e-LOND's next level: an e-value of its inverse is a discovery."""
    return alpha * _gamma(len(passed) + 1) * (sum(passed) + 1)


def _gamma(at: int) -> float:
    """A decreasing sequence with sum 1 over the horizon: log(max(j, 2)) / (j exp(sqrt(log j)))."""
    return _shape(at) / _whole() if 1 <= at <= HORIZON else 0.0


def _shape(at: int) -> float:
    return math.log(max(at, 2)) / (at * math.exp(math.sqrt(math.log(at))))


@lru_cache(maxsize=1)
def _whole() -> float:
    return math.fsum(_shape(at) for at in range(1, HORIZON + 1))
