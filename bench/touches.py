"""Recorded trials under edits: which of them an edit touches, and what comes out when they are run again from there.

A trial is decided step by step. After a share `depth` of it the chance of success is drawn from a beta distribution around the
task's rate, as wide as what is decided by then: a trial that is about to end is nearly decided, one that has just begun is not.
An edit that touches a trial there leaves what was decided, and what it changes acts on the rest alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorimer.meta_agent.gate.pairs import TouchedTrial, pair_plan, pair_verdict
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.replay.pairs import LEAST_CALLS

Chances = Sequence[float]
CALLS = 10
"""Model calls of a trial: what a pair is taken to cost at least depends on it."""


@dataclass(frozen=True)
class Reach:
    """Which trials an edit touches, and where."""

    name: str
    share: float
    """The share that it touches of the trials of tasks which it makes neither better nor worse."""
    depth: float
    """The share of a trial that lies before the touch."""
    failed_only: bool = False
    """It is keyed to the failed trials that were read: it redraws those alone, and no fresh trial has their words."""


PROMPT = Reach("prompt", 1.0, 0.0)
LATER = (Reach("middle", 0.3, 0.4), Reach("finish", 1.0, 0.85), Reach("parse", 0.12, 0.2))
INERT = Reach("inert", 0.0, 0.0)
KEYED = Reach("keyed to what was read", 1.0, 0.4, failed_only=True)
SURE = 0.9
"""The least share of the trials that an edit touches on tasks that it makes better or worse."""


def reaches(points: Sequence[float], dice: random.Random) -> list[Reach]:
    """What each of these edits touches: of a hundred 40 touch every trial at its first request, 10 of those without effect touch
    nothing, and the others touch later."""
    nulls = [place for place, each in enumerate(points) if not each]
    inert = frozenset(dice.sample(nulls, min(len(nulls), len(points) // 10)))
    rest = [place for place in range(len(points)) if place not in inert]
    dice.shuffle(rest)
    prompts = len(points) * 4 // 10
    found = {place: PROMPT if turn < prompts else LATER[turn % len(LATER)] for turn, place in enumerate(rest)}
    return [found.get(place, INERT) for place in range(len(points))]


def in_pairs(
    standing: Sequence[Result],
    rates: tuple[Chances, Chances],
    reach: Reach,
    weights: Mapping[str, int],
    gate: tuple[int, float],
    dice: random.Random,
) -> tuple[bool, float] | None:
    """Whether an edit is killed in pairs, and what they cost in whole trials; `None` where none are run.

    Args:
        rates: the chances of the champion and of the edited harness on each task.
        gate: the full run's trials per task, and its level.
    """
    left, touched, later = max(1 - reach.depth, LEAST_CALLS / CALLS), list[TouchedTrial](), dict[str, float]()
    for place, each in enumerate(standing):
        task = int(each.task[1:])
        reward = again(each.reward or 0.0, rates[0][task], rates[1][task], reach, dice)
        if reward is not None:
            touched.append(TouchedTrial(f"r{place}", each.task, each.reward or 0.0, left))
            later[f"r{place}"] = reward
    repeats, alpha = gate
    luck = Luck(dice.randrange(1 << 30), 1)
    plan = pair_plan(touched, standing, 0, luck, standing=standing, weights=weights, repeats=repeats, alpha=alpha)
    if plan is None:
        return None
    rewards = [later[each.trial] for each in plan.order]
    for end in plan.looks:
        verdict = pair_verdict(plan, rewards[:end])
        if verdict is not None:
            return verdict.kind == "reject", sum(each.left for each in plan.order[:end])
    raise AssertionError("the last look of a plan decides")


def again(reward: float, before: float, after: float, reach: Reach, dice: random.Random) -> float | None:
    """The reward of a recorded trial under an edit that moves its task's chance; `None` where the edit does not touch it."""
    moved = after - before
    share = max(reach.share, SURE) if moved else reach.share
    if (reach.failed_only and reward) or dice.random() >= share:
        return None
    known = before
    if reach.depth:
        firm = 2 * (1 - reach.depth) / reach.depth
        centre = min(0.999, max(0.001, before))
        known = dice.betavariate(centre * firm + reward, (1 - centre) * firm + 1 - reward)
    if moved > 0:  # so much of what would fail is rescued that the task's chance is `after`
        known += (1 - known) * min(1.0, moved / share / (1 - before))
    elif moved < 0:
        known *= max(0.0, 1 + moved / share / before)
    return float(dice.random() < known)
