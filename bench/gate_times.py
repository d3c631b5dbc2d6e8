"""What the gate's decisions take, and its looks at a run that is under way.

python -m bench.gate_times        (a minute)
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy

from bench.dice import EARLIER, PANEL
from lorimer.config.gate import GateSettings
from lorimer.kinds import PolicyName
from lorimer.meta_agent.gate.comparison import Evidence
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.looks import Looks
from lorimer.meta_agent.gate.plans import Luck, full_plan
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, RULES, Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.statistics.weights import rates, weights


def timing() -> None:
    """What a decision takes, beside 1,000 shuffles of the same trials in numpy, which is the crudest form of the test."""
    dice, shuffles = random.Random(1), numpy.random.default_rng(1)
    planned = [f"t{task:04}" for task in range(1_000)] * 5
    for kind, levels in (("pass/fail", 1), ("graded in quarters", 4)):
        arms = [[Result(task, dice.randint(0, levels) / levels) for task in planned] for _ in range(3)]
        evidence = Evidence(arms[0], arms[1], planned, weights(rates(arms[2])))
        pool = numpy.array([[outcome.reward for outcome in arm] for arm in arms[:2]]).reshape(10, 1_000)
        mine = min(_seconds(partial(decide, evidence, Policy(), whole=True)) for _ in range(5))
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
    timing()
    looking()
