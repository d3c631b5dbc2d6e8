"""Simulated candidates, each of which goes the way of a real one. Pure and seeded.

Its spot-check and its full run are planned by `gate.plans`, judged by `spot_verdict` and `decide`, and end where the gate ends
them; a pooled comparison is confirmed. Its trials come from `panel`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial

from lorimer.config.gate import GateSettings
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.panel import Panel, RewardsByTask
from lorimer.meta_agent.gate.comparison import Evidence
from lorimer.meta_agent.gate.confirmation import ROUNDS, confirmed
from lorimer.meta_agent.gate.design import Design
from lorimer.meta_agent.gate.full_run import FullRun, full_verdict
from lorimer.meta_agent.gate.opponent import Opponent, opponent
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan, spot_plan, spot_trials
from lorimer.meta_agent.gate.statistics.kept import Kept
from lorimer.meta_agent.gate.statistics.policies import ANYTIME
from lorimer.meta_agent.gate.statistics.scores import Result, Shared
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
    kept: Kept | None = None,
) -> Promotions:
    """Play `rounds` candidates whose edits are worth `gain`, each against a champion audited anew.

    Args:
        earlier: trials per task of earlier candidates; a study's first candidate has none.
        kept: what other simulations of this panel and seed have found, of designs that differ in the name of their policy alone.
            A candidate's number throws its dice, so its champion is the same at every gain, and without an effect its trials are
            the same under every policy that plans them alike. Processes keep nothing: it would have to be sent to them.

    The same seed gives the same dice at every gain, so that shares at neighbouring gains differ by the gain; and the same
    share however many processes it is spread `over`.
    """
    parts = [range(start, rounds, 4) for start in range(4)]
    play = partial(_candidates, design, panel, gain, seed, earlier)
    played = [play(part, kept) for part in parts] if over is None else over(play, parts)
    promoted, trials = sum(won for won, _ in played), sum(used for _, used in played)
    share = promoted / rounds
    # With half a success and half a failure added: no promotion in 200 is no proof of never.
    smoothed = (promoted + 0.5) / (rounds + 1)
    return Promotions(gain, share, math.sqrt(smoothed * (1 - smoothed) / rounds), trials / rounds, rounds)


def _candidates(
    design: Design, panel: Panel, gain: float, seed: int, earlier: int, numbers: range, kept: Kept | None = None
) -> tuple[int, int]:
    """Promotions and trials of these candidates."""
    study = partial(_Study, design, panel, seed, earlier, kept or Kept())
    played = [_candidate(study(number), gain) for number in numbers]
    return sum(won for won, _ in played), sum(used for _, used in played)


@dataclass(frozen=True)
class _Champion:
    """A champion that a simulated candidate meets, and where its trials have left the dice."""

    suite: RewardsByTask
    standing: Shared
    others: Sequence[Result]
    """Trials of earlier candidates."""
    dice: random.Random
    """Whoever throws on copies them, as they are kept."""


@dataclass(frozen=True)
class _Candidate:
    """A simulated candidate, and where its trials have left the dice."""

    suite: RewardsByTask
    looked: Sequence[Result]
    """Its spot-check."""
    run: FullRun | None
    """Its full run; `None` where the spot-check killed it."""
    dice: random.Random


@dataclass(frozen=True)
class _Study:
    """One simulated study, up to its candidate of this number."""

    design: Design
    panel: Panel
    seed: int
    earlier: int
    kept: Kept
    number: int

    @property
    def in_rounds(self) -> bool:
        """Whether a full run is planned in rounds."""
        return self.design.beside or self.design.policy.name in ANYTIME

    @property
    def luck(self) -> Luck:
        return Luck(self.design.policy.seed, self.number)

    def champion(self) -> _Champion:
        return self.kept.once(("champion", self.number, self.earlier), self._draw)

    def opponent(self) -> Opponent:
        """Whom the candidate meets in its full run."""

        def find() -> Opponent:
            met = self.champion()
            return opponent(
                met.standing,
                pools=self.design.pools,
                withstood=lambda: met.others,
                earlier=lambda: rates(met.others),
            )

        return self.kept.once(("opponent", self.number, self.earlier, self.design.pools), find)

    def plan(self) -> list[str]:
        """The tasks of the candidate's full run."""
        design, known = self.design, self.opponent().known

        def find() -> list[str]:
            planned = full_plan(self.panel.tasks, self.luck, design.repeats, known, in_rounds=self.in_rounds)
            return [task for task, _ in planned]

        return self.kept.once(("plan", self.number, self.earlier, design.pools, self.in_rounds), find)

    def candidate(self, gain: float) -> _Candidate:
        """The candidate, whose edit is worth `gain`, with all the trials that it may need."""
        if gain:
            return self._try(gain)  # another policy is asked of edits without effect alone
        key = ("candidate", self.number, self.earlier, self.design.pools, self.in_rounds)
        return self.kept.once(key, lambda: self._try(gain))

    def _draw(self) -> _Champion:
        dice = random.Random(f"{self.seed}/{self.number}")  # noqa: S311
        train, suite = self.panel.tasks, self.panel.draw(dice)
        audit = [task for task, _ in by_task_and_repeat(train, self.design.champion_repeats)]
        standing = Shared(panels.run(suite, audit, dice))
        return _Champion(suite, standing, panels.run(suite, train * self.earlier, dice), dice)

    def _try(self, gain: float) -> _Candidate:
        design, met, train = self.design, self.champion(), self.panel.tasks
        dice = copy(met.dice)
        suite: RewardsByTask
        if gain:
            suite, fixes = panels.edited(met.suite, gain, dice)
        else:
            suite, fixes = met.suite, dice.sample(train, min(design.spot_fixes, len(train)))
        spot = spot_plan(fixes, self.luck, met.standing, design.spot_fixes, design.spot_guards)
        looked = panels.run(suite, [task for task, _ in spot], dice)
        if spot_verdict(spot_trials(looked, met.standing), design.policy.ends).kind == "reject":
            return _Candidate(suite, looked, None, dice)
        plan, against = self.plan(), self.opponent()
        mine = panels.run(suite, plan, dice)
        theirs = panels.run(met.suite, plan, dice) if design.beside else against.champion
        run = FullRun(mine, theirs, plan, design.beside, weights=against.weights, own=against.own)
        return _Candidate(suite, looked, run, dice)


def _candidate(study: _Study, gain: float) -> tuple[bool, int]:
    """Whether a candidate is promoted, and how many trials that took."""
    design, tried = study.design, study.candidate(gain)
    if tried.run is None:
        return False, len(tried.looked)
    # What an edit will cost is not known: nothing is asked of it here.
    decision = full_verdict(tried.run, study.opponent().judged_by(design.first), GateSettings())
    used = len(tried.looked) + int(decision.numbers["run"] or 0) * (1 + design.beside)
    if decision.kind != "promote" or design.policy.name != "pooled":
        return decision.kind == "promote", used
    better, beside = _confirmed(design, tried.suite, study.champion().suite, copy(tried.dice))
    return better, used + beside


def _confirmed(design: Design, suite: RewardsByTask, champion: RewardsByTask, dice: random.Random) -> tuple[bool, int]:
    """Whether a candidate is better in fresh trials side by side with the champion, and how many of both that took."""
    tasks = list(suite)
    mine, theirs = list[Result](), list[Result]()
    decision = None
    while decision is None:
        mine += panels.run(suite, tasks, dice)
        theirs += panels.run(champion, tasks, dice)
        decision = confirmed(Evidence(mine, theirs, tasks * ROUNDS), design.policy)
    return decision.kind == "pass", len(mine) + len(theirs)
