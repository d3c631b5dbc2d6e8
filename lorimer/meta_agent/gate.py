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
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from operator import add, mul
from typing import Literal, Protocol

Kind = Literal["promote", "reject", "undecided", "pass"]
PolicyName = Literal["paired", "strict"]
Value = str | int | float | bool | None

_TIE = 1e-9
"""Rewards are sums of floats from verifiers; differences below this are ties."""
_NEGLIGIBLE = 1e-18
"""Probability mass cut from the ends of a distribution. At most a few thousand cuts are made, so p is right to 1e-14."""
_MAX_DENOMINATOR = 32
"""Rewards that are multiples of 1/d, d up to this, are convolved exactly; beyond, the lattice is too fine to be quick."""
_MAX_WORK = 4_000_000
"""Multiplications that an exact convolution may take (about 0.2 s); beyond it Monte-Carlo is quicker."""
_MAX_SUBSETS = 5_000
"""Ways to split one task's trials that are listed (10 trials give 252); beyond it splits are drawn."""


class Result(Protocol):
    """One finished planned trial, as the gate reads it. A stored trial is one, and so is `Outcome`."""

    @property
    def task(self) -> str: ...
    @property
    def reward(self) -> float | None:
        """0 to 1; `None` where the trial errored."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The smallest `Result`."""

    task: str
    reward: float | None


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
class Score:
    """A harness's score: the mean over tasks of each task's mean reward, with a 95% interval."""

    mean: float
    low: float
    high: float
    tasks: int
    trials: int
    """Scored ones."""
    errored: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


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
    cut = _first_futile_prefix(arms, policy)
    if cut is not None:
        return _reject_early(arms.prefix(cut), policy)
    candidate_errors = _errored(evidence.candidate)
    if candidate_errors > policy.max_errored * planned:
        return _too_many_errors("candidate", candidate_errors, planned, policy, arms)
    if run < planned:
        return Decision("undecided", f"undecided: only {run} of {planned} trials were run", arms.numbers())

    pairs = arms.pairs()
    if not pairs:
        return Decision("undecided", "undecided: no task was scored for both harnesses", arms.numbers())
    bar = _RULES[policy.name](pairs, policy)
    numbers = arms.numbers() | bar.numbers()
    said = f"{_versus(pairs)}{bar.said}"
    if arms.left_out:
        said += f"; {_count(arms.left_out, 'task')} left out as errored"
    if not bar.met:
        return Decision("reject", f"rejected: {said}", numbers)
    if candidate_errors:
        worst = _RULES[policy.name](arms.pairs(errors="fail"), policy)
        if not worst.met:
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

    Killed when it refutes itself (two or more trials on the tasks it was made for, none better than the champion) or when
    it breaks what worked (two or more guards at less than half the champion's reward). One bad trial never kills: with
    three fix trials an edit that solves its tasks half of the time survives 7 times in 8, while an edit without effect
    on never-solved tasks is stopped for the price of six trials; guards that pass 95% of the time kill 0.7%.
    Errored trials say nothing.
    """
    fixes = [trial for trial in trials if trial.role == "fix" and trial.reward is not None]
    guards = [trial for trial in trials if trial.role == "guard" and trial.reward is not None]
    improved = [t for t in fixes if t.reward is not None and t.reward > t.champion_mean + _TIE]
    broken = [t for t in guards if t.reward is not None and t.reward < t.champion_mean / 2]
    numbers: dict[str, Value] = {
        "fix_trials": len(fixes),
        "fixed": len(improved),
        "guard_trials": len(guards),
        "broken": len(broken),
        "errored": len(trials) - len(fixes) - len(guards),
    }
    if len(fixes) >= 2 and not improved:
        tasks = len({trial.task for trial in fixes})
        return Decision(
            "reject",
            f"rejected on the spot-check: none of {len(fixes)} trials on the {_count(tasks, 'task')} "
            "it should fix did better than the champion",
            numbers,
        )
    if len(broken) >= 2:
        return Decision(
            "reject",
            f"rejected on the spot-check: it broke {len(broken)} of {len(guards)} tasks that the champion solves",
            numbers,
        )
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
    if difference < -policy.holdout_margin - _TIE:
        return Decision("reject", f"vetoed: {said}", numbers)
    return Decision("pass", f"not vetoed: {said}", numbers)


def too_errored(outcomes: Sequence[Result], policy: Policy) -> bool:
    """Whether an arm errored too often to be compared with anything."""
    return not outcomes or _errored(outcomes) > policy.max_errored * len(outcomes)


# ---- scores ---------------------------------------------------------------------------------------------------------


def score(outcomes: Iterable[Result]) -> Score:
    """Mean over tasks of the task's mean reward, with a task-clustered 95% interval.

    Wilson's interval on the effective number of trials: the variance of the mean is taken between tasks, since trials of
    one task are alike, and n = p(1-p)/variance is capped at the number of tasks from below and of trials from above. It
    stays inside 0..1 and has width where every task came out alike. With nothing scored it is 0..1 around nan.
    """
    tasks = _by_task(outcomes)
    scored = [[reward for reward in rewards if reward is not None] for rewards in tasks.values()]
    errored = sum(len(rewards) for rewards in tasks.values()) - sum(map(len, scored))
    means = [_mean(rewards) for rewards in scored if rewards]
    trials = sum(map(len, scored))
    if not means:
        return Score(math.nan, 0.0, 1.0, 0, 0, errored)
    mean = _mean(means)
    effective = float(len(means))
    if len(means) > 1:
        variance = sum((value - mean) ** 2 for value in means) / (len(means) - 1) / len(means)
        spread = mean * (1 - mean)
        if spread > 0:
            effective = min(max(spread / variance if variance else math.inf, effective), float(trials))
    low, high = _wilson(mean, effective)
    return Score(mean, low, high, len(means), trials, errored)


def interval(outcomes: Iterable[Result]) -> tuple[float, float]:
    """The 95% interval of `score`."""
    result = score(outcomes)
    return result.low, result.high


def task_means(outcomes: Iterable[Result]) -> dict[str, float]:
    """Each task's mean reward over its scored trials; tasks with none are left out."""
    means = {}
    for task, rewards in _by_task(outcomes).items():
        scored = [reward for reward in rewards if reward is not None]
        if scored:
            means[task] = _mean(scored)
    return means


def _wilson(mean: float, n: float) -> tuple[float, float]:
    z = 1.959963984540054
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


# ---- the permutation test -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One task's scored rewards in both arms."""

    candidate: tuple[float, ...]
    champion: tuple[float, ...]


@dataclass(frozen=True)
class PValue:
    """A one-sided p-value and how it was had."""

    p: float
    method: Literal["exact", "monte-carlo"]
    error: float = 0.0
    """Standard error of the Monte-Carlo estimate."""
    draws: int = 0


def permutation_test(pairs: Sequence[Pair], *, seed: int = 0, draws: int = 10_000) -> PValue:
    """P(total of the candidate's rewards >= the observed one) when trials exchange arms within each task.

    Exact, by convolution of the tasks' distributions, where rewards lie on a lattice of at most 1/32 and the work is
    small (always so for pass/fail); else Monte-Carlo with (1 + hits) / (1 + draws), which is itself a valid p-value.
    """
    mixed = [pair for pair in pairs if _informative(pair)]
    if not mixed:
        return PValue(1.0, "exact")
    denominator = _denominator(mixed)
    if denominator is not None:
        exact = _exact(mixed, denominator)
        if exact is not None:
            return PValue(exact, "exact")
    return _monte_carlo(mixed, seed, draws)


def _informative(pair: Pair) -> bool:
    """A task whose trials all came out alike, or that one arm lacks, adds a constant and no information."""
    if not pair.candidate or not pair.champion:
        return False
    pool = pair.candidate + pair.champion
    return max(pool) - min(pool) > _TIE


def _denominator(pairs: Sequence[Pair]) -> int | None:
    """The smallest d for which all rewards are multiples of 1/d."""
    values = {reward for pair in pairs for reward in pair.candidate + pair.champion}
    for d in range(1, _MAX_DENOMINATOR + 1):
        if all(abs(value * d - round(value * d)) < _TIE for value in values):
            return d
    return None


def _exact(pairs: Sequence[Pair], denominator: int) -> float | None:
    """The exact tail probability, or `None` where it would take too long.

    Tasks with the same pool of rewards and the same number of candidate trials share a distribution: it is raised to the
    power of how many they are, by squaring. With pass/fail rewards there are few such classes however many tasks.
    """
    observed = 0
    classes: Counter[tuple[tuple[int, ...], int]] = Counter()
    for pair in pairs:
        candidate = [round(reward * denominator) for reward in pair.candidate]
        pool = sorted(candidate + [round(reward * denominator) for reward in pair.champion])
        base = pool[0]  # a shift of all rewards of a task shifts its sum by a constant
        observed += sum(candidate) - base * len(candidate)
        classes[tuple(value - base for value in pool), len(candidate)] += 1

    parts: list[_Mass] = []
    for (pool_key, taken), count in classes.items():
        if sum(pool_key) * len(pool_key) * taken > _MAX_WORK // 10:
            return None
        parts.append(_power(_subset_sums(pool_key, taken), count))
    work, width = 0, 0
    for part in sorted(parts, key=lambda mass: len(mass.weights)):
        work += width * len(part.weights)
        width += len(part.weights)
    if work > _MAX_WORK:
        return None
    total = _Mass(0, (1.0,))
    for part in sorted(parts, key=lambda mass: len(mass.weights)):
        total = total.convolve(part)
    return min(1.0, math.fsum(total.weights[max(0, observed - total.start) :]))


@dataclass(frozen=True)
class _Mass:
    """A distribution on the integers: `weights[i]` is the probability of `start + i`."""

    start: int
    weights: tuple[float, ...]

    def convolve(self, other: _Mass) -> _Mass:
        long, short = (self, other) if len(self.weights) >= len(other.weights) else (other, self)
        kernel = short.weights[::-1]
        pad = (0.0,) * (len(kernel) - 1)
        padded = pad + long.weights + pad
        size = len(long.weights) + len(kernel) - 1
        out = [sum(map(mul, kernel, padded[i : i + len(kernel)])) for i in range(size)]
        first, last = 0, size
        while out[first] < _NEGLIGIBLE and first < last - 1:
            first += 1
        while out[last - 1] < _NEGLIGIBLE and last - 1 > first:
            last -= 1
        return _Mass(self.start + other.start + first, tuple(out[first:last]))


def _power(mass: _Mass, count: int) -> _Mass:
    result, square = None, mass
    while True:
        if count & 1:
            result = square if result is None else result.convolve(square)
        count >>= 1
        if not count:
            assert result is not None
            return result
        square = square.convolve(square)


def _subset_sums(pool: tuple[int, ...], taken: int) -> _Mass:
    """The distribution of the sum of `taken` of the pool's values, drawn without replacement."""
    ways: list[Counter[int]] = [Counter() for _ in range(taken + 1)]
    ways[0][0] = 1
    for seen, value in enumerate(pool):
        for size in range(min(seen + 1, taken), 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + value] += count
    everything = math.comb(len(pool), taken)
    low, high = min(ways[taken]), max(ways[taken])
    return _Mass(low, tuple(ways[taken][total] / everything for total in range(low, high + 1)))


def _monte_carlo(pairs: Sequence[Pair], seed: int, draws: int) -> PValue:
    # 2 million draws of one task's split take about a second; under 1,000 draws a p near 0.1 is off by over 0.01.
    draws = max(1_000, min(draws, 2_000_000 // len(pairs)))
    random_ = random.Random(seed)  # noqa: S311  - statistics, not secrets
    observed = math.fsum(reward for pair in pairs for reward in pair.candidate)
    totals = [0.0] * draws
    for pair in pairs:
        pool, taken = pair.candidate + pair.champion, len(pair.candidate)
        if math.comb(len(pool), taken) <= _MAX_SUBSETS:
            sums = [math.fsum(subset) for subset in combinations(pool, taken)]
            drawn = random_.choices(sums, k=draws)
        else:
            drawn = [math.fsum(random_.sample(pool, taken)) for _ in range(draws)]
        totals = list(map(add, totals, drawn))
    hits = sum(total >= observed - _TIE for total in totals)
    p = (1 + hits) / (1 + draws)
    return PValue(p, "monte-carlo", math.sqrt(p * (1 - p) / draws), draws)


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
    higher = candidate > champion + _TIE
    said = f", p = {_p(test.p)}"
    if test.method == "monte-carlo":
        said += f" (Monte-Carlo, ± {test.error:.3f})"
    said += f", needs p <= {policy.alpha:.2f}"
    if not higher:
        said += " and a higher mean"
    values: dict[str, Value] = {"p": test.p, "alpha": policy.alpha, "method": test.method, "p_error": test.error}
    return _Bar(higher and test.p <= policy.alpha, said, values)


def _strict(pairs: Sequence[Pair], policy: Policy) -> _Bar:
    candidate, champion = _means(pairs)
    return _Bar(candidate > champion + _TIE, ", needs a strictly higher mean")


_RULES: Mapping[PolicyName, Callable[[Sequence[Pair], Policy], _Bar]] = {"paired": _paired, "strict": _strict}


# ---- futility and evidence ------------------------------------------------------------------------------------------


class _Arms:
    """Evidence by task."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._champion = _by_task(evidence.champion)
        self._candidate = _by_task(evidence.candidate)

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
            rewards = [r for r in self._candidate.get(task, ()) if r is not None]
            rewards += [1.0] * (planned[task] - len(rewards))
            pairs.append(Pair(tuple(rewards), tuple(r for r in champion if r is not None)))
        return pairs

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
    """The shortest futile prefix that is not the whole plan, by bisection, as futility is monotone."""
    length = min(len(arms.evidence.candidate), len(arms.evidence.planned) - 1)
    if length < 0 or not _is_futile(arms.prefix(length), policy):
        return None
    low, high = 0, length
    while low < high:
        middle = (low + high) // 2
        if _is_futile(arms.prefix(middle), policy):
            high = middle
        else:
            low = middle + 1
    return low


def _reject_early(arms: _Arms, policy: Policy) -> Decision:
    best = _RULES[policy.name](arms.best_case(), policy)
    run, planned = len(arms.evidence.candidate), len(arms.evidence.planned)
    pairs = arms.pairs()
    said = f"{_versus(pairs)} on the tasks run; " if pairs else ""
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


def _by_task(outcomes: Iterable[Result]) -> dict[str, list[float | None]]:
    tasks: dict[str, list[float | None]] = defaultdict(list)
    for outcome in outcomes:
        tasks[outcome.task].append(outcome.reward)
    return dict(tasks)


def _errored(outcomes: Sequence[Result]) -> int:
    return sum(outcome.reward is None for outcome in outcomes)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _means(pairs: Sequence[Pair]) -> tuple[float, float]:
    return _mean([_mean(pair.candidate) for pair in pairs]), _mean([_mean(pair.champion) for pair in pairs])


def _versus(pairs: Sequence[Pair]) -> str:
    """`31/40 against 30/40` for pass/fail, means for graded rewards or where tasks have unequal numbers of trials."""
    mine = [reward for pair in pairs for reward in pair.candidate]
    theirs = [reward for pair in pairs for reward in pair.champion]
    even = len({len(pair.candidate) for pair in pairs}) == 1 and len({len(pair.champion) for pair in pairs}) == 1
    if even and all(reward in (0.0, 1.0) for reward in mine + theirs):
        return f"{round(sum(mine))}/{len(mine)} against {round(sum(theirs))}/{len(theirs)}"
    candidate, champion = _means(pairs)
    return f"{candidate:.3f} over {_count(len(mine), 'trial')} against {champion:.3f} over {len(theirs)}"


def _p(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
