"""Seeded chance: hashes as dice, so that a reply is a function of values alone, in any process and at any concurrency."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def roll(*parts: object) -> float:
    """A number in [0, 1) that follows from `parts`; other parts, another number."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def pick(weighted: Sequence[tuple[T, float]], *parts: object) -> T:
    """One of `weighted` (value, weight), drawn in proportion to the weights. At least one weight must be above 0."""
    left = roll(*parts) * sum(weight for _, weight in weighted)
    for value, weight in weighted:
        left -= weight
        if left < 0 and weight > 0:
            return value
    return max(weighted, key=lambda item: item[1])[0]
