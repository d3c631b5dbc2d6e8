"""What a champion's gain over its seed harness is made of. Pure.

Three parts add up to it. *Compute*: a harness that takes twice the tokens is to be compared with the best of two trials of its
seed, which cost as much; what these gain over one trial is what compute alone could have bought, at most, as an oracle picks the
best of them; where the seed has fewer trials than that, it is at least what the best of all of them gains. *What did not carry
over*: the gain on the train tasks less that on the sealed ones. And the *rest*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorimer.kinds import NONE_REFUSED, Refused
from lorimer.meta_agent.gate.reported.best_of import curve, interpolated
from lorimer.meta_agent.gate.statistics.estimates import Estimate, MeasuredDifference, jackknife, mean_known
from lorimer.meta_agent.gate.statistics.scores import mean_of
from lorimer.wording import count


@dataclass(frozen=True)
class TaskTrials:
    """A harness's scored trials of one task: at least one."""

    rewards: tuple[float, ...]
    tokens: float | None
    """Tokens per trial, input plus output, on average; `None` where those of any trial are unknown."""

    @property
    def mean(self) -> float:
        return mean_of(self.rewards)


@dataclass(frozen=True)
class HarnessTrials:
    """One harness's trials on one side of the split."""

    tasks: Mapping[str, TaskTrials]
    """The tasks with scored trials, in the suite's order."""
    errored: int = 0
    """Trials without a reward, which are left out."""
    refused: Refused = NONE_REFUSED
    """Those of the scored trials' model calls that the provider refused."""

    @property
    def trials(self) -> int:
        return sum(len(each.rewards) for each in self.tasks.values())


@dataclass(frozen=True)
class Compute:
    """What compute alone could have bought."""

    bought: Estimate
    """What the best of so many trials of the seed gains over one of them: the most that any choice among them can gain. Where
    `ratio` is above `tries` or any task is `short`, compute could have bought more than that."""
    beyond: Estimate
    """The champion's score less that of the best of so many trials of its seed."""
    sampling: Literal["beaten", "not beaten", "open"]
    """Whether the champion beats parallel sampling of its seed. `beaten`: all of `beyond` is above 0, and the seed has as many
    trials as the champion's tokens would pay for. `not beaten`: it is not ahead. `open`: these trials cannot tell."""
    ratio: float
    """The champion's tokens per trial as a multiple of the seed's."""
    tries: float
    """The number of trials whose best is told: the ratio, but at least 1 and at most as many as the seed has of a task."""
    short: int
    """Tasks of which the seed has fewer scored trials than that; there the best of all of them counts."""
    seed_tokens: float
    """Tokens per trial: the mean over tasks of each task's mean."""
    champion_tokens: float


@dataclass(frozen=True)
class CarriedOver:
    """How far the gain carries over to the sealed tasks."""

    lost: Estimate
    """The gain on the train tasks less that on the sealed ones."""
    gain: Estimate
    """That on the sealed ones."""
    tasks: int
    """Sealed tasks that both harnesses were scored on."""


@dataclass(frozen=True)
class MadeOf:
    """What a champion's gain over its seed is made of; where a part cannot be told, why not."""

    gain: Estimate | None = None
    """The gain on the train tasks that have scored trials of both harnesses."""
    untold: str = ""
    """Why there is no gain to tell."""
    seed: float = math.nan
    champion: float = math.nan
    """Their scores on these tasks."""
    tasks: int = 0
    of_tasks: int = 0
    """Train tasks that either was scored on."""
    trials: tuple[int, int] = (0, 0)
    """Scored ones of the seed and of the champion."""
    errored: tuple[int, int] = (0, 0)
    refused: tuple[Refused, Refused] = (NONE_REFUSED, NONE_REFUSED)
    decided_nothing: bool = False
    """Whether the champion's trials on the train tasks decided nothing."""
    compute: Compute | None = None
    compute_untold: str = ""
    carried: CarriedOver | None = None
    carried_untold: str = ""
    rest: Estimate | None = None
    """The gain less those parts that can be told; `None` where none can."""

    def lines(self) -> list[tuple[str, str]]:
        """A word and a sentence for each part."""
        if self.gain is None:
            return [("gain", f"cannot be told: {self.untold}")]
        said = [("gain", f"{self.gain} over the seed harness {self._where()}")]
        if self.compute is None:
            said.append(("compute", f"cannot be told: {self.compute_untold}"))
        else:
            said.append(("compute", _bought(self.compute)))
        if self.carried is None:
            said.append(("not carried", self.carried_untold))
        else:
            sealed = count(self.carried.tasks, "sealed task")
            said.append(("not carried", f"{self.carried.lost}: the gain is {self.carried.gain} on {sealed}"))
        if self.rest is not None:
            parts = ((self.compute, "compute"), (self.carried, "what did not carry over"))
            missing = " and ".join(word for part, word in parts if part is None)
            more = _untold(self.compute) if self.compute else ""
            notes = [*([f"with {missing} still in it"] if missing else []), *([more] if more else [])]
            said.append(("rest", ", ".join([str(self.rest), *notes])))
        if self.compute is not None:
            said.append(("sampling", _sampling(self.compute, self.champion)))
        return said

    def _where(self) -> str:
        of = f" of {self.of_tasks}" if self.of_tasks > self.tasks else ""
        said = f"on {self.tasks}{of} train {'task' if self.of_tasks == 1 else 'tasks'}"
        said += f": {self.champion:.3f} in {count(self.trials[1], 'trial')}"
        said += " that decided nothing" if self.decided_nothing else ""
        said += f", against {self.seed:.3f} in {self.trials[0]}"
        if any(self.errored):
            said += f"; errored and left out: {self.errored[1]} of the champion's, {self.errored[0]} of the seed's"
        for whose, refused in (("champion", self.refused[1]), ("seed", self.refused[0])):
            said += f"; {whose} {refused}" if refused else ""
        return said


def made_of(
    seed: HarnessTrials,
    champion: HarnessTrials,
    sealed: tuple[HarnessTrials, HarnessTrials] | None,
    *,
    unsealed: str = "",
    decided_nothing: bool = False,
) -> MadeOf:
    """What the gain of `champion` over `seed` on the train tasks is made of.

    Intervals are over tasks, by the jackknife (each task left out in turn, and the ratio of tokens found anew without it) with
    Student's t.

    Args:
        sealed: the trials of the seed and of the champion on sealed tasks; `None` where these may not be told.
        unsealed: why they are not.
        decided_nothing: whether the champion's trials on the train tasks decided nothing.
    """
    both = [name for name in seed.tasks if name in champion.tasks]
    told = MadeOf(
        tasks=len(both),
        of_tasks=len(seed.tasks.keys() | champion.tasks.keys()),
        trials=(seed.trials, champion.trials),
        errored=(seed.errored, champion.errored),
        refused=(seed.refused, champion.refused),
        decided_nothing=decided_nothing,
    )
    if not both:
        return replace(told, untold="no train task was scored for both harnesses")
    before, after = [seed.tasks[name] for name in both], [champion.tasks[name] for name in both]
    gain = mean_known([mine.mean - theirs.mean for mine, theirs in zip(after, before, strict=True)])
    told = replace(
        told,
        gain=gain.estimate(),
        seed=mean_of([each.mean for each in before]),
        champion=mean_of([each.mean for each in after]),
    )
    untold, rest = _no_tokens(before, after), None
    if untold:
        told = replace(told, compute_untold=untold)
    else:
        compute, price, rest = _compute(before, after)
        told = replace(told, compute=compute)
    held = _differences(*sealed) if sealed is not None else []
    if held:
        outside = mean_known(held)
        carried = CarriedOver(gain.less(outside).estimate(), outside.estimate(), len(held))
        told, rest = replace(told, carried=carried), outside if untold else outside.less(price)
    else:
        none = unsealed or "cannot be told: no sealed task was scored for both harnesses"
        told = replace(told, carried_untold=none)
    return told if rest is None else replace(told, rest=rest.estimate())


def _differences(seed: HarnessTrials, champion: HarnessTrials) -> list[float]:
    both = [name for name in seed.tasks if name in champion.tasks]
    return [champion.tasks[name].mean - seed.tasks[name].mean for name in both]


def _no_tokens(before: Sequence[TaskTrials], after: Sequence[TaskTrials]) -> str:
    """Why the tokens of the seed's and of the champion's trials cannot be compared; "" where they can."""
    if any(each.tokens is None for each in (*before, *after)):
        return "how many tokens some of these trials took is unknown"
    if not any(each.tokens for each in before):
        return "the seed's trials took no tokens, so no number of them takes as many as one of the champion's"
    return ""


# ---- compute --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sums:
    """Sums over tasks."""

    paid: float
    """The seed's tokens per trial."""
    takes: float
    """The champion's."""
    champion: float
    """Its mean rewards."""
    best: Sequence[float]
    """The best of 1, 2, … trials of the seed."""

    @property
    def ratio(self) -> float:
        return self.takes / self.paid if self.paid > 0 else math.inf

    @property
    def tries(self) -> float:
        return min(max(self.ratio, 1.0), float(len(self.best)))

    def less(self, one: _Sums) -> _Sums:
        """Without one task."""
        best = [mine - own for mine, own in zip(self.best, one.best, strict=True)]
        return _Sums(self.paid - one.paid, self.takes - one.takes, self.champion - one.champion, best)

    def read(self, tasks: int) -> tuple[float, float]:
        """What compute bought, and how far the champion is beyond it."""
        best = interpolated(self.best, self.tries)
        return (best - self.best[0]) / tasks, (self.champion - best) / tasks


def _compute(
    before: Sequence[TaskTrials], after: Sequence[TaskTrials]
) -> tuple[Compute, MeasuredDifference, MeasuredDifference]:
    """What compute alone could have bought; that once more with its error; and how far the champion is beyond it.

    Args:
        before: the seed's trials of each task that both harnesses were scored on, of known tokens.
        after: the champion's, in the same order.
    """
    tasks, most = len(before), max(len(each.rewards) for each in before)
    each = [
        _Sums(theirs.tokens or 0.0, mine.tokens or 0.0, mine.mean, curve(theirs.rewards, most))
        for theirs, mine in zip(before, after, strict=True)
    ]
    whole = _Sums(
        math.fsum(one.paid for one in each),
        math.fsum(one.takes for one in each),
        math.fsum(one.champion for one in each),
        [math.fsum(one.best[place] for one in each) for place in range(most)],
    )
    without = [whole.less(one).read(tasks - 1) for one in each] if tasks > 1 else []
    (bought, beyond), ratio, tries = whole.read(tasks), whole.ratio, whole.tries
    # One trial buys nothing, for certain.
    price = jackknife(bought, [one[0] for one in without]) if tries > 1 else MeasuredDifference(0.0, 0.0, 1)
    ahead = jackknife(beyond, [one[1] for one in without])
    spread, margin = price.estimate(), ahead.estimate()
    short = sum(len(one.rewards) < math.ceil(tries) for one in before)
    return (
        Compute(
            bought=replace(spread, low=max(0.0, spread.low)),
            beyond=margin,
            sampling="not beaten"
            if beyond <= 0
            else "beaten"
            if margin.low > 0 and ratio <= most and not short
            else "open",
            ratio=ratio,
            tries=tries,
            short=short,
            seed_tokens=whole.paid / tasks,
            champion_tokens=whole.takes / tasks,
        ),
        price,
        ahead,
    )


# ---- words ----------------------------------------------------------------------------------------------------------


def _bought(compute: Compute) -> str:
    tokens = f"{compute.champion_tokens:,.0f} tokens per trial against {compute.seed_tokens:,.0f}"
    if compute.ratio <= 1:
        return f"nothing, as the champion takes {tokens}"
    if compute.ratio > compute.tries:
        said = f"at least {compute.bought} (the best of all {compute.tries:.3g} trials that the seed has per task over one)"
        return f"{said}; {tokens} would pay for {compute.ratio:.3g} trials"
    best = f"what the best of {compute.tries:.3g} trials of the seed gains over one; {tokens}"
    if compute.short:
        fewer = f"{count(compute.short, 'task')} of the seed with fewer trials, told by all of them"
        return f"at least {compute.bought}: {best}; {fewer}"
    return f"at most {compute.bought}: {best}"


def _untold(compute: Compute) -> str:
    """What of compute is still in the rest, where the seed has too few trials to tell all that it could buy; else nothing."""
    if compute.ratio > compute.tries:
        return f"too high by what compute beyond {compute.tries:.3g} trials buys"
    if compute.short:
        return f"too high by what more trials of the seed buy on {count(compute.short, 'task')}"
    return ""


def _sampling(compute: Compute, champion: float) -> str:
    best = champion - compute.beyond.value
    against = f"{champion:.3f} against {best:.3f}"
    if compute.ratio <= 1:
        against += " of one trial, as it takes no more tokens"
    elif compute.ratio <= compute.tries:
        against += f" of the best of {compute.tries:.3g} trials, which take as many tokens"
        against += f", or of all that there are on {count(compute.short, 'task')} with fewer" if compute.short else ""
    else:
        against += f" of the best of {compute.tries:.3g} trials, which is all that the seed has per task"
    match compute.sampling:
        case "beaten":
            return f"the champion beats parallel sampling of its seed: {against}"
        case "not beaten":
            return f"the champion does not beat parallel sampling of its seed: {against}"
        case "open":
            return f"whether the champion beats parallel sampling of its seed cannot be told: {against}"
