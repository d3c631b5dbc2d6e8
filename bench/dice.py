"""Dice for the gate: made suites, made edits, and candidates and studies that go the way of real ones.

A panel is the rate at which a harness solves each task. Everything is decided by the gate's own functions, with the loop's
own plans.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.touches import INERT, KEYED, PROMPT, in_pairs, reaches
from lorimer.config.gate import GateSettings
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.confirmation import FINAL_REPEATS, ROUNDS, confirmed
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.opponent import Opponent, opponent
from lorimer.meta_agent.gate.plans import Luck, full_plan, spot_plan, spot_trials
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, Policy
from lorimer.meta_agent.gate.statistics.scores import Result, task_means
from lorimer.meta_agent.gate.statistics.weights import EarlierTrials, Rates, rates
from lorimer.meta_agent.gate.verdicts import spot_verdict

Chances = Sequence[float]
PANEL = (0.95,) * 28 + tuple(0.1 + 0.8 * step / 19 for step in range(20)) + (0.0,) * 10
"""58 tasks: 28 stable, 20 flaky, 10 never solved."""
TRADE = 0.05
EARLIER = 3
"""Trials per task of other candidates: they order a plan, weigh tasks, and count for the champion where the gate pools them."""
SELDOM = 1e-9
"""The rate of a task that edits have brought down to nothing: another edit may bring it up again."""
BAD = 0.8
"""What a bad hour leaves of every rate."""


@dataclass(frozen=True)
class Design:
    """A gate as a user would configure it."""

    name: str
    gate: GateSettings = field(default_factory=GateSettings)
    champion: int = 0
    """Trials per task of the champion when it is tested; 0: as many as a new champion has."""
    earlier: int = EARLIER
    replays: bool = False
    """Whether edits are previewed: those that touch nothing are refused, and the spot-check is run in pairs where it can be."""

    @property
    def policy(self) -> Policy:
        return Policy(
            name=self.gate.policy,
            alpha=self.gate.alpha,
            futility=self.gate.futility,
            revision=self.gate.revision,
        )

    @property
    def against(self) -> int:
        return self.champion or self.gate.first_champion_repeats


Shape = Literal["few", "thin", "mixed"]
"""How an edit's points lie: up to half a task's rate at a time, spread over all tasks, or half as many won again and lost."""


@dataclass(frozen=True)
class Errors:
    """Which trials come to nothing that can be scored."""

    share: float = 0.0
    """Of all trials."""
    of_failed: float = 0.0
    """Of those that would have failed."""

    def fall_on(self, reward: float, dice: random.Random) -> bool:
        share = self.share if reward > 0 else max(self.share, self.of_failed)
        return share > 0 and dice.random() < share


NO_ERRORS = Errors()


@dataclass(frozen=True)
class Campaign:
    """A study: its suite, its edits, and what happens to the provider meanwhile."""

    panel: Chances = PANEL
    mix: tuple[tuple[float, int], ...] = ((0.04, 10), (-0.04, 30), (0.0, 60))
    """Points and how many candidates are worth them, in random order."""
    shape: Shape = "few"
    drift: float = 0.0
    """Points by which every harness changes half way."""
    bad: float = 0.0
    """Share of stages that fall into a bad hour."""
    graded: bool = False
    """Rewards are quarters."""
    beyond: bool = False
    """Whether what is never solved is beyond every edit: its points lie on the other tasks."""
    touching: Literal["all", "some", "read"] = "all"
    """Which recorded trials edits touch: all at their first request; some later and some none (`bench.touches`); or the failed
    ones alone, being keyed to their words."""


@dataclass(frozen=True)
class Decided:
    """A decision as a store has it."""

    kind: str
    numbers: dict[str, Any]
    policy: dict[str, Any]

    @classmethod
    def of(cls, decision: Decision, policy: Policy) -> Decided:
        return cls(decision.kind, dict(decision.numbers), dict(policy.as_json()))


@dataclass(frozen=True)
class Promoted:
    """An edit that was promoted."""

    full: Decided
    audit: Decided | None
    """Its confirmation, where there is one."""
    gain: float
    """By how much it is truly better than the champion before it."""


@dataclass(frozen=True)
class Ended:
    """What a study came to."""

    true: float
    """The last champion's expected score."""
    over: float
    """The score that is reported less the true one."""
    spent: float
    """Trials; a pair counts what of it is live."""
    gains: int
    nulls: int
    losses: int
    tests: tuple[Decided, ...] = ()
    promoted: tuple[Promoted, ...] = ()


def names(chances: Chances) -> tuple[str, ...]:
    return tuple(f"t{task:03}" for task in range(len(chances)))


def edited(chances: Chances, points: float, dice: random.Random, shape: Shape = "few") -> list[float]:
    """The chances after an edit worth `points` (a share of the mean reward)."""
    changed = list(chances)
    if shape == "mixed":
        return edited(edited(changed, points * 1.5, dice), -points * 0.5, dice)
    most = 0.5 if shape == "few" else abs(points) * 1.5
    left = abs(points) * len(chances)
    while left > 1e-9:
        before = left
        for task in dice.sample(range(len(chances)), len(chances)):
            room = max(0.0, 0.95 - changed[task]) if points > 0 else changed[task]
            step = min(most, room, left)
            changed[task] += step if points > 0 else -step
            left -= step
        if shape == "few" or left == before:
            break
    return changed


def edited_below(chances: Chances, points: float, dice: random.Random, shape: Shape = "few") -> list[float]:
    """The chances after an edit worth `points` that leaves alone what is never solved."""
    within = [task for task, rate in enumerate(chances) if rate > 0]
    rates = edited([chances[task] for task in within], points * len(chances) / len(within), dice, shape)
    changed = list(chances)
    for task, rate in zip(within, rates, strict=True):
        changed[task] = max(rate, SELDOM)
    return changed


def trials(
    chances: Chances,
    planned: Sequence[str],
    dice: random.Random,
    graded: bool = False,
    hour: float = 1.0,
    errors: Errors = NO_ERRORS,
) -> list[Result]:
    found = []
    for task in planned:
        rate = hour * chances[int(task[1:])]
        hits = sum(dice.random() < rate for _ in range(4)) / 4 if graded else float(dice.random() < rate)
        found.append(Result(task, None if errors.fall_on(hits, dice) else hits))
    return found


def full(
    design: Design,
    policy: Policy,
    met: Opponent,
    chances: Chances,
    number: int,
    dice: random.Random,
    play: Campaign = Campaign(),
    hour: float = 1.0,
    errors: Errors = NO_ERRORS,
) -> tuple[Decision, list[Result]]:
    """The decision of a full run, and the trials that it read."""
    tasks, luck = names(chances), Luck(dice.randrange(1 << 30), number)
    in_rounds = policy.name in ANYTIME
    planned = [task for task, _ in full_plan(tasks, luck, design.gate.repeats, met.known, in_rounds=in_rounds)]
    run = trials(chances, planned, dice, play.graded, hour, errors)
    decision = decide(Evidence(run, met.champion, planned, met.weights), met.judged_by(policy))
    return decision, run[: int(decision.numbers["run"] or 0)]


def confirm(
    design: Design,
    chances: Chances,
    champion: Chances,
    dice: random.Random,
    play: Campaign = Campaign(),
    hour: float = 1.0,
    errors: tuple[Errors, Errors] = (NO_ERRORS, NO_ERRORS),
) -> tuple[Decision, list[Result], list[Result]]:
    """What a confirmation side by side with the champion says of a candidate, and the trials of both."""
    mine, theirs, decision, tasks = list[Result](), list[Result](), None, names(chances)
    while decision is None:
        mine += trials(chances, tasks, dice, play.graded, hour, errors[0])
        theirs += trials(champion, tasks, dice, play.graded, hour, errors[1])
        decision = confirmed(Evidence(mine, theirs, tasks * ROUNDS), design.policy)
    return decision, mine, theirs


def met_by(design: Design, standing: Sequence[Result], rejected: Sequence[Result], earlier: Rates) -> Opponent:
    """Whom a candidate of a study meets."""
    return opponent(standing, pools=design.gate.pools, withstood=lambda: rejected, earlier=lambda: earlier)


@dataclass
class Outcomes:
    """What became of candidates, each of which met a champion audited anew."""

    promoted: int = 0
    undecided: int = 0
    trials: int = 0


def outcomes(
    design: Design,
    points: float | Literal["trade"],
    rounds: int,
    seed: str,
    errors: tuple[Errors, Errors] = (NO_ERRORS, NO_ERRORS),
) -> Outcomes:
    """What becomes of `rounds` candidates; which trials of theirs and of the champion's come to errors."""
    dice, tasks, found = random.Random(seed), names(PANEL), Outcomes()
    for number in range(rounds):
        standing = trials(PANEL, tasks * design.against, dice, errors=errors[1])
        others = trials(PANEL, tasks * design.earlier, dice, errors=errors[1])
        met = met_by(design, standing, others, rates(others))
        gained = TRADE if points == "trade" else points
        chances = edited(PANEL, gained, dice)
        chances = edited(chances, -TRADE, dice) if points == "trade" else chances
        decision, read = full(design, design.policy, met, chances, number, dice, errors=errors[0])
        found.trials += len(read)
        if decision.kind == "promote" and design.gate.pools:
            decision, mine, theirs = confirm(design, chances, PANEL, dice, errors=errors)
            found.trials += len(mine) + len(theirs)
        found.promoted += decision.kind in ("promote", "pass")
        found.undecided += decision.kind == "undecided"
    return found


def spot_check(
    design: Design,
    standing: Sequence[Result],
    chances: Chances,
    luck: Luck,
    dice: random.Random,
    run: Callable[[Chances, Sequence[str]], list[Result]],
) -> tuple[bool, int]:
    """Whether a spot-check on single tasks kills an edit, and its trials."""
    gate, means = design.gate, task_means(standing)
    failing = [task for task, mean in means.items() if mean < 1]
    fixes = dice.sample(failing, min(gate.spot_fixes, len(failing)))
    planned = spot_plan(fixes, luck, standing, gate.spot_fixes, gate.spot_guards)
    looked = run(chances, [task for task, _ in planned])
    return spot_verdict(spot_trials(looked, standing), design.policy.ends).kind == "reject", len(looked)


def study(design: Design, play: Campaign, seed: int) -> Ended:
    """A study of one candidate after another, each an edit of the champion.

    The spot-check's fixes are three random tasks that the champion fails: nothing is assumed of the meta-agent's aim.
    """
    dice, gate, tasks = random.Random(seed), design.gate, names(play.panel)
    kinds = [points for points, count in play.mix for _ in range(count)]
    dice.shuffle(kinds)
    champion: list[float] = list(play.panel)
    plain, pooled = gate.policy == "strict", gate.pools
    rejected: list[Result] = []
    kept = {"all": PROMPT, "read": KEYED}.get(play.touching)
    reach_of = [kept] * len(kinds) if kept else reaches(kinds, dice)
    first = tasks * gate.first_champion_repeats

    def run_of(chances: Chances, planned: Sequence[str]) -> list[Result]:
        return trials(chances, planned, dice, play.graded, hour())

    def hour() -> float:
        return BAD if play.bad and dice.random() < play.bad else 1.0

    standing, earlier = run_of(champion, first), EarlierTrials()
    tests, promoted = list[Decided](), list[Promoted]()
    spent, met, won, passed = float(len(standing)), 0, [0, 0, 0], list[bool]()
    for number, (points, reach) in enumerate(zip(kinds, reach_of, strict=True), 1):
        policy = design.policy
        if play.drift and number == len(kinds) // 2 + 1:
            champion = edited(champion, play.drift, dice, "thin")
        chances = (edited_below if play.beyond else edited)(champion, points, dice, play.shape)
        if plain:  # the plain rule has no spot-check and no audit: the winning run stands
            run = run_of(chances, tasks)
            decision = decide(Evidence(run, standing, tasks), design.policy)
        else:
            pairs = None
            if design.replays and reach is INERT:
                continue
            if design.replays and reach is not PROMPT:
                weights = met_by(design, standing, rejected, earlier.rates()).weights
                own = random.Random(f"{seed}/{number}")  # so that a study without pairs is the same study
                pairs = in_pairs(standing, (champion, chances), reach, weights, (gate.repeats, gate.alpha), own)
            killed, cost = pairs or spot_check(design, standing, chances, Luck(seed, number), dice, run_of)
            spent += cost
            if killed:
                continue
            tried = len(standing) // len(tasks)
            more = tried - gate.first_champion_repeats
            if gate.champion_grows and met // gate.champion_every > more and tried < gate.most_champion_repeats:
                standing = standing + run_of(champion, tasks)
                spent += len(tasks)
            policy = at_level(design.policy, gate.error, passed)
            opposed = met_by(design, standing, rejected, earlier.rates())
            decision, run = full(design, policy, opposed, chances, number, dice, play, hour())
        spent += len(run)
        tests.append(Decided.of(decision, policy))
        passed.append(decision.kind == "promote")
        place, gain = (points > 0) - (points < 0), (sum(chances) - sum(champion)) / len(tasks)
        if pooled:
            mine, theirs = list[Result](), list[Result]()
            if passed[-1]:
                answer, mine, theirs = confirm(design, chances, champion, dice, play, hour())
                passed[-1] = answer.kind == "pass"
                spent += len(mine) + len(theirs)
            if passed[-1]:
                promoted.append(Promoted(tests[-1], Decided.of(answer, policy), gain))
                champion, standing, rejected = chances, mine, []
                won[place] += 1
            else:
                standing, rejected = standing + theirs, rejected + run + mine
            continue
        met += 1
        earlier.add(run)
        if passed[-1]:
            promoted.append(Promoted(tests[-1], None, gain))
            champion, met = chances, 0
            won[place] += 1
            if not plain:
                # As `EarlierRates`: the first champion's trials are tested no more.
                earlier.add(standing if sum(passed) == 1 else [])
            standing = run if plain else run_of(champion, first)
            spent += 0 if plain else len(standing)
    if pooled:  # the last champion's audit alone is reported
        standing = run_of(champion, tasks * FINAL_REPEATS)
        spent += len(standing)
    true = sum(champion) / len(champion)
    reported = sum(outcome.reward or 0.0 for outcome in standing) / len(standing)
    return Ended(true, reported - true, spent, won[1], won[0], won[-1], tuple(tests), tuple(promoted))
