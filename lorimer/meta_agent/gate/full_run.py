"""A candidate's full run, decided: the gate's comparison, and what may promote or hold back beside it. Pure.

    the comparison (gate.decide)          promotes what is better
    simpler, and no worse by a margin     promotes too, with [gate] simplify_margin
    cheaper, and no worse by a margin     promotes too, with [gate] tie_break
    the bound on cost                     holds a promotion back, unless [gate] max_cost_increase is "none"; a pooled one is
                                          judged again by its confirmation

The champion's trials are its standing ones, or were run side by side with the candidate's (`beside`). In the latter case both
arms grow together, so the gate looks at the ends of rounds, where every task has been run equally often in both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from lorimer.config.gate import GateSettings
from lorimer.meta_agent.gate.comparison import PASSED, Arms, Decision, Evidence, errored, too_many_errors
from lorimer.meta_agent.gate.cost import NAMES, Paid, Unit, bounded, within_cost
from lorimer.meta_agent.gate.decide import decide, decide_arms, stops_early
from lorimer.meta_agent.gate.non_inferior import NonInferior, hopeless, non_inferior
from lorimer.meta_agent.gate.statistics.permutation import Pair, permutation_test
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, Policy, Value
from lorimer.meta_agent.gate.statistics.scores import Result, by_task, mean_of
from lorimer.meta_agent.gate.stopping.ends import first_stop
from lorimer.meta_agent.gate.stopping.futility import first_unlikely
from lorimer.wording import digits_apart


@dataclass(frozen=True)
class FullRun:
    """What a full run rests on."""

    candidate: Sequence[Result]
    """The longest finished prefix of the plan."""
    champion: Sequence[Result]
    """All standing trials; `beside`, the longest finished prefix of the same plan."""
    planned: Sequence[str]
    """The task of each planned trial of an arm."""
    beside: bool = False
    simpler: bool = False
    """Whether the candidate is the simpler harness (`harness.size.Size.simpler_than`)."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """The tasks' weights, as in `Evidence`."""
    own: int | None = None
    """How many of the champion's trials are its own, as in `Evidence`."""

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.candidate, self.champion, self.planned, self.weights, self.own)

    @cached_property
    def arms(self) -> Arms:
        """The evidence by task. Runs that were `cut` from one another share what is known of it."""
        return Arms(self.evidence)

    def cut(self, length: int) -> FullRun:
        """The run as it was when the candidate had these trials; `beside`, each of both."""
        shorter = replace(
            self,
            candidate=self.candidate[:length],
            champion=self.champion[:length] if self.beside else self.champion,
        )
        if not self.beside:
            vars(shorter)["arms"] = self.arms.prefix(length)
        return shorter

    @property
    def complete(self) -> bool:
        arms = [self.candidate, self.champion] if self.beside else [self.candidate]
        return all(len(arm) >= len(self.planned) for arm in arms)


def settled(run: FullRun, policy: Policy, settings: GateSettings) -> bool:
    """Whether what is finished settles the answer. Against standing trials it stays true once it is."""
    if run.complete:
        return False
    worse = margins(run, settings)
    if not worse and not run.beside:
        return stops_early(run.arms, policy)
    base = _compared(run, policy)
    if base is None:
        return False
    if base.kind == "promote" or not worse:
        return True
    # The widest margin is the easiest to keep: while it can be kept, the run goes on.
    return hopeless(run.candidate, by_task(run.champion), run.planned, max(worse), policy)


def ended_at(run: FullRun, policy: Policy, settings: GateSettings) -> int | None:
    """After how many of an arm's trials the gate would have ended the run; `None` where it would not have."""
    lengths = Arms(Evidence((), (), run.planned)).rounds() if run.beside else range(len(run.planned))
    asked = [length for length in lengths if length <= len(run.candidate)]

    def is_settled(length: int) -> bool:
        return settled(run.cut(length), policy, settings)

    if run.beside:
        # The champion's arm grows too, so what one round settles the next may leave open again. Rounds are few.
        return next((length for length in asked if is_settled(length)), None)
    if asked and not margins(run, settings):
        # The stop of a longer run is that of every shorter one that it lies within, so the longest tells it of all.
        stop = first_stop(run.cut(asked[-1]).arms, policy)
        return None if stop is None else stop.at
    # The longest is asked first: where its bar is within reach, that of every shorter one is, and no test is made of it.
    if asked:
        is_settled(asked[-1])
    first = bisect_left(asked, True, key=is_settled)
    return asked[first] if first < len(asked) else None


def full_verdict(run: FullRun, policy: Policy, settings: GateSettings, paid: Paid | None = None) -> Decision:
    """The decision. Without `paid` that of rewards alone: no tie is broken, and nothing bounds the cost."""
    decision = _compared(run, policy) or decide(_even(run), policy, whole=run.beside)
    if decision.kind == "reject" and run.complete and margins(run, settings):
        decision = _as_equal(decision, run, policy, settings, paid or Paid())
    return decision if paid is None else within_cost(decision, paid, settings.cost, policy)


def margins(run: FullRun, settings: GateSettings) -> list[float]:
    """Those by which this candidate may be worse and yet be promoted."""
    found = []
    if settings.simplify_margin is not None and run.simpler:
        found.append(settings.simplify_margin)
    if settings.tie_break != "none":
        found.append(settings.tie_margin)
    return found


def units(settings: GateSettings, decision: Decision) -> set[Unit]:
    """The costs that `full_verdict` needs where rewards alone were decided so: none, mostly."""
    breaks = decision.kind == "reject" and settings.tie_break != "none"
    needed = {_key(settings.tie_break)} if breaks and settings.tie_break != "none" else set[Unit]()
    may_promote = Decision("promote", "", {}) if breaks else decision
    return needed | bounded(settings, may_promote)


# ---- the comparison -------------------------------------------------------------------------------------------------


def _compared(run: FullRun, policy: Policy) -> Decision | None:
    """The comparison's decision, or `None` where it is still open."""
    if not run.beside:
        if run.complete or stops_early(run.arms, policy):
            return decide_arms(run.arms, policy)
        return None
    finished = min(len(run.candidate), len(run.champion))
    for end in Arms(Evidence((), (), run.planned)).rounds():
        if end > finished:
            return None
        stopped = _look(run, end, policy)
        if stopped is not None:
            return stopped
    return decide(_even(run), policy, whole=True) if run.complete else None


def _even(run: FullRun) -> Evidence:
    """The evidence with as many trials of both arms, where they grow together."""
    if not run.beside:
        return run.evidence
    finished = min(len(run.candidate), len(run.champion))
    return Evidence(run.candidate[:finished], run.champion[:finished], run.planned, run.weights)


def _look(run: FullRun, end: int, policy: Policy) -> Decision | None:
    """The decision at the end of a round that is not the last, both arms side by side; `None` to go on."""
    mine, theirs = list(run.candidate[:end]), list(run.champion[:end])
    rest = run.planned[end:]
    total = len(run.planned)
    arms = Arms(Evidence(mine, theirs, run.planned, run.weights))
    numbers: dict[str, Value] = arms.numbers() | {"early": True, "champion_run": end}
    so_far = f"{arms.versus(partial=True)} side by side; " if arms.pairs() else ""
    if policy.name in ANYTIME:
        now = decide(Evidence(mine, theirs, run.planned[:end], run.weights), policy, whole=True)
        if now.kind == "promote":
            said = f"{now.reason}; {end} of {total} trials of each harness were run, the rest was not needed"
            return Decision("promote", said, dict(now.numbers) | {"early": True, "planned": total, "champion_run": end})
    # An errored trial is left out; in a best case, which is a bound, it counts as won.
    best_mine = [Result(o.task, 1.0 if o.reward is None else o.reward) for o in mine] + [Result(t, 1.0) for t in rest]
    best_theirs = [Result(o.task, 0.0 if o.reward is None else o.reward) for o in theirs] + [
        Result(t, 0.0) for t in rest
    ]
    best = decide(Evidence(best_mine, best_theirs, run.planned, run.weights), policy, whole=True)
    if best.kind != "promote":
        said = best.reason.removeprefix("rejected: ")
        return Decision(
            "reject",
            f"rejected: {so_far}had every trial left of the candidate succeeded and every one of the champion failed, {said}; "
            f"{end} of {total} trials of each harness were run, the rest could not have changed this",
            numbers,
        )
    unlikely = first_unlikely(mine, arms.champion_scored, run.planned, policy, arms.weight)
    if unlikely is not None:
        return Decision(
            "reject",
            f"rejected: {so_far}an edit worth {unlikely.gain:+.3f} would be promoted from here with "
            f"{unlikely.words(policy.futility)}; {end} of {total} trials of each harness were run",
            numbers | {"chance": unlikely.chance, "gain": unlikely.gain},
        )
    return None


# ---- equal, and better in another way -------------------------------------------------------------------------------


def _as_equal(rejected: Decision, run: FullRun, policy: Policy, settings: GateSettings, paid: Paid) -> Decision:
    """What becomes of a complete run that was not better."""
    arms = Arms(run.evidence)
    errors = errored(run.candidate)
    if errors > policy.max_errored * len(run.planned):
        return too_many_errors("candidate", errors, len(run.planned), policy, arms)
    pairs = arms.pairs()
    if not pairs:
        return rejected
    numbers, reasons = dict(rejected.numbers), []
    if settings.simplify_margin is not None and run.simpler:
        test = _test(arms, settings.simplify_margin)
        numbers |= _numbers("simpler", test)
        said = _said(test, policy)
        if test.passed(policy.alpha):
            return _promoted(arms, f"not better, but simpler and {said}", numbers | {"route": "simpler"})
        reasons.append(f"simpler, but {said}")
    if settings.tie_break != "none":
        test = _test(arms, settings.tie_margin)
        numbers |= _numbers("tie", test)
        p, cheaper = _cheaper(settings.tie_break, paid, policy)
        numbers |= {"tie_cost_p": p}
        if test.passed(policy.alpha) and p is not None and p <= policy.alpha:
            said = f"not better, but {cheaper} and {_said(test, policy)}"
            return _promoted(arms, said, numbers | {"route": settings.tie_break})
        reasons.append(f"{cheaper}; {_said(test, policy)}")
    return Decision("reject", "; ".join([rejected.reason, *reasons]), numbers)


def _test(arms: Arms, margin: float) -> NonInferior:
    """The test; where the candidate errored more often than the champion, the worse of leaving these trials out and of counting
    them as failed: errors decide nothing."""
    tests = [non_inferior(arms.pairs(), margin)]
    if arms.excess_errors:
        tests.append(non_inferior(arms.pairs_with_failed(arms.excess_errors), margin))
    return max(tests, key=lambda test: test.p)


def _promoted(arms: Arms, said: str, numbers: dict[str, Value]) -> Decision:
    counted = arms.numbers()
    numbers |= {key: counted[key] for key in ("candidate_mean", "champion_mean", "run", "planned", "tasks", "left_out")}
    numbers.pop("early", None)
    return Decision("promote", f"{PASSED}{arms.versus()}: {said}", numbers)


def _numbers(name: str, test: NonInferior) -> dict[str, Value]:
    return {f"{name}_p": test.p, f"{name}_margin": test.margin, f"{name}_difference": test.difference}


def _said(test: NonInferior, policy: Policy) -> str:
    p, level = digits_apart([test.p, policy.alpha], 2)
    return (
        f"{'no' if test.passed(policy.alpha) else 'not surely no'} worse by {test.margin:g} "
        f"({test.difference:+.3f}, p = {p}, needs p <= {level})"
    )


def _cheaper(unit: Literal["cost", "tokens", "seconds"], paid: Paid, policy: Policy) -> tuple[float | None, str]:
    """The p-value of "costs no less", by the gate's own permutation test on costs, and the comparison in words."""
    mine, theirs = paid.candidate.get(_key(unit), {}), paid.champion.get(_key(unit), {})
    both = [task for task in mine if theirs.get(task)]
    costs = [cost for task in both for cost in (*mine[task], *theirs[task])]
    name = NAMES[_key(unit)]
    if not both or None in costs:
        return None, f"{name} of some trials are unknown, so a tie is not broken"
    pairs = [
        Pair(tuple(-c for c in mine[task] if c is not None), tuple(-c for c in theirs[task] if c is not None))
        for task in both
    ]
    cost, before = (
        -mean_of([mean_of(arm) for arm in arms])
        for arms in zip(*((p.candidate, p.champion) for p in pairs), strict=True)
    )
    p = permutation_test(pairs, seed=policy.seed, draws=policy.draws).p
    fewer = cost < before
    said = f"{cost:.4g} {name} per trial against {before:.4g} (p = {p:.2g})"
    return (p if fewer else 1.0), f"{'cheaper, ' if fewer and p <= policy.alpha else 'not surely cheaper, '}{said}"


def _key(unit: Literal["cost", "tokens", "seconds"]) -> Unit:
    return "usd" if unit == "cost" else unit
