"""What a verifier's reward means where it is no number from 0 to 1. Pure; both lorimer.toml and a task may say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Said = Sequence[float] | Literal["unbounded"]
"""A scale as it is written down: `[low, high]`, or `"unbounded"`."""


@dataclass(frozen=True)
class Scale:
    """The rewards that count as 0 and as 1.

    Without `high` there is no best: a reward r over `low` counts as d / (1 + d) with d = r - low, so that more is always more.
    """

    low: float = 0.0
    high: float | None = None

    @classmethod
    def of(cls, said: Said) -> Scale:
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
        if self.high is None:
            over = max(0.0, reward - self.low)
            return over / (1.0 + over)
        # Halved, as the difference of two finite numbers need not be finite.
        return min(1.0, max(0.0, (reward / 2 - self.low / 2) / (self.high / 2 - self.low / 2)))

    def __str__(self) -> str:
        return "unbounded" if self.high is None else f"[{self.low:g}, {self.high:g}]"
