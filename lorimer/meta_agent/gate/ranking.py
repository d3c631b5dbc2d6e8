"""Which of several passed full runs is the surest: the one that is confirmed first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def p_of(numbers: Mapping[str, Any]) -> float:
    """The p-value by which a full run was passed, from its decision's numbers; 1 where its policy has none.

    That of evidence is its inverse, which is a p-value by Ville's inequality. A promotion by another route than a
    better score has the p of that route; of two tests that both had to be passed, the higher one.
    """
    route = numbers.get("route")
    if route == "simpler":
        return _or_one(numbers.get("simpler_p"))
    if route:
        return max(_or_one(numbers.get("tie_p")), _or_one(numbers.get("tie_cost_p")))
    if numbers.get("e") is not None:
        return min(1.0, 1.0 / numbers["e"]) if numbers["e"] > 0 else 1.0
    return _or_one(numbers.get("p"))


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p
