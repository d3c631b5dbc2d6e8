"""The spot-check in pairs: recorded trials of the champion that an edit touches, run again from the touch on. Pure.

A pair is the champion's reward in a recorded trial, and the edit's in the same trial from where it first makes a difference. Most
luck of a trial lies before that point, and what lies before costs nothing, so pairs tell an edit's worth with a third of the
trials of a full run or less. They may only kill. The meta-agent has read these trials: an edit that is keyed to the failed ones
draws failures again and nothing else, and would win every comparison of pairs without being better at anything.

Trials that failed do better when they are run again, by luck alone, and solved ones worse. So neither group is judged alone: both
are weighed back to all recorded trials, where an edit without effect gains as much in the one as it loses in the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile, zip_longest
from statistics import NormalDist

from lorimer.kinds import SOLVED
from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.plans import Luck
from lorimer.meta_agent.gate.statistics.policies import Value
from lorimer.meta_agent.gate.statistics.scores import Result, by_task, scored, smoothed_variance
from lorimer.meta_agent.gate.statistics.weights import FINENESS

MOST = 30.0
"""What all pairs of a candidate may cost, in whole trials of the champion."""
STEP = 3.0
"""What is spent between two looks, in whole trials."""
DOUBT = 1.3
"""Standard errors by which an edit must fall short of a gain worth finding to be killed at the plan's end."""
AHEAD = 0.5
"""Standard errors by which it must exceed such a gain to pass before the plan's end. Together these kill 80% of the edits without
effect on the panel of 58 tasks, for 16 trials each, 2% of those worth four points and 1% of those worth five; a `DOUBT` of 1
kills 86% for 13, and 4% and 2% (docs/gate.md)."""
SHARE = 0.5
"""The share of the recorded trials' length beyond which pairs tell less for their price than a full run does. It is 1 for an edit
that touches every trial at its first request."""
TOLD = 0.8
"""The least share of the champion's trials of which it can be told whether the edit touches them."""
PATIENCE = 2.0
"""How many times its planned price a check may cost, and a `STEP` more, once pairs part from their records. A pair that parts
is run whole, so without such a bound 28 pairs that were planned for 2.8 whole trials cost 28. With it these end after 4. A check
of which a tenth of the pairs part, which then costs 1.9 times its price, runs to its end."""
FEELER = 4
"""Pairs after which it is first looked at what they cost, where the first look at their rewards comes later than that. Fewer
could not cost a `STEP` more than planned."""


@dataclass(frozen=True)
class TouchedTrial:
    """A recorded trial of the champion that an edit touches."""

    trial: str
    task: str
    reward: float
    """The champion's."""
    left: float
    """What a pair costs: the tokens that the record holds after the touch, of a mean trial's."""

    @property
    def solved(self) -> bool:
        return self.reward >= SOLVED

    @property
    def whole(self) -> float:
        """What a pair is counted as that parted from its record, and so was run from the start: one whole trial."""
        return max(1.0, self.left)

    def price(self, parting: float) -> float:
        """What a pair costs in the mean where so many of them part from their records."""
        return self.left + parting * (self.whole - self.left)


@dataclass(frozen=True)
class PairPlan:
    """Which touched trials are run again, fixed before the first of them is."""

    order: tuple[TouchedTrial, ...]
    counts: tuple[float, ...]
    """What a reward counts in each of these pairs: by its task (1 in the mean), and by how many trials it stands for."""
    looks: tuple[int, ...]
    """After how many pairs the candidate may be killed; the last is all of them."""
    failed: int
    """Touched trials that failed, `order`'s and the others."""
    solved: int
    """Touched trials that were solved."""
    standing: int
    """The champion's trials that all these stand for."""
    worth: float
    """The gain in weighted mean reward that the full run would find every other time."""
    parting: float = 0.0
    """The share of earlier pairs that parted from their records, by which these are priced."""

    @property
    def stops(self) -> tuple[int, ...]:
        """After how many pairs it is looked at what they cost: at the looks and, where the first of them comes late, at a few
        places before it, as far as pairs that all part would have cost too much by then."""
        early = takewhile(lambda stop: 1.5 * stop <= self.looks[0], (FEELER * 2**turn for turn in count()))
        dear = (stop for stop in early if math.fsum(each.whole for each in self.order[:stop]) > self.bound(stop))
        return tuple(sorted({*dear, *self.looks}))

    def price(self, end: int) -> float:
        """What so many of its first pairs were planned to cost, in whole trials."""
        return math.fsum(each.price(self.parting) for each in self.order[:end])

    def bound(self, end: int) -> float:
        """What these may cost at most for the check to go on."""
        return PATIENCE * self.price(end) + STEP


def pair_plan(
    touched: Sequence[TouchedTrial],
    told: Sequence[Result],
    untold: int,
    luck: Luck,
    *,
    standing: Sequence[Result],
    weights: Mapping[str, int],
    repeats: int,
    alpha: float,
    parting: float = 0.0,
) -> PairPlan | None:
    """The pairs of a candidate, or `None` where they are not worth their price or would tell of too few trials.

    There are none either for an edit that touches no solved trial. It could only win in pairs, as whatever is keyed to failed
    ones does, so they would stand in the way of the single-task check and see nothing.

    Args:
        touched: the champion's trials that the edit touches.
        told: all trials of which it could be told whether the edit touches them.
        untold: of how many that were looked at it could not be told.
        standing: all the champion's trials that a candidate is compared with, of which those that were told of may be a part,
            chosen by task and by whether they were solved. Trials by which it won its place are no standing ones: they were
            lucky, and the edit would seem to lose what they had won.
        weights: what a reward of each task counts in the full run: a gain where nothing was ever solved is seen soonest.
        repeats: trials per task of the full run.
        alpha: the level of its test.
        parting: the share of earlier pairs that parted from their records. Such a pair costs a whole trial.
    """
    standing = [each for each in standing if each.reward is not None]
    price = math.fsum(each.price(parting) for each in touched)
    if not any(each.solved for each in touched) or price > SHARE * len(told) or len(told) < TOLD * (len(told) + untold):
        return None
    drawn = sorted(touched, key=lambda each: luck.place(each.trial))
    order, looks = list[TouchedTrial](), list[int]()
    spent = step = 0.0
    for each in _in_turn([t for t in drawn if not t.solved], [t for t in drawn if t.solved]):
        cost = each.price(parting)
        if order and spent + cost > MOST:
            break
        order.append(each)
        spent, step = spent + cost, step + cost
        if step >= STEP:
            looks.append(len(order))
            step = 0.0
    solved = sum(each.solved for each in touched)
    counts, for_ = _counts(standing, weights), _stands_for(told, standing)
    return PairPlan(
        order=tuple(order),
        counts=tuple(counts[each.task] * for_[each.task, each.solved] for each in order),
        looks=tuple(dict.fromkeys([*looks, len(order)])),
        failed=len(touched) - solved,
        solved=solved,
        standing=len(standing),
        worth=_worth(standing, counts, repeats, alpha),
        parting=parting,
    )


def pair_verdict(plan: PairPlan, rewards: Sequence[float | None], parted: Sequence[bool] = ()) -> Decision | None:
    """The verdict after the plan's first pairs: `reject`, `pass`, or `None` where it goes on.

    A candidate is killed at a look where an edit that is worth finding would hardly have done so badly (`DOUBT`). It passes where
    it does better than such an edit need, and at the end of the plan. It passes as well where its pairs cost far more than was
    planned (`PATIENCE`), as they part from their records: the full run decides then.

    Args:
        rewards: those of the plan's first trials, in its order; `None` where one errored, which says nothing.
        parted: whether each of these parted from its record, or had none, and so was run whole; left out where none did.
    """
    run = len(rewards)
    if run not in plan.stops:
        return None
    apart, spent = sum(parted), _spent(plan, run, parted)
    groups = [_Group.of(plan, rewards, solved=solved) for solved in (False, True)]
    gain = math.fsum(group.gain for group in groups) / plan.standing
    error = math.sqrt(math.fsum(group.variance for group in groups)) / plan.standing
    failed, solved = groups
    numbers: dict[str, Value] = {
        "pairs": run,
        "failed": failed.run,
        "won": failed.moved,
        "solved": solved.run,
        "lost": solved.moved,
        "errored": run - failed.run - solved.run,
        "gain": gain,
        "error": error,
        "worth": plan.worth,
        "parted": apart,
        "spent": spent,
        "planned": plan.price(run),
    }
    said = (
        f"from the touch on, {failed.moved:g} of {failed.run} failed trials were won and {solved.moved:g} of {solved.run} solved "
        f"ones lost: {gain:+.3f} (± {error:.3f}) in weighted reward"
    )
    # The sooner the look, the surer a kill must be, as there are more of them to come.
    doubt = DOUBT / math.sqrt(run / len(plan.order))
    if run in plan.looks and gain < plan.worth - doubt * error:
        return Decision(
            "reject", f"rejected on the spot-check: {said}, and a gain of {plan.worth:.3f} is worth finding", numbers
        )
    if run == len(plan.order) or (run in plan.looks and gain >= plan.worth + AHEAD * error):
        return Decision("pass", f"passed the spot-check: {said}", numbers)
    if apart and _too_dear(plan, run, spent, apart / run):
        return Decision(
            "pass",
            f"not rejected on the spot-check, which ended early: {apart} of {run} pairs parted from their records and cost a "
            f"whole trial each, {spent:.1f} in all where {plan.price(run):.1f} were planned; the full run decides",
            numbers,
        )
    return None


def _spent(plan: PairPlan, run: int, parted: Sequence[bool]) -> float:
    """What the plan's first pairs cost, in whole trials."""
    gone = [*parted, *[False] * (run - len(parted))]
    return math.fsum(each.whole if whole else each.left for each, whole in zip(plan.order[:run], gone, strict=True))


def _too_dear(plan: PairPlan, run: int, spent: float, parting: float) -> bool:
    """Whether the first pairs cost far more than was planned, or the next ones, should as many of them part, would bring all to
    more than any check may cost."""
    after = next(stop for stop in plan.stops if stop > run)
    ahead = math.fsum(each.price(parting) for each in plan.order[run:after])
    return spent > plan.bound(run) or spent + ahead > MOST


@dataclass(frozen=True)
class _Group:
    """The touched trials that failed, or those that were solved."""

    run: int
    """Pairs that were scored."""
    moved: float
    """Reward won in failed trials, or lost in solved ones."""
    gain: float
    """The weighted reward that the edit gains in all touched trials of the group, as its pairs let expect."""
    variance: float
    """The variance of that estimate."""

    @staticmethod
    def of(plan: PairPlan, rewards: Sequence[float | None], *, solved: bool) -> _Group:
        sign, size = (-1, plan.solved) if solved else (1, plan.failed)
        moved = [
            (sign * (reward - each.reward), count)
            for each, count, reward in zip(plan.order, plan.counts, rewards, strict=False)
            if reward is not None and each.solved == solved
        ]
        run = len(moved)
        if not run:  # of a group without pairs nothing is known: half of it may have changed
            return _Group(0, 0.0, 0.0, size * size / 4)
        # In units of the mean weight, so that half a success and half a failure more are those of a task like the others.
        mean = math.fsum(count for _, count in moved) / run
        each = [more * count / mean for more, count in moved]
        total = math.fsum(each)
        variance = smoothed_variance(total, math.fsum(one * one for one in each), run)
        scale = size * mean
        return _Group(
            run, math.fsum(more for more, _ in moved), sign * scale * total / run, scale * scale * variance / run
        )


def _in_turn(failed: Sequence[TouchedTrial], solved: Sequence[TouchedTrial]) -> Iterator[TouchedTrial]:
    """One of each in turn, then what is left of the longer: both groups move about equally often under luck."""
    return (each for pair in zip_longest(failed, solved) for each in pair if each is not None)


def _stands_for(told: Sequence[Result], standing: Sequence[Result]) -> dict[tuple[str, bool], float]:
    """How many standing trials one that was told of stands for, by its task and whether it was solved."""
    groups = [
        Counter((each.task, each.reward >= SOLVED) for each in trials if each.reward is not None)
        for trials in (told, standing)
    ]
    return {group: groups[1][group] / count for group, count in groups[0].items()}


def _counts(standing: Sequence[Result], weights: Mapping[str, int]) -> dict[str, float]:
    """What a reward counts by its task: 1 in the mean over tasks."""
    tasks = dict.fromkeys(each.task for each in standing)
    own = {task: weights.get(task, FINENESS) for task in tasks}
    mean = sum(own.values()) / len(own)
    return {task: weight / mean for task, weight in own.items()}


def _worth(standing: Sequence[Result], counts: Mapping[str, float], repeats: int, alpha: float) -> float:
    tasks = scored(by_task(standing))
    spread = math.fsum(
        counts[task] ** 2 * smoothed_variance(each.total, each.squares, len(each.rewards))
        for task, each in tasks.items()
    )
    return NormalDist().inv_cdf(1 - alpha) * math.sqrt(spread / repeats) / max(1, len(tasks))
