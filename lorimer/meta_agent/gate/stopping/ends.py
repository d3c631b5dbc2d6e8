"""Where a full run may end before its plan does. Pure.

A prefix of the candidate's trials settles the answer when even full rewards for all the rest miss the bar (`futile`), when
an edit worth finding would hardly be promoted from here (`futility.py`), or, under a policy that may be looked at again and
again, when the bar is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lorimer.meta_agent.gate.comparison import Arms, errored
from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, RULES, Policy
from lorimer.meta_agent.gate.stopping.futility import Unlikely, first_unlikely, looks
from lorimer.meta_agent.gate.stopping.reach import is_futile


@dataclass(frozen=True)
class Stop:
    """Where a run may end: the bar is out of reach, or (`reached`) it is met for good."""

    at: int
    reached: bool


def first_stop(arms: Arms, policy: Policy) -> Stop | Unlikely | None:
    """The shortest prefix that settles the answer before the plan is complete."""
    e = arms.evidence
    length = min(len(e.candidate), len(e.planned) - 1)
    if length < 0:
        return None
    stop: Stop | Unlikely | None = _first_unlikely(arms, policy, length)
    if policy.name == "pooled":
        early = _first_ahead(arms, policy, length if stop is None else stop.at)
        return stop if early is None else Stop(early, reached=True)
    if policy.name in ANYTIME:
        for end in arms.rounds():
            if end <= (length if stop is None else stop.at) and _reached(arms, end, policy):
                stop = Stop(end, reached=True)
                break
    if stop is None and len(e.candidate) == len(e.planned) and not errored(e.candidate):
        pairs = arms.pairs()
        if pairs and RULES[policy.name](pairs, policy).met:
            return None  # what was reached in the end was never out of reach
    cut = _first_futile(arms, policy, length if stop is None else stop.at)
    return stop if cut is None or (stop is not None and stop.at <= cut) else Stop(cut, reached=False)


def _first_ahead(arms: Arms, policy: Policy, length: int) -> int | None:
    """The first look at which the candidate is ahead by more than luck lets expect at any of them, each task having been run
    once on average."""
    return next((at for at in early_looks(arms.evidence.planned) if at <= length and _reached(arms, at, policy)), None)


def early_looks(planned: Sequence[str]) -> list[int]:
    """After how many of its trials a run may end for what is ahead, each task having been run once on average."""
    tasks = len(set(planned))
    return [at for at in looks(len(planned)) if at >= tasks]


def is_ahead(pairs: Sequence[Pair], arms: Callable[[], Arms], policy: Policy) -> bool:
    """Whether a run that may go on has met the bar for good, with the candidate's excess of errors counted as failed."""
    surer = replace(policy, alpha=min(policy.alpha, policy.early_alpha)) if policy.name == "pooled" else policy
    return bool(pairs) and RULES[policy.name](pairs, surer).met and met_with_errors_failed(arms(), surer)


def _reached(arms: Arms, at: int, policy: Policy) -> bool:
    """Whether the bar is met for good after the first `at` trials, which every longer prefix asks again."""

    def find() -> bool:
        prefix = arms.prefix(at)
        return is_ahead(prefix.pairs(), lambda: prefix, policy)

    return arms.once(("reached", policy, at), find)


def met_with_errors_failed(arms: Arms, policy: Policy) -> bool:
    """Whether trials that meet the bar still do with the candidate's excess of errored trials counted as failed."""
    excess = arms.excess_errors
    return not excess or RULES[policy.name](arms.pairs_with_failed(excess), policy).met


def _first_unlikely(arms: Arms, policy: Policy, length: int) -> Unlikely | None:
    """The first look of the first `length` trials: that of all trials, if it comes so soon."""

    def find() -> Unlikely | None:
        planned = arms.evidence.planned
        return first_unlikely(arms.longest[: len(planned) - 1], arms.champion_scored, planned, policy, arms.weight)

    found = arms.once(("unlikely", policy), find)
    return found if found is not None and found.at <= length else None


def _first_futile(arms: Arms, policy: Policy, length: int) -> int | None:
    """The shortest prefix of at most `length` trials after which even full rewards for all the rest miss the bar.

    Futility is monotone, so a search that starts anywhere finds it. It starts where a normal approximation says, and
    gallops from there: a handful of tests instead of a dozen.
    """

    def futile(at: int) -> bool:
        return is_futile(arms, policy, at)

    if not futile(length):
        return None
    at, stride = arms.likely_futile_at(length, policy), 1
    if futile(at):
        high, low = at, max(0, at - 1)
        while low and futile(low):
            high, low, stride = low, max(0, low - 2 * stride), 2 * stride
        if futile(low):
            return low
    else:
        low, high = at, min(length, at + 1)
        while not futile(high):
            low, high, stride = high, min(length, high + 2 * stride), 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        if futile(middle):
            high = middle
        else:
            low = middle
    return high
