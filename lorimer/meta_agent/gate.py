"""The gate: from trials to a decision, as pure functions. No I/O, no clock; the same trials give the same answer.

The comparison, in order:

1. A task on which either arm errored is left out of both arms whole. Leaving out single trials would pay a harness for
   erroring where it was about to fail.
2. Too many errored trials in an arm: `undecided`. So is a promotion that would not survive counting the candidate's
   errored trials as failures: then the errors, not the edit, would have decided.
3. The candidate's mean must be strictly higher. `strict` asks no more; `paired` also asks for p <= alpha of a one-sided
   permutation test stratified by task: were the edit without effect, the trials of one task could have fallen to either
   arm, so every split of the pooled rewards is equally likely. Its p-value is valid for any reward, any number of trials
   a task and arm, and whatever the tasks' difficulties.
4. Futility, deterministic: raising any of the candidate's rewards never raises p nor lowers its mean, so once even "all
   trials left succeed" misses the bar, the answer is known. It can only reject, so it cannot add a false promotion.

The candidate's trials are read in planned order and the decision is that of the shortest futile prefix. What finished
beyond it, by luck of timing, does not change a word of the decision (DESIGN 4.5).

A new policy is one more function in `_RULES`; it inherits errors, futility and wording.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from lorimer.meta_agent.permutation import TIE, Pair, permutation_test
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
    "futile",
    "holdout_verdict",
    "interval",
    "permutation_test",
    "score",
    "spot_verdict",
    "task_means",
    "too_errored",
]

Kind = Literal["promote", "reject", "undecided", "pass"]
PolicyName = Literal["paired", "strict"]
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Policy:
    """How strict the gate is."""

    name: PolicyName = "paired"
    alpha: float = 0.1
    """Chance that an edit without effect is promoted, per candidate (`paired`)."""
    max_errored: float = 0.05
    """Share of an arm's planned trials that may have errored."""
    holdout_margin: float = 0.1
    """By how much the holdout's mean may be worse."""
    seed: int = 0
    """Of the Monte-Carlo draws, where rewards are graded too finely for an exact p."""
    draws: int = 10_000
    """Monte-Carlo draws; fewer where tasks are many, and said with the result."""

    def as_json(self) -> dict[str, Value]:
        return {
            "name": self.name,
            "alpha": self.alpha,
            "max_errored": self.max_errored,
            "holdout_margin": self.holdout_margin,
        }


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

    A plan that is neither complete nor futile is `undecided`. Never promotes on less than the whole plan.
    """
    arms = _Arms(evidence)
    planned = len(evidence.planned)
    if not planned or not evidence.champion:
        return Decision("undecided", "undecided: there are no trials to compare", arms.numbers())
    champion_errors = _errored(evidence.champion)
    if champion_errors > policy.max_errored * len(evidence.champion):
        return _too_many_errors("champion", champion_errors, len(evidence.champion), policy, arms)

    run = len(evidence.candidate)
    candidate_errors = _errored(evidence.candidate)
    bar, pairs = None, arms.pairs()
    if run == planned and pairs:
        bar = _RULES[policy.name](pairs, policy)
    # Without errors, a met bar means that no prefix was futile; with them, leaving tasks out can lift it back over.
    if bar is None or not bar.met or candidate_errors:
        cut = _first_futile_prefix(arms, policy)
        if cut is not None:
            return _reject_early(arms.prefix(cut), policy)
    if candidate_errors > policy.max_errored * planned:
        return _too_many_errors("candidate", candidate_errors, planned, policy, arms)
    if run < planned:
        return Decision("undecided", f"undecided: only {run} of {planned} trials were run", arms.numbers())
    if bar is None:
        return Decision("undecided", "undecided: no task was scored for both harnesses", arms.numbers())

    numbers = arms.numbers() | bar.numbers()
    said = f"{_versus(pairs)}{bar.said}"
    if arms.left_out:
        said += f"; {_count(arms.left_out, 'task')} left out as errored"
    if not bar.met:
        return Decision("reject", f"rejected: {said}", numbers)
    if candidate_errors and not _RULES[policy.name](arms.pairs(errors="fail"), policy).met:
        said += (
            f"; but with the candidate's {_count(candidate_errors, 'errored trial')} counted as failed "
            "it would not have been promoted"
        )
        return Decision("undecided", f"undecided: {said}", numbers)
    return Decision("promote", f"promoted: {said}", numbers)


def futile(evidence: Evidence, policy: Policy) -> bool:
    """Whether the candidate is rejected already, even if every planned trial that is left scores 1.

    Monotone in the prefix: once true it stays true, whatever the rest would have been.
    """
    arms = _Arms(evidence)
    return len(evidence.candidate) < len(evidence.planned) and _is_futile(arms, policy)


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
    candidate, champion = _means(pairs)
    difference = candidate - champion
    numbers = arms.numbers() | {"difference": difference, "margin": policy.holdout_margin, "query": query}
    said = (
        f"{_versus(pairs)} on the holdout, a difference of {difference:+.3f}, "
        f"allowed down to {-policy.holdout_margin:+.3f} (query {query} of the holdout)"
    )
    if difference < -policy.holdout_margin - TIE:
        return Decision("reject", f"vetoed: {said}", numbers)
    return Decision("pass", f"not vetoed: {said}", numbers)


def too_errored(outcomes: Sequence[Result], policy: Policy) -> bool:
    """Whether an arm errored too often to be compared with anything."""
    return not outcomes or _errored(outcomes) > policy.max_errored * len(outcomes)


# ---- policies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bar:
    """Whether complete trials reach a policy's bar, and how to say so."""

    met: bool
    said: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def numbers(self) -> dict[str, Value]:
        return dict(self.values)


def _paired(pairs: Sequence[Pair], policy: Policy) -> _Bar:
    candidate, champion = _means(pairs)
    test = permutation_test(pairs, seed=policy.seed, draws=policy.draws)
    higher = candidate > champion + TIE
    said = f", p = {_p(test.p, policy.alpha)}"
    if test.method == "monte-carlo":
        said += f" (Monte-Carlo, ± {test.error:.3f})"
    said += f", needs p <= {policy.alpha:.2f}"
    if not higher:
        said += " and a higher mean"
    values: dict[str, Value] = {"p": test.p, "alpha": policy.alpha, "method": test.method, "p_error": test.error}
    return _Bar(higher and test.p <= policy.alpha, said, values)


def _strict(pairs: Sequence[Pair], policy: Policy) -> _Bar:
    candidate, champion = _means(pairs)
    return _Bar(candidate > champion + TIE, ", needs a strictly higher mean")


_RULES: Mapping[PolicyName, Callable[[Sequence[Pair], Policy], _Bar]] = {"paired": _paired, "strict": _strict}


# ---- futility and evidence ------------------------------------------------------------------------------------------


class _Arms:
    """Evidence by task."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._champion = by_task(evidence.champion)
        self._candidate = by_task(evidence.candidate)

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
            pairs.append(
                Pair(tuple(r for r in candidate if r is not None), tuple(r for r in champion if r is not None))
            )
        return pairs

    def best_case(self) -> list[Pair]:
        """As if every planned trial that has no reward yet scored 1."""
        planned = Counter(self.evidence.planned)
        pairs = []
        for task in sorted(planned):
            champion = self._champion.get(task, ())
            if not champion or None in champion:
                continue
            rewards = [1.0 if r is None else r for r in self._candidate.get(task, ())]
            rewards += [1.0] * (planned[task] - len(rewards))
            pairs.append(Pair(tuple(rewards), tuple(r for r in champion if r is not None)))
        return pairs

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
        z = NormalDist().inv_cdf(1 - policy.alpha) if policy.name == "paired" else 0.0
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
        candidate, champion = _means(pairs) if pairs else (None, None)
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


def _is_futile(arms: _Arms, policy: Policy) -> bool:
    best = arms.best_case()
    return bool(best) and not _RULES[policy.name](best, policy).met


def _first_futile_prefix(arms: _Arms, policy: Policy) -> int | None:
    """The shortest futile prefix that is not the whole plan.

    Futility is monotone, so a search that starts anywhere finds it. It starts where a normal approximation says, and
    gallops from there: a handful of tests instead of a dozen.
    """
    length = min(len(arms.evidence.candidate), len(arms.evidence.planned) - 1)
    if length < 0:
        return None
    seen: dict[int, bool] = {}

    def is_futile(at: int) -> bool:
        if at not in seen:
            seen[at] = _is_futile(arms.prefix(at), policy)
        return seen[at]

    at, stride = arms.likely_futile_at(length, policy), 1
    if is_futile(at):
        high, low = at, max(0, at - 1)
        while low and is_futile(low):
            high, low, stride = low, max(0, low - 2 * stride), 2 * stride
        if is_futile(low):
            return low
    else:
        low, high = at, min(length, at + 1)
        while high < length and not is_futile(high):
            low, high, stride = high, min(length, high + 2 * stride), 2 * stride
        if not is_futile(high):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if is_futile(middle):
            high = middle
        else:
            low = middle
    return high


def _reject_early(arms: _Arms, policy: Policy) -> Decision:
    best = _RULES[policy.name](arms.best_case(), policy)
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


def _means(pairs: Sequence[Pair]) -> tuple[float, float]:
    return mean_of([mean_of(pair.candidate) for pair in pairs]), mean_of([mean_of(pair.champion) for pair in pairs])


def _versus(pairs: Sequence[Pair], *, partial: bool = False) -> str:
    """`31/40 against 30/40` for pass/fail; means for graded rewards or where a plan gave tasks unequal trials."""
    mine = [reward for pair in pairs for reward in pair.candidate]
    theirs = [reward for pair in pairs for reward in pair.champion]
    even = len({len(pair.candidate) for pair in pairs}) == 1 and len({len(pair.champion) for pair in pairs}) == 1
    if (even or partial) and all(reward in (0.0, 1.0) for reward in mine + theirs):
        return f"{round(sum(mine))}/{len(mine)} against {round(sum(theirs))}/{len(theirs)}"
    candidate, champion = _means(pairs)
    return f"{candidate:.3f} over {_count(len(mine), 'trial')} against {champion:.3f} over {len(theirs)}"


def _p(value: float, alpha: float) -> str:
    """Two decimals, or as many as it takes to tell it from the bar."""
    if value < 0.0005:
        return f"{value:.1e}"
    for digits in (2, 3, 4):
        said = f"{value:.{digits}f}"
        if (value >= 0.095 and (float(said) > alpha) == (value > alpha)) or digits > 2:
            return said
    return f"{value:.6f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
