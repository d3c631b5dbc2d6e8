"""How often each policy promotes what it should and should not, and what a study of 100 candidates costs and finds.

    python -m bench.gate [ROUNDS] [STUDIES]        (1,000 and 10; about a minute)

Everything goes through the gate's own `decide`. The panel: 58 tasks, of which 28 are stable (solved 95% of the time), 20 flaky
(rates evenly from 0.1 to 0.9) and 10 never solved; one run of an unchanged harness has a standard deviation of 3.9 points.
An edit of +d points raises tasks in random order, each by at most 0.5 and up to 0.95, until the mean has risen by d; one of
-d lowers them likewise.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from lorimer.meta_agent.gate import Decision, Evidence, Outcome, Policy, SpotTrial, decide, spot_verdict
from lorimer.meta_agent.levels import at_level

PANEL = (0.95,) * 28 + tuple(0.1 + 0.8 * step / 19 for step in range(20)) + (0.0,) * 10
EARLIER = 3
"""Trials a task of other candidates, by which a plan is ordered. Never tested."""
WORKERS = 2


@dataclass(frozen=True)
class Design:
    """A gate as a user would configure it."""

    name: str
    policy: Policy
    repeats: int
    champion_repeats: int
    study: bool = False
    """`[gate] error = "study"`."""


DEFAULT = Design("paired (default)", Policy(futility=0.4), 3, 6)
STRICT = Design("strict", Policy(name="strict"), 1, 1)
DESIGNS = (
    DEFAULT,
    Design("paired, futility 0", Policy(), 3, 6),
    Design("paired, 2 repeats", Policy(futility=0.4), 2, 6),
    Design("paired, 3 against 3", Policy(futility=0.4), 3, 3),
    Design("paired, alpha 0.05", Policy(alpha=0.05, futility=0.4), 3, 6),
    Design("eprocess, futility 0.4", Policy(name="eprocess", futility=0.4), 3, 6),
    Design("eprocess, futility 0", Policy(name="eprocess"), 6, 6),
    STRICT,
)


def edited(rates: Sequence[float], points: float, dice: random.Random) -> list[float]:
    """The rates after an edit worth `points` (a share of the mean reward)."""
    changed, left = list(rates), abs(points) * len(rates)
    for task in dice.sample(range(len(rates)), len(rates)):
        room = max(0.0, 0.95 - changed[task]) if points > 0 else changed[task]
        step = min(0.5, room, left)
        changed[task] += step if points > 0 else -step
        left -= step
    return changed


def trials(rates: Sequence[float], plan: Sequence[int], dice: random.Random) -> list[Outcome]:
    return [Outcome(f"t{task:02}", float(dice.random() < rates[task])) for task in plan]


def plan(repeats: int, champion: Sequence[float], dice: random.Random) -> list[int]:
    """As `world.full_plan` orders it: rounds, each by what other candidates' trials said."""
    seen = [round(sum(dice.random() < rate for _ in range(EARLIER)) / EARLIER, 1) for rate in champion]
    order = sorted(range(len(champion)), key=lambda task: (seen[task], dice.random()))
    return order * repeats


def every(repeats: int) -> list[int]:
    return list(range(len(PANEL))) * repeats


def full(
    design: Design, policy: Policy, standing: list[Outcome], champion: Sequence[float], rates: Sequence[float],
    dice: random.Random,
) -> Decision:  # fmt: skip
    planned = plan(design.repeats, champion, dice)
    return decide(Evidence(trials(rates, planned, dice), standing, [f"t{task:02}" for task in planned]), policy)


def promotions(design: Design, points: float, rounds: int, seed: int) -> tuple[int, int]:
    """Promotions and trials run of `rounds` candidates, each against a champion audited anew."""
    dice = random.Random(seed)
    promoted = run = 0
    for _ in range(rounds):
        standing = trials(PANEL, every(design.champion_repeats), dice)
        rates = edited(PANEL, points, dice)
        decision = full(design, design.policy, standing, PANEL, rates, dice)
        promoted += decision.kind == "promote"
        run += int(decision.numbers["run"] or 0)
    return promoted, run


def spot(rates: Sequence[float], standing: list[Outcome], dice: random.Random) -> tuple[bool, int]:
    """The default spot-check: three trials on tasks that fail, three guards. Whether it kills, and its trials."""
    means = {task: sum(o.reward or 0.0 for o in standing[task :: len(PANEL)]) for task in range(len(PANEL))}
    repeats = len(standing) // len(PANEL)
    fixes = dice.sample([task for task in means if means[task] < repeats], 3)
    guards = dice.sample([task for task in means if means[task] == repeats], 3)
    found = [
        SpotTrial(f"t{task}", "fix" if task in fixes else "guard", float(dice.random() < rates[task]), means[task] / repeats)
        for task in fixes + guards
    ]  # fmt: skip
    return spot_verdict(found).kind == "reject", len(found)


def study(design: Design, seed: int) -> tuple[float, float, int, int, int]:
    """100 candidates: 10 of +4 points, 30 of -4, 60 of none, in random order, each an edit of the champion.

    The true final score, the reported minus the true one, trials, promotions of gains and of nulls.
    """
    dice = random.Random(seed)
    kinds = [0.04] * 10 + [-0.04] * 30 + [0.0] * 60
    dice.shuffle(kinds)
    champion: list[float] = list(PANEL)
    plain = design.policy.name == "strict"
    standing = trials(champion, every(design.champion_repeats), dice)
    spent, good, null, passed = len(standing), 0, 0, list[bool]()
    for points in kinds:
        rates = edited(champion, points, dice)
        if plain:  # the plain rule has no spot-check and no audit: the winning run stands
            run = trials(rates, every(1), dice)
            won = decide(Evidence(run, standing, [outcome.task for outcome in run]), design.policy)
            spent += len(run)
        else:
            killed, used = spot(rates, standing, dice)
            spent += used
            if killed:
                continue
            policy = at_level(design.policy, "study" if design.study else "per-candidate", passed)
            won = full(design, policy, standing, champion, rates, dice)
            spent += int(won.numbers["run"] or 0)
        passed.append(won.kind == "promote")
        if won.kind == "promote":
            champion = rates
            good, null = good + (points > 0), null + (points == 0)
            standing = run if plain else trials(champion, every(design.champion_repeats), dice)
            spent += 0 if plain else len(standing)
    true = sum(champion) / len(champion)
    reported = sum(outcome.reward or 0.0 for outcome in standing) / len(standing)
    return true, reported - true, spent, good, null


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    studies = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    started = time.perf_counter()
    lifts = (0.0, 0.05, 0.10, -0.05)
    with ProcessPoolExecutor(WORKERS) as pool:
        # The null takes most of the rounds: its rate is the claim.
        sizes = [rounds if lift == 0 else rounds // 4 for lift in lifts]
        cells = {
            (design.name, lift): pool.submit(promotions, design, lift, size, 1000 + number)
            for design in DESIGNS
            for number, (lift, size) in enumerate(zip(lifts, sizes, strict=True))
        }
        campaigns = (DEFAULT, DESIGNS[2], Design("paired, error study", Policy(futility=0.4), 3, 6, study=True), STRICT)
        ends = {design.name: [pool.submit(study, design, seed) for seed in range(studies)] for design in campaigns}
        print(f"{rounds} unchanged candidates and {rounds // 4} of each other kind: share promoted, mean trials\n")
        print("| gate | repeats, champion's | no effect | +5 points | +10 points | -5 points |")
        print("|---|---|---|---|---|---|")
        for design in DESIGNS:
            row = [f"{design.name} | {design.repeats}, {design.champion_repeats}"]
            for lift, size in zip(lifts, sizes, strict=True):
                promoted, run = cells[design.name, lift].result()
                error = math.sqrt(promoted * (size - promoted) / size) / size
                row.append(f"{promoted / size:.3f} ± {error:.3f}, {run / size:.0f}")
            print("| " + " | ".join(row) + " |", flush=True)
        plain = sum(job.result()[2] for job in ends[STRICT.name]) / studies
        print(f"\n{studies} studies of 100 candidates (10 of +4 points, 30 of -4, 60 of none), means\n")
        print(
            "| gate | true final score | reported minus true | trials, of the plain rule's | gains promoted | nulls promoted |"
        )
        print("|---|---|---|---|---|---|")
        for design in campaigns:
            found = [job.result() for job in ends[design.name]]
            true, over, spent, good, null = (sum(column) / studies for column in zip(*found, strict=True))
            print(
                f"| {design.name} | {true:.3f} | {over:+.3f} | {spent / plain:.2f} | {good:.1f} of 10 | {null:.1f} of 60 |"
            )
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
