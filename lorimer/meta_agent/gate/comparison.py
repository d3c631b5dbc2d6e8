"""What is compared, as the gate's parts share it: the evidence by task, a decision, and the words for both. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import NormalDist
from typing import Literal

from lorimer.meta_agent.gate.statistics.kept import Found, Kept
from lorimer.meta_agent.gate.statistics.permutation import Pair, pair_of
from lorimer.meta_agent.gate.statistics.policies import Policy, Value, means
from lorimer.meta_agent.gate.statistics.scores import Result, Scored, Shared, by_task, mean_of
from lorimer.meta_agent.gate.statistics.weights import UNKNOWN
from lorimer.wording import count, scores_apart

DecisionKind = Literal["promote", "reject", "undecided", "pass"]

PASSED = "passed: "
"""The reason of a comparison that a candidate won begins so. It is not promoted yet: later stages may turn it down."""
_ONCE = "promoted: "
"""What it began with in studies of an older lorimer, whose decisions are chained and stay as they are."""


POOLED = "the champion and rejected candidates"
"""Whose trials stand for the champion in a pooled comparison, once it withstood candidates."""


def told_reason(reason: str) -> str:
    """A stored reason as it is told today."""
    return f"{PASSED}{reason.removeprefix(_ONCE)}" if reason.startswith(_ONCE) else reason


_PASS_FAIL = frozenset({0.0, 1.0})


@dataclass(frozen=True)
class Evidence:
    """What a comparison rests on."""

    candidate: Sequence[Result]
    """The longest finished prefix of the candidate's plan, in planned order."""
    champion: Sequence[Result]
    """The champion's standing trials: its audit, or the baseline. All of them. In a pooled comparison the trials of the
    candidates that it withstood follow."""
    planned: Sequence[str]
    """The candidate's plan: the task of each planned trial."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """What a reward of each task counts, from trials that the test does not count (`gate.statistics.weights`). They are prepared
    once: nothing that looks at a run reads those trials again."""
    own: int | None = None
    """How many of the champion's trials, the first ones, are its own; `None` is all."""


@dataclass(frozen=True)
class Decision:
    """The gate's answer, in one sentence for people and in numbers for the record."""

    kind: DecisionKind
    reason: str
    numbers: Mapping[str, Value] = field(default_factory=dict)
    """JSON values."""


class Arms:
    """Evidence by task. It is never changed, so what is found of it is kept."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._shared = Shared.of(evidence.champion)
        self._champion = self._shared.by_task
        self._planned = Counter(evidence.planned)
        self._longest = evidence.candidate
        self._kept = Kept()

    def prefix(self, length: int) -> Arms:
        """These arms with the candidate's first `length` trials alone. They share what is kept by `once`."""
        e = self.evidence
        shorter = copy(self)
        shorter.evidence = replace(e, candidate=e.candidate[:length])
        for own in ("candidate", "_compared"):
            vars(shorter).pop(own, None)
        return shorter

    @property
    def longest(self) -> Sequence[Result]:
        """The candidate's trials of the longest of the arms that these are a prefix of."""
        return self._longest

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` gives the first time that `key` is asked for, of these arms or of any other prefix of the same ones."""
        return self._kept.once(key, find)

    @cached_property
    def candidate(self) -> dict[str, list[float | None]]:
        return by_task(self.evidence.candidate)

    @cached_property
    def _compared(self) -> list[Pair]:
        return self._pairs(self.candidate)

    def weight(self, task: str) -> int:
        """What a reward of the task counts in the test's total."""
        return self.evidence.weights.get(task, UNKNOWN)

    @property
    def left_out(self) -> int:
        """Tasks that are not compared, as all trials of an arm errored."""
        mine, theirs = self.candidate, self._shared.scored
        return sum(
            task not in theirs or mine[task].count(None) == len(mine[task])
            for task in mine.keys() & self._champion.keys()
        )

    def pairs(self) -> list[Pair]:
        """The tasks to compare, in order of name, without errored trials."""
        return self._compared

    def pairs_with_failed(self, errors: int) -> list[Pair]:
        """The pairs with so many of the candidate's errored trials counted as 0: those that lower its total the most."""
        dear = sorted(
            (task for task, rewards in self.candidate.items() for reward in rewards if reward is None),
            key=lambda task: (-self.weight(task) * mean_of([r or 0.0 for r in self.candidate[task]]), task),
        )
        failed = Counter(dear[:errors])
        return self._pairs({task: [*rewards, *[0.0] * failed[task]] for task, rewards in self.candidate.items()})

    @property
    def whose(self) -> str:
        """Whose trials the candidate's are compared with, in words."""
        own = self.evidence.own
        return "the champion" if own is None or own >= len(self.evidence.champion) else POOLED

    def champion_trials(self) -> tuple[int, int]:
        """The trials that stand for the champion on the tasks compared, and how many of them are its own."""
        pairs, own = self.pairs(), self.evidence.own
        trials = sum(len(pair.champion) for pair in pairs)
        if own is None:
            return trials, trials
        tasks = {task for task in self.candidate.keys() & self._champion.keys() if _known(self.candidate[task])}
        return trials, sum(r.reward is not None and r.task in tasks for r in self.evidence.champion[:own])

    def versus(self, *, partial: bool = False) -> str:
        """The rewards compared in words (`versus`), and whose they are where not all are the champion's."""
        said, (trials, own) = versus(self.pairs(), partial=partial), self.champion_trials()
        return said if own == trials else f"{said} of {POOLED}"

    @property
    def excess_errors(self) -> int:
        """The candidate's errored trials beyond what the champion's let expect (`excess_errors`)."""
        e = self.evidence
        return excess_errors(errored(e.candidate), len(e.candidate), self.champion_errored, len(e.champion))

    def _pairs(self, rewards: Mapping[str, Sequence[float | None]]) -> list[Pair]:
        champion, planned = self._shared.scored, self._planned
        return [
            pair_of(mine, champion[task].rewards, planned[task], self.weight(task))
            for task in sorted(rewards.keys() & champion.keys())
            if (mine := _known(rewards[task]))
        ]

    def best_case(self) -> list[Pair]:
        """The pairs as if every planned trial that has no reward yet scored 1."""
        planned, champion = self._planned, self._shared.scored
        pairs = []
        for task in sorted(planned.keys() & champion.keys()):
            count = planned[task]
            best = [1.0 if r is None else r for r in self.candidate.get(task, ())]
            best += [1.0] * (count - len(best))
            pairs.append(pair_of(tuple(best), champion[task].rewards, count, self.weight(task)))
        return pairs

    def rounds(self) -> list[int]:
        """Lengths of the plan's beginnings, short of the whole, that run every planned task equally often."""
        found: list[int] = []
        behind, count = len(self._planned), 0
        seen: Counter[str] = Counter()
        for position, task in enumerate(self.evidence.planned[:-1], 1):
            seen[task] += 1
            if seen[task] > count + 1:
                return found  # ahead of the others: the plan does not go in rounds
            behind -= 1
            if not behind:
                found.append(position)
                behind, count = len(self._planned), count + 1
        return found

    @property
    def champion_scored(self) -> Mapping[str, Scored]:
        """The champion's rewards of the tasks that it has a scored trial of."""
        return self._shared.scored

    @property
    def champion_values(self) -> frozenset[float]:
        """The rewards that the champion has."""
        return self._shared.values

    @property
    def champion_errored(self) -> int:
        """The champion's errored trials."""
        return self._shared.errored

    def likely_futile_at(self, length: int, policy: Policy) -> int:
        """Where, up to `length`, futility probably begins, by a normal approximation of the best case."""
        pools: dict[str, list[float]] = {}
        taken = Counter(self.evidence.planned)
        for task, (rewards, total, squares) in self._shared.scored.items():
            pools[task] = [len(rewards) + taken[task], total + taken[task], squares + taken[task]]

        def moments(task: str) -> tuple[float, float]:
            n, total, squares = pools[task]
            share, weight = taken[task] / n, self.weight(task)
            spread = (squares - total * total / n) / (n - 1) if n > 1 else 0.0
            return weight * share * total, weight * weight * share * (1 - share) * n * spread

        start = [moments(task) for task in pools]
        mean, variance = sum(m for m, _ in start), sum(v for _, v in start)
        observed = float(sum(self.weight(task) * taken[task] for task in pools))
        z = NormalDist().inv_cdf(1 - policy.alpha) if policy.name != "strict" else 0.0
        for position, outcome in enumerate(self.evidence.candidate[:length]):
            if observed - mean < z * math.sqrt(max(0.0, variance)):
                return position
            if outcome.reward is None or outcome.task not in pools:
                continue
            before = moments(outcome.task)
            pool = pools[outcome.task]
            pool[1] -= 1 - outcome.reward
            pool[2] -= 1 - outcome.reward**2
            after = moments(outcome.task)
            mean, variance = mean + after[0] - before[0], variance + after[1] - before[1]
            observed -= self.weight(outcome.task) * (1 - outcome.reward)
        return length

    def numbers(self) -> dict[str, Value]:
        """What a decision says in numbers of the tasks that are compared."""
        pairs = self.pairs()
        mine = [reward for pair in pairs for reward in pair.candidate]
        theirs = [reward for pair in pairs for reward in pair.champion]
        candidate, champion = means(pairs) if pairs else (None, None)
        return {
            "candidate_mean": candidate,
            "champion_mean": champion,
            "candidate_total": math.fsum(mine),
            "champion_total": math.fsum(theirs),
            "candidate_trials": len(mine),
            "champion_trials": len(theirs),
            "champion_own": self.champion_trials()[1],
            "tasks": len(pairs),
            "left_out": self.left_out,
            "errored": errored(self.evidence.candidate),
            "champion_errored": self.champion_errored,
            "run": len(self.evidence.candidate),
            "planned": len(self.evidence.planned),
        }


def _known(rewards: Sequence[float | None]) -> tuple[float, ...]:
    """The rewards of the trials that did not error."""
    return tuple([reward for reward in rewards if reward is not None])


def too_many_errors(arm: str, errors: int, planned: int, policy: Policy, arms: Arms, where: str = "") -> Decision:
    trials = count(planned, "trial")
    pooled = arm == "champion" and arms.whose == POOLED
    whose = f"{trials} of {POOLED}" if pooled else f"{arm}'s {trials}"
    reason = f"undecided: {errors} of the {whose}{where} errored, over the {policy.max_errored:.0%} that are allowed"
    return Decision("undecided", reason, arms.numbers())


def excess_errors(mine: int, trials: int, theirs: int, their_trials: int) -> int:
    """How many of a candidate's `mine` errored trials are more than chance, were its trials to err as often as the champion's.

    Chance is taken as 1.645 standard deviations of a Poisson count, which one harness in twenty exceeds that errs as often.
    """
    expected = trials * (theirs + 0.5) / (their_trials + 1)
    return max(0, mine - math.floor(expected + 1.645 * math.sqrt(expected)))


def errored(results: Sequence[Result]) -> int:
    return sum(result.reward is None for result in results)


def versus(pairs: Sequence[Pair], *, partial: bool = False) -> str:
    """`31/40 against 30/40` for pass/fail; means for graded rewards or where a plan gave tasks unequal trials."""
    mine = [reward for pair in pairs for reward in pair.candidate]
    theirs = [reward for pair in pairs for reward in pair.champion]
    even = len({len(pair.candidate) for pair in pairs}) == 1 and len({len(pair.champion) for pair in pairs}) == 1
    if (even or partial) and _PASS_FAIL.issuperset(mine) and _PASS_FAIL.issuperset(theirs):
        return f"{round(sum(mine))}/{len(mine)} against {round(sum(theirs))}/{len(theirs)}"
    candidate, champion = scores_apart(means(pairs))
    return f"{candidate} over {count(len(mine), 'trial')} against {champion} over {len(theirs)}"
