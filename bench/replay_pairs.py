"""What a study would gain if pairs were to decide, on sealed twins of the champion's trials, and what goes wrong on read ones.

    python -m bench.replay_pairs [STUDIES]        (60; about four minutes on two cores)

No part of lorimer does this (docs/replay.md says what it would take). A new champion gets `twins` more trials per task, which
nobody reads. An edit that touches them later than at their first request is tested by pairs on them alone: the touched twins are
run again from there, one per task at a time. The statistic is the weighted sum of the differences in standard deviations of their
signs' flips; the weights come from the other trials. A look after each round ends what is 0.3 below nothing or two above it; at
the end 1.28 is needed. What passes is confirmed side by side in whole, live trials; what touches all at once is tested as now.

Assumed: every trial of an unchanged harness replays to its end, an edit without effect leaves the law of a trial as it is, and
not a bit of the twins reaches whoever edits.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from bench.dice import (
    PANEL,
    Campaign,
    Chances,
    Design,
    Ended,
    confirm,
    edited,
    full,
    met_by,
    names,
    spot_check,
    study,
    trials,
)
from bench.gate import DEFAULT, WORKERS, mean_error
from bench.gate_replay import REPLAYED
from bench.touches import INERT, KEYED, PROMPT, Reach, again, reaches
from lorimer.meta_agent.gate.confirmation import FINAL_REPEATS
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.gate.statistics.scores import Result

BEHIND, AHEAD, NEEDED = -0.3, 2.0, 1.2816
"""Standard deviations at which a test in pairs ends for what is worse or better, and those that it needs in the end."""
TWINS = (2, 4, 6)
SOME = Campaign(touching="some")
READ = Campaign(mix=((0.0, 100),), touching="read")


@dataclass(frozen=True)
class Tested:
    """A test in pairs."""

    passed: bool
    spent: float
    """In whole trials."""


def pairs_decide(
    twins: Sequence[Result],
    rates: tuple[Chances, Chances],
    reach: Reach,
    weights: Mapping[str, int],
    dice: random.Random,
) -> Tested:
    """The test of an edit on the champion's twins, which come in rounds of one per task."""
    tasks = len(rates[0])
    spent = won = squares = 0.0
    for end in range(tasks, len(twins) + 1, tasks):
        for each in twins[end - tasks : end]:
            task, before = int(each.task[1:]), each.reward or 0.0
            reward = again(before, rates[0][task], rates[1][task], reach, dice)
            if reward is not None:
                spent += 1 - reach.depth
                moved = weights.get(each.task, 1) * (reward - before)
                won, squares = won + moved, squares + moved * moved
        z = won / math.sqrt(squares) if squares else 0.0
        if z < BEHIND or z > AHEAD:
            break
    return Tested(z >= NEEDED, spent)


def deciding(play: Campaign, seed: int, twins: int) -> Ended:
    """A study in which pairs decide what they can tell: on `twins` sealed trials per task, or, at 0, on those that were read."""
    dice, tasks, gate, design = random.Random(seed), names(play.panel), DEFAULT.gate, DEFAULT
    kinds = [points for points, count in play.mix for _ in range(count)]
    dice.shuffle(kinds)
    reach_of = [KEYED] * len(kinds) if play.touching == "read" else reaches(kinds, dice)
    champion: list[float] = list(play.panel)
    rejected: list[Result] = []
    won = [0, 0, 0]

    def run_of(chances: Chances, planned: Sequence[str]) -> list[Result]:
        return trials(chances, planned, dice)

    read = trials(champion, tasks * gate.first_champion_repeats, dice)
    sealed = trials(champion, tasks * twins, dice)
    spent = float(len(read) + len(sealed))
    for number, (points, reach) in enumerate(zip(kinds, reach_of, strict=True), 1):
        if reach is INERT:
            continue
        chances = edited(champion, points, dice, play.shape)
        passed, mine, theirs, run = False, list[Result](), list[Result](), list[Result]()
        if reach is PROMPT:
            killed, cost = spot_check(design, read, chances, Luck(seed, number), dice, run_of)
            spent += cost
            if killed:
                continue
            decision, run = full(
                design, design.policy, met_by(design, [*read, *sealed], rejected, {}), chances, number, dice
            )
            spent += len(run)
            passed = decision.kind == "promote"
        else:
            weights = met_by(design, read, rejected, {}).weights
            tested = pairs_decide(sealed or read, (champion, chances), reach, weights, dice)
            spent += tested.spent
            passed = tested.passed
        if passed:
            answer, mine, theirs = confirm(design, chances, champion, dice)
            passed = answer.kind == "pass"
            spent += len(mine) + len(theirs)
        if passed:
            champion, read, rejected = chances, mine, []
            sealed = trials(champion, tasks * twins, dice)
            spent += len(sealed)
            won[(points > 0) - (points < 0)] += 1
        else:
            read, rejected = read + theirs, rejected + run + mine
    last = trials(champion, tasks * FINAL_REPEATS, dice)
    true = sum(champion) / len(champion)
    reported = sum(each.reward or 0.0 for each in last) / len(last)
    return Ended(true, reported - true, spent + len(last), won[1], won[0], won[-1])


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    started = time.perf_counter()
    designs: Sequence[Design] = (DEFAULT, REPLAYED)
    with ProcessPoolExecutor(WORKERS) as pool:
        rows = {design.name: [pool.submit(study, design, SOME, seed) for seed in range(studies)] for design in designs}
        for twins in TWINS:
            name = f"pairs decide, on {twins} sealed twins per task"
            rows[name] = [pool.submit(deciding, SOME, seed, twins) for seed in range(studies)]
        keyed = {
            "no pairs": [pool.submit(study, DEFAULT, READ, seed) for seed in range(studies)],
            "pairs kill": [pool.submit(study, REPLAYED, READ, seed) for seed in range(studies)],
            "pairs of the read trials decide": [pool.submit(deciding, READ, seed, 0) for seed in range(studies)],
        }
        print(f"{studies} studies of 100 candidates: means ± their standard errors\n")
        print(
            "| gate | true final score | trials, of the plain rule's | promoted: gains, nulls, losses |\n|---|---|---|---|"
        )
        for name, jobs in rows.items():
            ended = [job.result() for job in jobs]
            true, cost = (
                mean_error([each.true for each in ended]),
                mean_error([each.spent / _plain() for each in ended]),
            )
            counts = [sum(getattr(each, key) for each in ended) / studies for key in ("gains", "nulls", "losses")]
            print(
                f"| {name} | {true[0]:.3f} ± {true[1]:.3f} | {cost[0]:.2f} ± {cost[1]:.2f} | {counts[0]:.1f} of 10, "
                f"{counts[1]:.1f} of 60, {counts[2]:.2f} of 30 |",
                flush=True,
            )
        print("\n| 100 edits without effect, keyed to the failed trials that were read | promoted |\n|---|---|")
        for name, jobs in keyed.items():
            promoted = mean_error([job.result().nulls for job in jobs])
            print(f"| {name} | {promoted[0]:.2f} ± {promoted[1]:.2f} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


def _plain() -> int:
    return 101 * len(PANEL)


if __name__ == "__main__":
    main()
