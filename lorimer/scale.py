"""What a verifier's reward means where it is no number from 0 to 1. Pure; both lorimer.toml and a task may say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

WrittenScale = Sequence[float] | Literal["unbounded"]
"""A scale as it is written down: `[low, high]`, or `"unbounded"`."""


@dataclass(frozen=True)
class Scale:
    """The rewards that count as 0 and as 1.

    Without `high` there is no best: a reward r over `low` counts as d / (1 + d) with d = r - low, so that more is always more.
    """

    low: float = 0.0
    high: float | None = None

    @classmethod
    def of(cls, said: WrittenScale) -> Scale:
        """Raises ValueError, in words that follow the key."""
        if isinstance(said, str):
            return cls()
        low, high = said
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("must be two finite numbers")
        if low >= high:
            raise ValueError(f"its first number, {low:g}, must be less than its second, {high:g}")
        return cls(float(low), float(high))

    def share(self, reward: float) -> float:
        """A number from 0 to 1 for any finite reward; what lies outside the scale counts as its nearest end."""
        # In fractions, as roundings would turn the order of two rewards that are large and near each other.
        over = max(Fraction(0), Fraction(reward) - Fraction(self.low))
        most = 1 + over if self.high is None else Fraction(self.high) - Fraction(self.low)
        return float(min(Fraction(1), over / most))

    def __str__(self) -> str:
        return "unbounded" if self.high is None else f"[{self.low:g}, {self.high:g}]"
