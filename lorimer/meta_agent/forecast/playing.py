"""Simulated candidates, each of which goes the way of a real one. Pure and seeded.

Its spot-check and its full run are planned by `gate.plans`, judged by `spot_verdict` and `decide`, and end where the gate ends
them; a pooled comparison is confirmed. Its trials come from `panel`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from lorimer.config.gate import GateSettings
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.panel import Panel, Suite
from lorimer.meta_agent.gate.comparison import Evidence
from lorimer.meta_agent.gate.confirmation import ROUNDS, confirmed
from lorimer.meta_agent.gate.design import Design
from lorimer.meta_agent.gate.full_run import FullRun, full_verdict
from lorimer.meta_agent.gate.opponent import opponent
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan, spot_plan, spot_trials
from lorimer.meta_agent.gate.statistics.policies import ANYTIME
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.statistics.weights import rates
from lorimer.meta_agent.gate.verdicts import spot_verdict

EARLIER = 3
"""Trials per task of earlier candidates: they order a full run and weigh its tasks, and count for the champion where
`Design.pools`."""


@dataclass(frozen=True)
class Promotions:
    """How often simulated candidates were promoted."""

    gain: float
    """Their edits change the mean reward by this."""
    promoted: float
    error: float
    """Its standard error."""
    trials: float
    """Mean trials per candidate: spot-check and full run."""
    rounds: int


Mapper = Callable[[Callable[[range], tuple[int, int]], Sequence[range]], Sequence[tuple[int, int]]]
"""`map`, here or over processes."""


def simulate(
    design: Design,
    panel: Panel,
    gain: float,
    rounds: int,
    seed: int,
    over: Mapper | None = None,
    *,
    earlier: int = EARLIER,
) -> Promotions:
    """Play `rounds` candidates whose edits are worth `gain`, each against a champion audited anew.

    Args:
        earlier: trials per task of earlier candidates; a study's first candidate has none.

    The same seed gives the same dice at every gain, so that shares at neighbouring gains differ by the gain; and the same
    share however many processes it is spread `over`.
    """
    parts = [range(start, rounds, 4) for start in range(4)]
    play = partial(_candidates, design, panel, gain, seed, earlier)
    played = list(map(play, parts)) if over is None else over(play, parts)
    promoted, trials = sum(won for won, _ in played), sum(used for _, used in played)
    share = promoted / rounds
    # With half a success and half a failure added: no promotion in 200 is no proof of never.
    smoothed = (promoted + 0.5) / (rounds + 1)
    return Promotions(gain, share, math.sqrt(smoothed * (1 - smoothed) / rounds), trials / rounds, rounds)


def _candidates(design: Design, panel: Panel, gain: float, seed: int, earlier: int, numbers: range) -> tuple[int, int]:
    """Promotions and trials of these candidates."""
    played = [_candidate(design, panel, gain, n, random.Random(f"{seed}/{n}"), earlier) for n in numbers]  # noqa: S311
    return sum(won for won, _ in played), sum(used for _, used in played)


def _candidate(
    design: Design, panel: Panel, gain: float, number: int, dice: random.Random, earlier: int
) -> tuple[bool, int]:
    champion = panel.draw(dice)
    train, luck = panel.tasks, Luck(design.policy.seed, number)
    standing = panels.run(champion, [task for task, _ in by_task_and_repeat(train, design.champion_repeats)], dice)
    others = panels.run(champion, train * earlier, dice)
    if gain:
        suite, fixes = panels.edited(champion, gain, dice)
    else:
        suite, fixes = champion, dice.sample(train, min(design.spot_fixes, len(train)))
    spot = spot_plan(fixes, luck, standing, design.spot_fixes, design.spot_guards)
    looked = panels.run(suite, [task for task, _ in spot], dice)
    if spot_verdict(spot_trials(looked, standing), design.policy.ends).kind == "reject":
        return False, len(looked)
    met = opponent(standing, pools=design.pools, withstood=lambda: others, earlier=lambda: rates(others))
    in_rounds = design.beside or design.policy.name in ANYTIME
    plan = [task for task, _ in full_plan(train, luck, design.repeats, met.known, in_rounds=in_rounds)]
    mine = panels.run(suite, plan, dice)
    theirs = panels.run(champion, plan, dice) if design.beside else met.champion
    run = FullRun(mine, theirs, plan, design.beside, weights=met.weights)
    # What an edit will cost is not known: nothing is asked of it here.
    decision = full_verdict(run, met.judged_by(design.first), GateSettings())
    used = len(looked) + int(decision.numbers["run"] or 0) * (1 + design.beside)
    if decision.kind != "promote" or design.policy.name != "pooled":
        return decision.kind == "promote", used
    better, beside = _confirmed(design, suite, champion, dice)
    return better, used + beside


def _confirmed(design: Design, suite: Suite, champion: Suite, dice: random.Random) -> tuple[bool, int]:
    """Whether a candidate is better in fresh trials side by side with the champion, and how many of both that took."""
    tasks = list(suite)
    mine, theirs = list[Result](), list[Result]()
    decision = None
    while decision is None:
        mine += panels.run(suite, tasks, dice)
        theirs += panels.run(champion, tasks, dice)
        decision = confirmed(Evidence(mine, theirs, tasks * ROUNDS), design.policy)
    return decision.kind == "pass", len(mine) + len(theirs)
