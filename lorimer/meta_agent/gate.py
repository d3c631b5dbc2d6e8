"""The gate: from trials to a decision, as pure functions. No I/O, no clock; the same trials give the same answer.

The comparison, in order:

1. A task on which either arm errored is left out of both arms whole. Leaving out single trials would pay a harness for
   erroring where it was about to fail.
2. Too many errored trials in an arm: `undecided`. So is a promotion that would not survive counting the candidate's
   errored trials as failures: then the errors, not the edit, would have decided.
3. The candidate's mean must be strictly higher. `strict` asks no more; `paired` also asks for p <= alpha of a one-sided
   permutation test stratified by task: were the edit without effect, the trials of one task could have fallen to either
   arm, so every split of the pooled rewards is equally likely. Its p-value is valid for any reward, any number of trials
   a task and arm, and whatever the tasks' difficulties. `eprocess` asks for evidence of 1/alpha, at the end of any round.
4. Futility. Deterministic: raising any of the candidate's rewards never raises p nor lowers its mean or its evidence, so
   once even "all trials left succeed" misses the bar, the answer is known. By chance (`futility.py`): an edit worth
   finding would hardly be promoted from here. Both can only reject, so they cannot add a false promotion.

The candidate's trials are read in planned order and the decision is that of the shortest prefix that settles it. What
finished beyond it, by luck of timing, does not change a word of the decision (DESIGN 4.5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from lorimer.meta_agent.futility import Unlikely, first_unlikely
from lorimer.meta_agent.permutation import TIE, Pair, permutation_test
from lorimer.meta_agent.policies import ANYTIME, RULES, Policy, PolicyName, Value, means
from lorimer.meta_agent.scores import Outcome, Result, Score, by_task, interval, mean_of, score, task_means

__all__ = [
    "Decision",
    "Evidence",
    "Kind",
    "Outcome",
    "Pair",
    "Policy",
    "PolicyName",
    "Result",
    "Score",
    "SpotTrial",
    "decide",
    "holdout_verdict",
    "interval",
    "permutation_test",
    "score",
    "settled",
    "spot_verdict",
    "task_means",
    "too_errored",
    "within_cost",
]

Kind = Literal["promote", "reject", "undecided", "pass"]


@dataclass(frozen=True)
class Evidence:
    """What a comparison rests on."""

    candidate: Sequence[Result]
    """The longest finished prefix of the candidate's plan, in planned order."""
    champion: Sequence[Result]
    """The champion's standing trials: its audit, or the baseline. All of them."""
    planned: Sequence[str]
    """The candidate's plan: the task of each planned trial."""


@dataclass(frozen=True)
class Decision:
    """The gate's answer, in one sentence for people and in numbers for the record."""

    kind: Kind
    reason: str
    numbers: Mapping[str, Value] = field(default_factory=dict)
    """JSON values."""


@dataclass(frozen=True)
class SpotTrial:
    """A single-task check of a candidate."""

    task: str
    role: Literal["fix", "guard"]
    reward: float | None
    champion_mean: float
    """The champion's mean reward on this task in its standing trials."""


# ---- decisions ------------------------------------------------------------------------------------------------------


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Promote the candidate, reject it, or say that the trials cannot tell.

    A plan that is neither complete nor settled early is `undecided`. Never promotes before every planned task has been
    run, and under `paired` and `strict` never on less than the whole plan.
    """
    arms = _Arms(evidence)
    planned = len(evidence.planned)
    if not planned or not evidence.champion:
        return Decision("undecided", "undecided: there are no trials to compare", arms.numbers())
    champion_errors = _errored(evidence.champion)
    if champion_errors > policy.max_errored * len(evidence.champion):
        return _too_many_errors("champion", champion_errors, len(evidence.champion), policy, arms)

    stop = _first_stop(arms, policy)
    if isinstance(stop, Unlikely):
        return _reject_unlikely(arms.prefix(stop.at), stop, policy)
    if stop is not None and not stop.reached:
        return _reject_early(arms.prefix(stop.at), policy)
    if stop is not None:
        arms = arms.prefix(stop.at)

    run = len(arms.evidence.candidate)
    candidate_errors = _errored(arms.evidence.candidate)
    if candidate_errors > policy.max_errored * planned:
        return _too_many_errors("candidate", candidate_errors, planned, policy, arms)
    if run < planned and stop is None:
        return Decision("undecided", f"undecided: only {run} of {planned} trials were run", arms.numbers())
    pairs = arms.pairs()
    if not pairs:
        return Decision("undecided", "undecided: no task was scored for both harnesses", arms.numbers())

    bar = RULES[policy.name](pairs, policy)
    numbers = arms.numbers() | bar.numbers()
    said = f"{_versus(pairs)}{bar.said}"
    if arms.left_out:
        said += f"; {_count(arms.left_out, 'task')} left out as errored"
    if run < planned:
        said += f"; {run} of {planned} trials were run, the rest was not needed"
        numbers |= {"early": True}
    if not bar.met:
        return Decision("reject", f"rejected: {said}", numbers)
    if candidate_errors and not _met_with_errors_failed(arms, policy):
        said += (
            f"; but with the candidate's {_count(candidate_errors, 'errored trial')} counted as failed "
            "it would not have been promoted"
        )
        return Decision("undecided", f"undecided: {said}", numbers)
    return Decision("promote", f"promoted: {said}", numbers)


def settled(evidence: Evidence, policy: Policy) -> bool:
    """Whether the trials so far settle the answer, so that the rest of the plan need not be run.

    Once true it stays true for every longer prefix.
    """
    return len(evidence.candidate) < len(evidence.planned) and _first_stop(_Arms(evidence), policy) is not None


def spot_verdict(trials: Sequence[SpotTrial]) -> Decision:
    """Whether single-task checks kill a candidate: `reject` or `pass`. They can never promote.

    Killed when it breaks what worked: two or more guards at less than half the champion's reward, or one such guard while
    two or more trials on the tasks it was made for came out no better than the champion's. One bad trial never kills
    (guards that pass 95% of the time kill 1% of edits alone), nor does a wrong prediction of which tasks it fixes: killing
    on failed fixes alone stopped 40% of edits worth 5 points and 28% of those worth 10, on the panel of 58 tasks, and
    spared only what futility spares too. Errored trials say nothing.
    """
    fixes = [trial for trial in trials if trial.role == "fix" and trial.reward is not None]
    guards = [trial for trial in trials if trial.role == "guard" and trial.reward is not None]
    improved = [t for t in fixes if t.reward is not None and t.reward > t.champion_mean + TIE]
    broken = [t for t in guards if t.reward is not None and t.reward < t.champion_mean / 2]
    numbers: dict[str, Value] = {
        "fix_trials": len(fixes),
        "fixed": len(improved),
        "guard_trials": len(guards),
        "broken": len(broken),
        "errored": len(trials) - len(fixes) - len(guards),
    }
    solved = f"it broke {len(broken)} of {len(guards)} tasks that the champion solves"
    if len(broken) >= 2:
        return Decision("reject", f"rejected on the spot-check: {solved}", numbers)
    if broken and len(fixes) >= 2 and not improved:
        said = f"{solved}, and none of {len(fixes)} trials on tasks it should fix did better than the champion"
        return Decision("reject", f"rejected on the spot-check: {said}", numbers)
    return Decision(
        "pass",
        f"passed the spot-check: {len(improved)} of {len(fixes)} fix trials better, "
        f"{len(broken)} of {len(guards)} guards broken",
        numbers,
    )


def holdout_verdict(evidence: Evidence, policy: Policy, query: int) -> Decision:
    """Whether the sealed split vetoes: `pass`, `reject` or `undecided`.

    Non-inferiority on the point estimate: vetoed when the candidate's mean is worse by more than the margin. `query` is
    how many times the holdout has been asked in this study, this time included; each answer leaks a little of it.
    """
    arms = _Arms(evidence)
    for name, outcomes, planned in (
        ("champion", evidence.champion, len(evidence.champion)),
        ("candidate", evidence.candidate, len(evidence.planned)),
    ):
        errors = _errored(outcomes) + (planned - len(outcomes))
        if errors > policy.max_errored * planned:
            return _too_many_errors(name, errors, planned, policy, arms, " on the holdout")
    pairs = arms.pairs()
    if not pairs:
        return Decision("undecided", "undecided: no holdout task was scored for both harnesses", arms.numbers())
    candidate, champion = means(pairs)
    difference = candidate - champion
    numbers = arms.numbers() | {"difference": difference, "margin": policy.holdout_margin, "query": query}
    said = (
        f"{_versus(pairs)} on the holdout, a difference of {difference:+.3f}, "
        f"allowed down to {-policy.holdout_margin:+.3f} (query {query} of the holdout)"
    )
    if difference < -policy.holdout_margin - TIE:
        return Decision("reject", f"vetoed: {said}", numbers)
    return Decision("pass", f"not vetoed: {said}", numbers)


def within_cost(
    decision: Decision,
    candidate: Mapping[str, Sequence[float | None]],
    champion: Mapping[str, Sequence[float | None]],
    unit: str,
    policy: Policy,
) -> Decision:
    """A promotion, kept only where the candidate costs at most `max_cost_increase` more: the mean over tasks of what each
    task's trials cost. `undecided` where a price is unknown.
    """
    if policy.max_cost_increase is None:
        return decision
    both = [task for task in candidate if champion.get(task)]
    mine = [cost for task in both for cost in candidate[task]]
    theirs = [cost for task in both for cost in champion[task]]
    if None in mine or None in theirs or not both:
        said = (
            f"undecided: {unit} of some trials are unknown, so gate.max_cost_increase cannot be held; {decision.reason}"
        )
        return Decision("undecided", said, decision.numbers)
    cost, before = (
        mean_of([mean_of([c for c in arm[task] if c is not None]) for task in both]) for arm in (candidate, champion)
    )
    allowed = before * (1 + policy.max_cost_increase)
    numbers = dict(decision.numbers) | {"cost": cost, "champion_cost": before, "cost_unit": unit}
    said = f"{cost:.4g} {unit} a trial against {before:.4g}, allowed up to {allowed:.4g}"
    if cost > allowed * (1 + TIE):
        return Decision(
            "reject", f"rejected: {said}; it was better: {decision.reason.removeprefix('promoted: ')}", numbers
        )
    return Decision(decision.kind, f"{decision.reason}; {said}", numbers)


def too_errored(outcomes: Sequence[Result], policy: Policy) -> bool:
    """Whether an arm errored too often to be compared with anything."""
    return not outcomes or _errored(outcomes) > policy.max_errored * len(outcomes)


# ---- futility and evidence ------------------------------------------------------------------------------------------


class _Arms:
    """Evidence by task."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._champion = by_task(evidence.champion)
        self._candidate = by_task(evidence.candidate)
        self._planned = Counter(evidence.planned)

    def prefix(self, length: int) -> _Arms:
        e = self.evidence
        return _Arms(Evidence(e.candidate[:length], e.champion, e.planned))

    @property
    def left_out(self) -> int:
        """Tasks that an error in either arm takes out of both."""
        tasks = set(self._candidate) | set(self._champion)
        return sum(None in self._candidate.get(t, ()) or None in self._champion.get(t, ()) for t in tasks)

    def pairs(self, errors: Literal["leave out", "fail"] = "leave out") -> list[Pair]:
        """The tasks to compare, in order of name. `fail`: the candidate's errored trials count as 0."""
        pairs = []
        for task in sorted(self._candidate):
            champion, candidate = self._champion.get(task, ()), self._candidate[task]
            if errors == "fail":
                candidate = [0.0 if reward is None else reward for reward in candidate]
            if not champion or None in champion or None in candidate:
                continue
            mine, theirs = (tuple(r for r in arm if r is not None) for arm in (candidate, champion))
            pairs.append(Pair(mine, theirs, self._planned[task]))
        return pairs

    def best_case(self) -> list[Pair]:
        """As if every planned trial that has no reward yet scored 1."""
        planned = self._planned
        pairs = []
        for task in sorted(planned):
            champion = self._champion.get(task, ())
            if not champion or None in champion:
                continue
            rewards = [1.0 if r is None else r for r in self._candidate.get(task, ())]
            rewards += [1.0] * (planned[task] - len(rewards))
            pairs.append(Pair(tuple(rewards), tuple(r for r in champion if r is not None), planned[task]))
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
    def champion(self) -> Mapping[str, Sequence[float | None]]:
        return self._champion

    def likely_futile_at(self, length: int, policy: Policy) -> int:
        """Where, up to `length`, futility probably begins, by a normal approximation of the best case."""
        pools: dict[str, list[float]] = {}
        taken = Counter(self.evidence.planned)
        for task, champion in self._champion.items():
            if None not in champion:
                rewards = [reward for reward in champion if reward is not None]
                pools[task] = [
                    len(rewards) + taken[task],
                    sum(rewards) + taken[task],
                    sum(r * r for r in rewards) + taken[task],
                ]

        def moments(task: str) -> tuple[float, float]:
            n, total, squares = pools[task]
            share = taken[task] / n
            spread = (squares - total * total / n) / (n - 1) if n > 1 else 0.0
            return share * total, share * (1 - share) * n * spread

        start = [moments(task) for task in pools]
        mean, variance = sum(m for m, _ in start), sum(v for _, v in start)
        observed = float(sum(taken[task] for task in pools))
        z = NormalDist().inv_cdf(1 - policy.alpha) if policy.name != "strict" else 0.0
        for position, outcome in enumerate(self.evidence.candidate[:length]):
            if observed - 0.5 - mean < z * math.sqrt(max(0.0, variance)):
                return position
            if outcome.reward is None or outcome.task not in pools:
                continue
            before = moments(outcome.task)
            pool = pools[outcome.task]
            pool[1] -= 1 - outcome.reward
            pool[2] -= 1 - outcome.reward**2
            after = moments(outcome.task)
            mean, variance = mean + after[0] - before[0], variance + after[1] - before[1]
            observed -= 1 - outcome.reward
        return length

    def numbers(self) -> dict[str, Value]:
        """Of the tasks that are compared."""
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
            "tasks": len(pairs),
            "left_out": self.left_out,
            "errored": _errored(self.evidence.candidate),
            "champion_errored": _errored(self.evidence.champion),
            "run": len(self.evidence.candidate),
            "planned": len(self.evidence.planned),
        }


@dataclass(frozen=True)
class _Stop:
    """Where a run may end: the bar is out of reach, or (`reached`) it is met for good."""

    at: int
    reached: bool


def _first_stop(arms: _Arms, policy: Policy) -> _Stop | Unlikely | None:
    """The shortest prefix that settles the answer before the plan is complete."""
    e = arms.evidence
    length = min(len(e.candidate), len(e.planned) - 1)
    if length < 0:
        return None
    stop: _Stop | Unlikely | None = first_unlikely(e.candidate[:length], arms.champion, e.planned, policy)
    if policy.name in ANYTIME:
        for end in arms.rounds():
            if end <= (length if stop is None else stop.at) and _reached(arms.prefix(end), policy):
                stop = _Stop(end, reached=True)
                break
    if stop is None and len(e.candidate) == len(e.planned) and not _errored(e.candidate):
        pairs = arms.pairs()
        if pairs and RULES[policy.name](pairs, policy).met:
            return None  # what was reached in the end was never out of reach
    cut = _first_futile(arms, policy, length if stop is None else stop.at)
    return stop if cut is None or (stop is not None and stop.at <= cut) else _Stop(cut, reached=False)


def _reached(arms: _Arms, policy: Policy) -> bool:
    pairs = arms.pairs()
    return bool(pairs) and RULES[policy.name](pairs, policy).met and _met_with_errors_failed(arms, policy)


def _met_with_errors_failed(arms: _Arms, policy: Policy) -> bool:
    return RULES[policy.name](arms.pairs(errors="fail"), policy).met


def _is_futile(arms: _Arms, policy: Policy) -> bool:
    best = arms.best_case()
    return bool(best) and not RULES[policy.name](best, policy).met


def _first_futile(arms: _Arms, policy: Policy, length: int) -> int | None:
    """The shortest prefix of at most `length` trials after which even full rewards for all the rest miss the bar.

    Futility is monotone, so a search that starts anywhere finds it. It starts where a normal approximation says, and
    gallops from there: a handful of tests instead of a dozen.
    """
    seen: dict[int, bool] = {}

    def is_futile(at: int) -> bool:
        if at not in seen:
            seen[at] = _is_futile(arms.prefix(at), policy)
        return seen[at]

    if not is_futile(length):
        return None
    at, stride = arms.likely_futile_at(length, policy), 1
    if is_futile(at):
        high, low = at, max(0, at - 1)
        while low and is_futile(low):
            high, low, stride = low, max(0, low - 2 * stride), 2 * stride
        if is_futile(low):
            return low
    else:
        low, high = at, min(length, at + 1)
        while not is_futile(high):
            low, high, stride = high, min(length, high + 2 * stride), 2 * stride
    while high - low > 1:
        middle = (low + high) // 2
        if is_futile(middle):
            high = middle
        else:
            low = middle
    return high


def _reject_unlikely(arms: _Arms, stop: Unlikely, policy: Policy) -> Decision:
    pairs = arms.pairs()
    said = f"{_versus(pairs, partial=True)} on the tasks run; " if pairs else ""
    return Decision(
        "reject",
        f"rejected: {said}an edit worth {stop.gain:+.3f}, which the whole plan would find 4 times in 5, would be promoted from "
        f"here with a chance of {stop.chance:.0%}, under the {policy.futility:.0%} that is asked for; {stop.at} of "
        f"{len(arms.evidence.planned)} trials were run",
        arms.numbers() | {"chance": stop.chance, "gain": stop.gain, "early": True},
    )


def _reject_early(arms: _Arms, policy: Policy) -> Decision:
    best = RULES[policy.name](arms.best_case(), policy)
    run, planned = len(arms.evidence.candidate), len(arms.evidence.planned)
    pairs = arms.pairs()
    said = f"{_versus(pairs, partial=True)} on the tasks run; " if pairs else ""
    numbers = arms.numbers() | {f"best_{key}": value for key, value in best.numbers().items()}
    return Decision(
        "reject",
        f"rejected: {said}had every trial left succeeded{best.said}; "
        f"{run} of {planned} trials were run, the rest could not have changed this",
        numbers | {"early": True},
    )


def _too_many_errors(arm: str, errors: int, planned: int, policy: Policy, arms: _Arms, where: str = "") -> Decision:
    reason = (
        f"undecided: {errors} of the {arm}'s {_count(planned, 'trial')}{where} errored, "
        f"over the {policy.max_errored:.0%} that are allowed"
    )
    return Decision("undecided", reason, arms.numbers())


def _errored(outcomes: Sequence[Result]) -> int:
    return sum(outcome.reward is None for outcome in outcomes)


def _versus(pairs: Sequence[Pair], *, partial: bool = False) -> str:
    """`31/40 against 30/40` for pass/fail; means for graded rewards or where a plan gave tasks unequal trials."""
    mine = [reward for pair in pairs for reward in pair.candidate]
    theirs = [reward for pair in pairs for reward in pair.champion]
    even = len({len(pair.candidate) for pair in pairs}) == 1 and len({len(pair.champion) for pair in pairs}) == 1
    if (even or partial) and all(reward in (0.0, 1.0) for reward in mine + theirs):
        return f"{round(sum(mine))}/{len(mine)} against {round(sum(theirs))}/{len(theirs)}"
    candidate, champion = means(pairs)
    return f"{candidate:.3f} over {_count(len(mine), 'trial')} against {champion:.3f} over {len(theirs)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
