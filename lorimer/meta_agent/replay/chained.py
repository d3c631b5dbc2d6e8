"""A plan of pairs as the chain keeps it, and the trials that it plans."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lorimer.meta_agent.gate.pairs import PairPlan, TouchedTrial

CHAINED = "plan"
"""The kind of the chain's entries that hold such plans."""


def trials_of(plan: PairPlan) -> list[tuple[str, int]]:
    """Task and repeat of each pair's trial, in planned order. The repeats number a task's pairs."""
    counted: dict[str, int] = {}
    found = []
    for touch in plan.order:
        number = counted[touch.task] = counted.get(touch.task, -1) + 1
        found.append((touch.task, number))
    return found


def as_body(plan: PairPlan) -> dict[str, Any]:
    """The form in which the chain keeps it."""
    return dataclasses.asdict(plan)


def of_body(body: Mapping[str, Any]) -> PairPlan:
    """What `as_body` made."""
    order = tuple(TouchedTrial(**touch) for touch in body["order"])
    return PairPlan(**{**body, "order": order, "counts": tuple(body["counts"]), "looks": tuple(body["looks"])})
