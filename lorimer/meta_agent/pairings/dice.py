"""Grids that are played instead of paid for: what `lorimer power --pairings` and `bench/pairings.py` simulate. Seeded.

The generator: every sealed task has one of `WEAKNESSES` weaknesses, drawn evenly, and a rate at which the seed harness
solves it, drawn from those that are given. A search tries `candidates` edits. Each is promoted with the cell's `chance`; a
promoted one cures a weakness drawn evenly, which lifts the rate of every task that has it by the cell's `lift`, up to 0.95.
A weakness that is cured already gives nothing. At the end champion and seed harness are run side by side, `repeats` trials a
task each; where nothing was promoted, the gain is 0. Searches of a cell share its chance and lift, and all cells share the
tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorimer.meta_agent.pairings.values import Pairing, Search

if TYPE_CHECKING:
    from numpy.random import Generator

WEAKNESSES = 5
"""How many weaknesses a simulated model has."""
CEILING = 0.95


@dataclass(frozen=True)
class Tendency:
    """What the searches of a cell are like."""

    chance: float
    """That a candidate is promoted."""
    lift: float
    """How much a cure raises a task's rate."""


@dataclass(frozen=True)
class Played:
    """How a grid is played."""

    searches: int
    """Searches in each cell."""
    tasks: int
    """Sealed ones."""
    repeats: int
    """Trials of a sealed task, of the champion and of the seed harness each."""
    candidates: int
    rates: Sequence[float]
    """Rates of the seed harness, from which each task's is drawn."""


def grid(cells: Mapping[Pairing, Tendency], played: Played, dice: Generator) -> list[Search]:
    """One grid, as its searches would be measured."""
    weakness = dice.integers(WEAKNESSES, size=played.tasks)
    rate = dice.choice(list(played.rates), size=played.tasks)
    found = []
    for pairing, tendency in cells.items():
        for number in range(1, played.searches + 1):
            kept = int(dice.binomial(played.candidates, tendency.chance))
            cured = set(dice.integers(WEAKNESSES, size=kept).tolist())
            lifted = [each in cured for each in weakness]
            best = [max(now, min(CEILING, now + tendency.lift * up)) for now, up in zip(rate, lifted, strict=True)]
            gains = [0.0] * played.tasks
            if kept:
                won, stood = dice.binomial(played.repeats, best), dice.binomial(played.repeats, rate)
                gains = ((won - stood) / played.repeats).tolist()
            found.append(
                Search(
                    pairing,
                    number,
                    f"{pairing.task} {pairing.meta} {number}",
                    "finished",
                    gains=dict(enumerated(gains)),
                    candidates=played.candidates,
                    promoted=kept,
                )
            )
    return found


def enumerated(gains: Sequence[float]) -> list[tuple[str, float]]:
    """Gains under made-up names of tasks."""
    return [(f"task-{number}", gain) for number, gain in enumerate(gains)]


def expected(tendency: Tendency, candidates: int, rates: Sequence[float]) -> float:
    """The mean gain of a cell over all searches and all tasks that the generator could make, exactly.

    A weakness stays uncured where no candidate cures it, each of which does with `chance / WEAKNESSES`.
    """
    cured = 1 - (1 - tendency.chance / WEAKNESSES) ** candidates
    lifts = [max(0.0, min(CEILING, rate + tendency.lift) - rate) for rate in rates]
    return cured * sum(lifts) / len(lifts)
