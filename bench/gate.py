"""How often each policy promotes what it should and should not, and what a study of 100 candidates costs and finds.

    python -m bench.gate [ROUNDS] [STUDIES]        (1,000 and 60; under three minutes on two cores)

Everything goes through the gate's own `decide`, the loop's own plans and the defaults of config.py. The panel: 58 tasks, of which
28 are stable (solved 95% of the time), 20 flaky (rates evenly from 0.1 to 0.9) and 10 never solved; one run of an unchanged
harness has a standard deviation of 3.9 points. An edit of +d points raises tasks in random order, each by at most 0.5 and up to
0.95, until the mean has risen by d; one of -d lowers them likewise; a trade of d does both.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy

from lorimer.config import GateSettings
from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate.alpha import at_level
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.confirmation import FINAL_REPEATS, ROUNDS, confirmed
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.looks import Looks
from lorimer.meta_agent.gate.plans import Luck, full_plan, spot_plan, spot_trials
from lorimer.meta_agent.gate.policies import ANYTIME, RULES, Policy
from lorimer.meta_agent.gate.pooled import champion_arm
from lorimer.meta_agent.gate.pooled import weights as pooled_weights
from lorimer.meta_agent.gate.scores import Result, task_means
from lorimer.meta_agent.gate.verdicts import spot_verdict
from lorimer.meta_agent.gate.weights import Earlier, Rates, rates, weights

PANEL = (0.95,) * 28 + tuple(0.1 + 0.8 * step / 19 for step in range(20)) + (0.0,) * 10
TASKS = tuple(f"t{task:02}" for task in range(len(PANEL)))
EARLIER = 3
"""Trials a task of other candidates, by which a plan is ordered and tasks are weighted. Never tested."""
WORKERS = 2
PARTS = 4
"""Jobs that a row's rounds are spread over."""
Chances = Sequence[float]


@dataclass(frozen=True)
class Design:
    """A gate as a user would configure it."""

    name: str
    gate: GateSettings = field(default_factory=GateSettings)
    champion: int = 0
    """Trials a task of the champion when it is tested; 0: as many as a new champion has."""
    earlier: int = EARLIER

    @property
    def policy(self) -> Policy:
        return Policy(name=self.gate.policy, alpha=self.gate.alpha, futility=self.gate.futility)

    @property
    def against(self) -> int:
        return self.champion or self.gate.first_champion_repeats


DEFAULT = Design("paired (default)")
GROWN = GateSettings().most_champion_repeats
POOLED = Design("pooled", GateSettings(policy="pooled", repeats=5, champion_repeats=4, futility=0.37))
STRICT = Design("strict", GateSettings(policy="strict", repeats=1, champion_repeats=1, champion_every=0))
DESIGNS = (
    DEFAULT,
    POOLED,
    Design("pooled, first candidate of a study", POOLED.gate, earlier=0),
    Design("paired, of a champion that has stood for long", champion=GROWN),
    Design("paired, first candidate of a study", earlier=0),
    Design("paired, futility 0", GateSettings(futility=0)),
    Design("paired, 2 repeats", GateSettings(repeats=2, champion_repeats=4)),
    Design("paired, 1 repeat", GateSettings(repeats=1, champion_repeats=4)),
    Design("paired, alpha 0.05", GateSettings(alpha=0.05)),
    Design("eprocess", GateSettings(policy="eprocess", champion_repeats=6)),
    Design("eprocess, futility 0", GateSettings(policy="eprocess", repeats=6, champion_repeats=6, futility=0)),
    STRICT,
)
LIFTS = (0.0, 0.05, 0.10, -0.05)
TRADE = 0.05
CAMPAIGNS = (
    DEFAULT,
    POOLED,
    Design("paired, champion tried 6 times at once", GateSettings(champion_repeats=6, champion_every=0)),
    Design("paired, 2 repeats", GateSettings(repeats=2, champion_repeats=4)),
    Design("paired, error study", GateSettings(error="study")),
    STRICT,
)


def edited(chances: Chances, points: float, dice: random.Random) -> list[float]:
    """The chances after an edit worth `points` (a share of the mean reward)."""
    changed, left = list(chances), abs(points) * len(chances)
    for task in dice.sample(range(len(chances)), len(chances)):
        room = max(0.0, 0.95 - changed[task]) if points > 0 else changed[task]
        step = min(0.5, room, left)
        changed[task] += step if points > 0 else -step
        left -= step
    return changed


def trials(chances: Chances, planned: Sequence[str], dice: random.Random) -> list[Result]:
    return [Result(task, float(dice.random() < chances[int(task[1:])])) for task in planned]


def full(
    design: Design,
    policy: Policy,
    standing: list[Result],
    known: Rates,
    chances: Chances,
    number: int,
    dice: random.Random,
) -> tuple[Decision, list[Result]]:
    """The decision of a full run, and the trials that it read."""
    luck = Luck(dice.randrange(1 << 30), number)
    in_rounds = policy.name in ANYTIME
    planned = [task for task, _ in full_plan(TASKS, luck, design.gate.repeats, known, in_rounds=in_rounds)]
    run = trials(chances, planned, dice)
    weighed = pooled_weights(known) if policy.name == "pooled" else weights(known)
    decision = decide(Evidence(run, standing, planned, weighed), policy)
    return decision, run[: int(decision.numbers["run"] or 0)]


def confirm(
    design: Design, chances: Chances, champion: Chances, dice: random.Random
) -> tuple[bool, list[Result], list[Result]]:
    """Whether a candidate is better side by side with the champion, and the trials of both."""
    mine, theirs, decision = list[Result](), list[Result](), None
    while decision is None:
        mine += trials(chances, TASKS, dice)
        theirs += trials(champion, TASKS, dice)
        decision = confirmed(Evidence(mine, theirs, TASKS * ROUNDS), design.policy)
    return decision.kind == "pass", mine, theirs


def promotions(design: Design, points: float | Literal["trade"], rounds: int, seed: str) -> tuple[int, int]:
    """Promotions and trials run of `rounds` candidates, each against a champion audited anew."""
    dice = random.Random(seed)
    promoted = run = 0
    for number in range(rounds):
        standing = trials(PANEL, TASKS * design.against, dice)
        others = trials(PANEL, TASKS * design.earlier, dice)
        pooled = design.gate.policy == "pooled"
        standing = champion_arm(standing, others) if pooled else standing
        known = rates(standing if pooled else others)
        gained = TRADE if points == "trade" else points
        chances = edited(PANEL, gained, dice)
        chances = edited(chances, -TRADE, dice) if points == "trade" else chances
        decision, read = full(design, design.policy, standing, known, chances, number, dice)
        run += len(read)
        passed = decision.kind == "promote"
        if passed and pooled:
            passed, mine, theirs = confirm(design, chances, PANEL, dice)
            run += len(mine) + len(theirs)
        promoted += passed
    return promoted, run


def study(design: Design, seed: int) -> tuple[float, float, int, int, int, int]:
    """100 candidates: 10 of +4 points, 30 of -4, 60 of none, in random order, each an edit of the champion.

    The true final score, the reported minus the true one, trials, promotions of gains, of nulls and of losses. The spot-check's
    fixes are three random tasks that the champion fails: nothing is assumed of the meta-agent's aim.
    """
    dice, gate = random.Random(seed), design.gate
    kinds = [0.04] * 10 + [-0.04] * 30 + [0.0] * 60
    dice.shuffle(kinds)
    champion: list[float] = list(PANEL)
    plain, pooled = gate.policy == "strict", gate.policy == "pooled"
    rejected: list[Result] = []
    first = TASKS * gate.first_champion_repeats
    standing, earlier = trials(champion, first, dice), Earlier()
    spent, met, won, passed = len(standing), 0, dict.fromkeys((0.04, 0.0, -0.04), 0), list[bool]()
    for number, points in enumerate(kinds, 1):
        chances = edited(champion, points, dice)
        if plain:  # the plain rule has no spot-check and no audit: the winning run stands
            run = trials(chances, TASKS, dice)
            decision = decide(Evidence(run, standing, TASKS), design.policy)
        else:
            means = task_means(standing)
            failing = [task for task in TASKS if means[task] < 1]
            fixes = dice.sample(failing, min(gate.spot_fixes, len(failing)))
            planned = spot_plan(fixes, Luck(seed, number), standing, gate.spot_fixes, gate.spot_guards)
            looked = trials(chances, [task for task, _ in planned], dice)
            spent += len(looked)
            if spot_verdict(spot_trials(looked, standing)).kind == "reject":
                continue
            tried = gate.most_champion_repeats if pooled else len(standing) // len(TASKS)
            more = tried - gate.first_champion_repeats
            if gate.champion_every and met // gate.champion_every > more and tried < gate.most_champion_repeats:
                standing = standing + trials(champion, TASKS, dice)
                spent += len(TASKS)
            policy = at_level(design.policy, gate.error, passed)
            arm = champion_arm(standing, rejected) if pooled else standing
            known = rates(arm) if pooled else earlier.rates()
            decision, run = full(design, policy, arm, known, chances, number, dice)
        spent += len(run)
        passed.append(decision.kind == "promote")
        if pooled:
            mine, theirs = list[Result](), list[Result]()
            if passed[-1]:
                passed[-1], mine, theirs = confirm(design, chances, champion, dice)
                spent += len(mine) + len(theirs)
            if passed[-1]:
                champion, standing, rejected = chances, mine, []
                won[points] += 1
            else:
                standing, rejected = standing + theirs, rejected + run + mine
            continue
        met += 1
        earlier.add(run)
        if passed[-1]:
            champion, met = chances, 0
            won[points] += 1
            if not plain:
                # As `EarlierRates`: the first champion's trials are tested no more.
                earlier.add(standing if sum(passed) == 1 else [])
            standing = run if plain else trials(champion, first, dice)
            spent += 0 if plain else len(standing)
    if pooled:  # the last champion's audit alone is reported
        standing = trials(champion, TASKS * FINAL_REPEATS, dice)
        spent += len(standing)
    true = sum(champion) / len(champion)
    reported = sum(outcome.reward or 0.0 for outcome in standing) / len(standing)
    return true, reported - true, spent, won[0.04], won[0.0], won[-0.04]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    studies = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    started = time.perf_counter()
    kinds: tuple[float | Literal["trade"], ...] = (*LIFTS, "trade")
    with ProcessPoolExecutor(WORKERS) as pool:
        ends = {design.name: [pool.submit(study, design, seed) for seed in range(studies)] for design in CAMPAIGNS}
        # The rates that are claimed take the most of the rounds: the default's, and every policy's of no effect.
        sizes = {
            (design.name, kind): rounds * (2 if design is DEFAULT else 1) // (1 if design is DEFAULT or not kind else 4)
            for design in DESIGNS
            for kind in kinds
        }
        cells = {
            (design.name, kind): [
                pool.submit(promotions, design, kind, sizes[design.name, kind] // PARTS, f"{design.name}/{kind}/{part}")
                for part in range(PARTS)
            ]
            for design in DESIGNS
            for kind in kinds
        }
        print(
            f"Share promoted, its standard error, and mean trials run; {2 * rounds} candidates a cell of the default, ",
            end="",
        )
        print(f"{rounds} without effect and {rounds // 4} of each other kind below it\n")
        print("| gate | repeats, champion's | no effect | +5 points | +10 points | -5 points | +5 and -5 |")
        print("|---|---|---|---|---|---|---|")
        for design in DESIGNS:
            row = [f"{design.name} | {design.gate.repeats}, {design.against}"]
            for kind in kinds:
                found = [job.result() for job in cells[design.name, kind]]
                size = sizes[design.name, kind] // PARTS * PARTS
                promoted, run = (sum(column) for column in zip(*found, strict=True))
                error = math.sqrt(promoted * (size - promoted) / size) / size
                row.append(f"{promoted / size:.3f} ± {error:.3f}, {run / size:.0f}")
            print("| " + " | ".join(row) + " |", flush=True)
        plain = sum(job.result()[2] for job in ends[STRICT.name]) / studies
        print(
            f"\n{studies} studies of 100 candidates (10 of +4 points, 30 of -4, 60 of none): means ± their standard errors\n"
        )
        print(
            "| gate | true final score | reported minus true | trials, of the plain rule's | promoted: gains, nulls, losses |"
        )
        print("|---|---|---|---|---|")
        for design in CAMPAIGNS:
            columns = list(zip(*(job.result() for job in ends[design.name]), strict=True))
            true, over, spent, good, null, bad = (sum(column) / studies for column in columns)
            errors = [
                math.sqrt(sum((value - sum(c) / studies) ** 2 for value in c) / max(1, studies - 1) / studies)
                for c in columns
            ]
            print(
                f"| {design.name} | {true:.3f} ± {errors[0]:.3f} | {over:+.4f} ± {errors[1]:.4f} | {spent / plain:.2f} ± "
                f"{errors[2] / plain:.2f} | {good:.1f} of 10, {null:.1f} of 60, {bad:.2f} of 30 |"
            )
    print(f"\n{time.perf_counter() - started:.0f} s")
    timing()
    looking()


def timing() -> None:
    """What a decision takes, beside 1,000 shuffles of the same trials in numpy, which is the crudest form of the test."""
    dice, shuffles = random.Random(1), numpy.random.default_rng(1)
    planned = [f"t{task:04}" for task in range(1_000)] * 5
    for kind, levels in (("pass/fail", 1), ("graded in quarters", 4)):
        arms = [[Result(task, dice.randint(0, levels) / levels) for task in planned] for _ in range(3)]
        evidence = Evidence(arms[0], arms[1], planned, weights(rates(arms[2])))
        pool = numpy.array([[outcome.reward for outcome in arm] for arm in arms[:2]]).reshape(10, 1_000)
        mine = min(_seconds(partial(decide, evidence, DEFAULT.policy, whole=True)) for _ in range(5))
        crude = min(_seconds(partial(_shuffle, shuffles, pool)) for _ in range(2))
        print(
            f"a decision on 1,000 tasks, 5 trials each, {kind}: {mine * 1000:.0f} ms, {mine / crude:.3f} of 1,000 shuffles"
        )


def looking() -> None:
    """What a look at a full run takes that is asked after every trial, beside one bare pass over its rewards."""
    for tasks in (58, 1_000):
        for beside in (False, True):
            for kind, levels in (("pass/fail", 1), ("graded in quarters", 4)):
                said = ", ".join(f"{name} {_looks(name, tasks, beside, levels)}" for name in RULES)
                print(
                    f"a look, {tasks} tasks, 5 trials each, {'side by side' if beside else 'standing'}, {kind}: {said}"
                )


def _looks(name: PolicyName, tasks: int, beside: bool, levels: int) -> str:
    """Mean and largest time of a run's looks, and the mean as a multiple of adding up its rewards once."""
    dice, policy = random.Random(2), Policy(name, futility=GateSettings().futility)
    names = [f"t{task:04}" for task in range(tasks)]
    chances = {task: PANEL[number % len(PANEL)] for number, task in enumerate(names)}

    def drawn(planned: Sequence[str], more: float = 0.0) -> list[Result]:
        return [
            Result(task, sum(dice.random() < chances[task] + more for _ in range(levels)) / levels) for task in planned
        ]

    standing, known = drawn(names * 6), rates(drawn(names * EARLIER))
    in_rounds = beside or name in ANYTIME
    planned = [task for task, _ in full_plan(names, Luck(0, 1), 5, known, in_rounds=in_rounds)]
    mine, theirs = drawn(planned, 0.02), drawn(planned)
    run = FullRun((), () if beside else standing, planned, beside, weights=weights(known))
    looks, took = Looks(run, policy, GateSettings()), list[float]()

    def look(number: int) -> bool:
        looks.add(mine[number])
        if beside:
            looks.add(theirs[number], of_champion=True)
        return looks.settled

    for number in range(len(planned)):
        began = time.thread_time()
        over = look(number)
        took.append(time.thread_time() - began)
        if over:
            break
    rewards = [trial.reward or 0.0 for trial in mine]
    floor = min(_seconds(partial(math.fsum, rewards)) for _ in range(20))
    mean = sum(took) / len(took)
    return f"{mean * 1000:.3f} ms ({mean / floor:.1f} of a sum, at most {max(took) * 1000:.1f} ms)"


def _shuffle(shuffles: numpy.random.Generator, pool: numpy.ndarray) -> list[float]:
    return [float(shuffles.permuted(pool, axis=0)[:5].sum()) for _ in range(1_000)]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
