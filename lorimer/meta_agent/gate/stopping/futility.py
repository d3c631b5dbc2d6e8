"""When a full run is not worth finishing: what can still be won is too little, or too unlikely. Pure.

Whatever is stopped here is rejected. A rule that only rejects cannot add a false promotion, so the error rate claimed for
complete trials holds whatever the rule looks at, the champion's standing trials included.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result, Scored, smoothed_variance
from lorimer.wording import percents_apart

LOOKS = 24
"""Looks at a run, evenly spaced. More save under 1% of the trials; fewer end hopeless runs later."""
WORTH = 0.5
"""A gain is worth finding where the complete plan finds it this often. A larger gain hopes for longer; with `futility` raised
to match, the same power costs more trials."""
NEVER = 2
"""Trials of a task, none of which it took to be solved, after which an edit is taken to solve half as much of its failures."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Unlikely:
    """A look at which a run has become hopeless."""

    at: int
    """Trials run by then."""
    chance: float
    """That an edit worth `gain` would be promoted from here."""
    gain: float
    """The edit's gain in mean reward."""

    def words(self, asked: float) -> str:
        """The chance, and what is asked for: `a chance of 41.98%, under the 42.00% that is asked for`."""
        chance, least = percents_apart([self.chance, asked])
        return f"a chance of {chance}, under the {least} that is asked for"


def looks(planned: int) -> list[int]:
    """After how many trials of a plan it is looked at, before its end."""
    return sorted({round(planned * look / LOOKS) for look in range(1, LOOKS)} - {0, planned})


class Outlook:
    """Whether promotion has become too unlikely, asked at the looks of a run that grows by one trial at a time.

    Conditional power by a normal approximation (Lan and Wittes, "The B-value", Biometrics 1988) of the test's weighted total:
    what was won so far over the champion's means, and for the trials left the gain that the complete plan would find with
    chance `WORTH`. That gain is an edit's which turns the same share of every task's failures into successes: on what is
    solved already it hopes for nothing, so neither does a run that has only such tasks left live on, nor does one end for
    having begun with them. Of a task that the champion's arm has never solved it hopes for less the longer that arm is
    (`Ends.never_is_doubted`): what withstood so many trials may be beyond any edit. A task's spread is that of the champion's
    rewards and half a success and half a failure.
    """

    def __init__(
        self,
        champion: Mapping[str, Scored],
        planned: Sequence[str],
        policy: Policy,
        weight: Callable[[str], int] = lambda task: 1,
    ) -> None:
        counts = {task: count for task, count in Counter(planned).items() if task in champion}
        self._futility = 0.0 if policy.name == "strict" or not counts else policy.futility
        if self._futility <= 0:
            return
        self._mean: dict[str, float] = {}
        self._spread: dict[str, float] = {}
        self._hope: dict[str, float] = {}
        self._weighs: dict[str, int] = {}
        noise = won = total = unseen = 0.0
        never_is_doubted = policy.ends.never_is_doubted
        for task, count in counts.items():
            rewards, reward, squares = champion[task]
            n = len(rewards)
            counted = self._weighs[task] = weight(task)
            mean = self._mean[task] = reward / n
            moves = NEVER / (NEVER + n) if never_is_doubted and reward <= 0 else 1.0
            hope = self._hope[task] = counted * moves * (1 - (reward + 0.5) / (n + 1))
            spread = self._spread[task] = smoothed_variance(reward, squares, n)
            won += moves * (1 - mean) * count
            noise += counted**2 * count * spread * (1 + count / n)
            total += hope * count
            unseen += counted**2 * count * spread
        bar = _NORMAL.inv_cdf(1 - policy.alpha)
        whole = math.sqrt(noise)
        self._total = total
        self._needed, self._worth = bar * whole, (bar + _NORMAL.inv_cdf(WORTH)) * whole
        self._looks = set(looks(len(planned)))
        self._gain = self._worth / self._total * won / sum(counts.values())
        self._position, self._won, self._left = 0, 0.0, self._total
        self._unseen = unseen

    def after(self, outcome: Result) -> Unlikely | None:
        """What is known after one more trial: `None` where it is no look, or one at which hope is left."""
        if self._futility <= 0:
            return None
        self._position += 1
        task = outcome.task
        if task in self._mean:
            counted = self._weighs[task]
            self._left -= self._hope[task]
            self._unseen -= counted * counted * self._spread[task]
            self._won += 0.0 if outcome.reward is None else counted * (outcome.reward - self._mean[task])
        if self._position in self._looks and self._unseen > 1e-9:
            hoped = self._won + self._worth * self._left / self._total - self._needed
            chance = _NORMAL.cdf(hoped / math.sqrt(self._unseen))
            if chance < self._futility:
                return Unlikely(self._position, chance, self._gain)
        return None


def first_unlikely(
    candidate: Sequence[Result],
    champion: Mapping[str, Scored],
    planned: Sequence[str],
    policy: Policy,
    weight: Callable[[str], int] = lambda task: 1,
) -> Unlikely | None:
    """The first look of the prefix `candidate` at which promotion has become too unlikely (`Outlook`)."""
    outlook = Outlook(champion, planned, policy, weight)
    return next(filter(None, map(outlook.after, candidate)), None)
