"""A full run under way, prepared once and asked after every trial whether it is settled. Pure, but for what it keeps.

`full_run.settled` answers the same of trials that lie there, and takes them apart for it. Here a trial changes one pair, the
outlook moves by one trial, and whether the best case still meets the bar is not computed again while what was lost since is less
than what there was to lose (`PValue.slack`). So a look costs microseconds, and a few of a run's cost a test.

Where the rewards of a run become so fine on its way that its p is drawn and no longer computed, it may run a few trials longer
than it had to. Nothing of that is in its decision, which is that of the shortest prefix that settles it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

from lorimer.config.gate import GateSettings
from lorimer.meta_agent.gate.comparison import Evidence
from lorimer.meta_agent.gate.decide import decide, decide_arms
from lorimer.meta_agent.gate.full_run import FullRun, margins
from lorimer.meta_agent.gate.non_inferior import Hope, hopeless
from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, RULES, Policy, means, prepare
from lorimer.meta_agent.gate.statistics.scores import Result, Scored, by_task, scored
from lorimer.meta_agent.gate.stopping.ends import early_looks, is_ahead
from lorimer.meta_agent.gate.stopping.futility import Outlook, first_unlikely

_CLEAR = 1e-6
"""The slack in rewards that arithmetic is allowed."""


class Looks:
    """What is known of a run as it grows.

    Args:
        run: the run before its first trial.
    """

    def __init__(self, run: FullRun, policy: Policy, settings: GateSettings) -> None:
        self._run, self._policy = replace(run, candidate=(), champion=() if run.beside else run.champion), policy
        arms = self._run.arms
        champion = None if run.beside else arms.champion_scored
        # A pooled run ends for what is ahead or unlikely; what could still be won has no say in it.
        pooled = policy.name == "pooled" and not run.beside
        self._pairs = _Pairs(
            Counter(run.planned), champion, arms.weight, policy, compares=pooled or policy.name in ANYTIME
        )
        self._best = None if pooled else _Best(self._pairs, policy)
        self._mine: list[Result] = []
        self._theirs: list[Result] = []
        self._margins = margins(run, settings)
        self._outlook = Outlook(arms.champion_scored, run.planned, policy, arms.weight)
        self._hope = None
        if self._margins and not run.beside:
            self._hope = Hope(by_task(run.champion), run.planned, max(self._margins), policy)
        self._rounds = set(arms.rounds()) if run.beside or policy.name in ANYTIME else set()
        self._early = set(early_looks(run.planned)) if pooled else self._rounds
        self._over = self._promoted = False
        if not run.beside and run.planned:
            self._over = self._is_lost()

    @property
    def read(self) -> int:
        """How many trials were added, of both arms where they grow together."""
        return len(self._mine) + len(self._theirs)

    def add(self, trial: Result, *, of_champion: bool = False) -> None:
        """One more finished trial of the plan, in its order; side by side the candidate's is followed by the champion's."""
        (self._theirs if of_champion else self._mine).append(trial)
        self._pairs.add(trial, of_champion=of_champion)
        if self._run.beside:
            if len(self._theirs) == len(self._mine) and len(self._mine) in self._rounds and not self._over:
                self._end_of_round()
            return
        if self._hope is not None:
            self._hope.add(trial)
        length = len(self._mine)
        if self._over or length >= len(self._run.planned):
            return
        ahead = length in self._early and self._is_ahead()
        if self._outlook.after(trial) is not None or ahead or self._is_lost():
            self._over = True
            if self._margins:
                self._promoted = decide_arms(self._grown.arms, self._policy).kind == "promote"

    @property
    def settled(self) -> bool:
        """Whether the trials so far settle the answer, as `full_run.settled` would say. Once true it stays true, until the plan
        is complete."""
        run, length = self._run, len(self._mine)
        if length >= len(run.planned) and (not run.beside or len(self._theirs) >= len(run.planned)):
            return False
        if not self._over or self._promoted or not self._margins:
            return self._over
        if self._hope is not None:
            return self._hope.is_lost
        return hopeless(self._mine, by_task(self._theirs), run.planned, max(self._margins), self._policy)

    @property
    def _grown(self) -> FullRun:
        champion = self._theirs if self._run.beside else self._run.champion
        return replace(self._run, candidate=self._mine, champion=champion)

    def _is_lost(self) -> bool:
        return self._best is not None and self._best.is_lost()

    def _is_ahead(self) -> bool:
        """Whether the bar is met at a look that may promote, the candidate's excess of errors counted as failed."""
        pairs = self._pairs.compared()
        return is_ahead(pairs, lambda: self._grown.arms, self._policy)

    def _end_of_round(self) -> None:
        """Both arms have run every task equally often once more."""
        policy, planned, end = self._policy, self._run.planned, len(self._mine)
        pairs = self._pairs.compared() if policy.name in ANYTIME else []
        if pairs and RULES[policy.name](pairs, policy).met:
            now = decide(Evidence(self._mine, self._theirs, planned[:end], self._run.weights), policy, whole=True)
            self._promoted = now.kind == "promote"
        self._over = (
            self._promoted
            or self._is_lost()
            or first_unlikely(self._mine, self._pairs.champion, planned, policy, self._run.arms.weight) is not None
        )


class _Pairs:
    """The pairs of a run under way, as they are and as they would be at best: each trial changes those of its task alone.

    Args:
        champion: its standing trials; `None` where they are run side by side.
        compares: whether the pairs as they are will be asked for, and not the best case alone.
    """

    def __init__(
        self,
        planned: Counter[str],
        champion: Mapping[str, Scored] | None,
        weight: Callable[[str], int],
        policy: Policy,
        *,
        compares: bool,
    ) -> None:
        self._planned, self._weight, self._policy, self._compares = planned, weight, policy, compares
        self._beside = champion is None
        self.champion: dict[str, Scored] = {} if champion is None else dict(champion)
        self._tasks = sorted(task for task in planned if champion is None or task in champion)
        self._place = {task: place for place, task in enumerate(self._tasks)}
        self._mine: defaultdict[str, list[float | None]] = defaultdict(list)
        self._theirs: defaultdict[str, list[float | None]] = defaultdict(list)
        self._now: list[Pair | None] = [None] * len(self._tasks)
        self.best = [self._at_best(task) for task in self._tasks]
        self.lost = self.share_lost = 0.0
        """What the best case has lost, in weighted rewards, and of the difference of its means."""

    def add(self, trial: Result, *, of_champion: bool) -> None:
        task, reward = trial.task, trial.reward
        (self._theirs if of_champion else self._mine)[task].append(reward)
        place = self._place.get(task)
        if place is None:
            return
        if of_champion:
            self.champion |= scored({task: self._theirs[task]})
        gone = 0.0 if reward is None else reward if of_champion else 1 - reward
        if gone > 0:
            self.lost += self._weight(task) * gone
            self.share_lost += gone / self._planned[task] / len(self._tasks)
            self.best[place] = prepare(self._at_best(task), self._policy)
        if self._compares:
            self._now[place] = self._as_it_is(task)

    def compared(self) -> list[Pair]:
        """The pairs of the tasks that both arms have a scored trial of."""
        return [pair for pair in self._now if pair is not None]

    def _as_it_is(self, task: str) -> Pair | None:
        mine = tuple(reward for reward in self._mine[task] if reward is not None)
        if not mine or task not in self.champion:
            return None
        # Side by side the run is judged as if it had been planned to end with its round.
        planned = len(self._mine[task]) if self._beside else self._planned[task]
        return prepare(Pair(mine, self.champion[task].rewards, planned, self._weight(task)), self._policy)

    def _at_best(self, task: str) -> Pair:
        """All that is not known yet, and what errored, is won by the candidate and lost by the champion."""
        planned = self._planned[task]
        mine = [1.0 if reward is None else reward for reward in self._mine[task]]
        theirs = self.champion[task].rewards if not self._beside else ()
        if self._beside:
            known = [0.0 if reward is None else reward for reward in self._theirs[task]]
            theirs = (*known, *[0.0] * (planned - len(known)))
        return Pair((*mine, *[1.0] * (planned - len(mine))), theirs, planned, self._weight(task))


class _Best:
    """Whether the best case misses the bar, asked again and again."""

    def __init__(self, pairs: _Pairs, policy: Policy) -> None:
        self._pairs, self._policy = pairs, policy
        self._enough, self._enough_share = -math.inf, 0.0
        """What may be lost in all before the bar is computed again."""

    def is_lost(self) -> bool:
        pairs = self._pairs
        if not pairs.best:
            return False
        if pairs.lost <= self._enough and pairs.share_lost <= self._enough_share:
            return False
        bar = RULES[self._policy.name](pairs.best, self._policy)
        if not bar.met:
            return True
        candidate, champion = means(pairs.best)
        self._enough = pairs.lost + max(0.0, bar.slack() - _CLEAR)
        self._enough_share = pairs.share_lost + max(0.0, candidate - champion - _CLEAR)
        return False
