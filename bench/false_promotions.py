"""How near the estimate of false promotions is to how many there are.

    python -m bench.false_promotions [STUDIES]        (24; about six minutes on two cores)

Studies of 100 candidates, and a quarter as many of 400. A promotion is false where the edit is truly no better than the champion
before it. A row has the means over its studies, and then those of the studies of which a number was told, with standard errors.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from bench.dice import Campaign, Design, study
from bench.gate import DEFAULT, PAIRED, WORKERS, mean_error
from bench.gate_suites import HALF, NULLS, SMALL
from lorimer.meta_agent.gate.reported.false_promotions import Won, expect

TENTH = ((0.04, 10), (0.0, 90))
HALVES = ((0.04, 50), (0.0, 50))
LOSSES = ((0.04, 5), (-0.06, 75), (0.0, 20))
PLAYED = {
    "58 tasks, no effect": Campaign(mix=NULLS),
    "58 tasks, 10% gain 4 points": Campaign(mix=TENTH),
    "58 tasks, 50% gain 4 points": Campaign(mix=HALVES),
    "58 tasks, 10% gain and 30% lose 4 points": Campaign(),
    "58 tasks, 5% gain 4 points, 75% lose 6": Campaign(mix=LOSSES),
    "58 tasks, 400 edits: 12% gain 5 points, 28% lose 4": Campaign(mix=((0.05, 48), (-0.04, 112), (0.0, 240))),
    "12 tasks, no effect": Campaign(SMALL, NULLS),
    "12 tasks, 10% gain 4 points": Campaign(SMALL, TENTH),
    "12 tasks, 50% gain 4 points": Campaign(SMALL, HALVES),
    "58 tasks solved half of the time, no effect": Campaign(HALF, NULLS),
    "58 tasks solved half of the time, 10% gain 4 points": Campaign(HALF, TENTH),
    "58 tasks solved half of the time, 50% gain 4 points": Campaign(HALF, HALVES),
}
FIRST = 5_000
"""The first seed; the constants were chosen on studies of others."""


@dataclass(frozen=True)
class Told:
    """A study's promotions, and what is said of them."""

    promoted: int
    false: int
    estimated: float
    most: int
    luck_alone: bool


def told(design: Design, play: Campaign, seed: int) -> Told:
    """What is told of one simulated study, and what is true of it."""
    ended = study(design, play, seed)
    promotions = [Won(each.full, each.audit) for each in ended.promoted]
    found = expect(ended.tests, {"error": design.gate.error, "alpha": design.gate.alpha}, promotions)
    false = sum(each.gain <= 1e-9 for each in ended.promoted)
    return Told(found.promoted, false, found.estimated, found.most, found.luck_alone)


def row(studies: Sequence[Told]) -> str:
    """A row's columns."""
    some = [each for each in studies if each.promoted]
    numbered = [each for each in some if not each.luck_alone]
    more = sum(each.false > each.most for each in numbered)
    return " | ".join(
        (
            f"{mean_error([each.promoted for each in studies])[0]:.1f}",
            _with_error([each.false for each in studies]),
            _with_error([each.estimated for each in studies]),
            f"{len(some) - len(numbered)} of {len(some)}",
            _with_error([each.false for each in numbered]),
            _with_error([each.estimated for each in numbered]),
            f"{more} of {len(numbered)}" if numbered else "",
        )
    )


def _studies(play: Campaign, studies: int) -> int:
    """How many are played: fewer of the long ones."""
    return studies if sum(count for _, count in play.mix) <= 100 else max(1, studies // 4)


def _with_error(values: Sequence[float]) -> str:
    """A mean with its standard error; empty where there are too few."""
    return "{:.2f} ± {:.2f}".format(*mean_error(values)) if len(values) > 1 else ""


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    started = time.perf_counter()
    print(
        "| gate, suite and edits | promoted | false | estimated | luck alone said | false where a number is told "
        "| estimated there | more false than `seldom more than` |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(WORKERS) as pool:
        rows = {
            f"{design.name.split()[0]}, {name}": [
                pool.submit(told, design, play, FIRST + seed) for seed in range(studies)
            ]
            for design in (DEFAULT, PAIRED)
            for name, play in PLAYED.items()
        }
        for name, found in rows.items():
            print(f"| {name} | {row([each.result() for each in found])} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
