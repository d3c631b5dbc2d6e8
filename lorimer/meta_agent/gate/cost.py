"""What a promotion may cost: how much dearer than the champion's a trial of the next champion may be. Pure.

More turns and more effort buy reward with almost any harness, so an optimizer that is asked for reward alone raises both without
end. The bound leaves room for what pays: a share for any promotion, and a further share for each point of mean reward gained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lorimer.kinds import CostUnit
from lorimer.meta_agent.gate.comparison import PASSED, Decision
from lorimer.meta_agent.gate.statistics.permutation import TIE
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import mean_of
from lorimer.wording import dollars_apart, told_apart

if TYPE_CHECKING:  # what reads a study needs no settings
    from lorimer.config.gate import GateSettings

TaskCosts = Mapping[str, Sequence[float | None]]
"""What the scored trials of each task cost; `None` where a price is unknown."""
Unit = Literal["usd", "tokens", "seconds"]
NAMES: Mapping[Unit, str] = {"usd": "dollars", "tokens": "tokens", "seconds": "seconds"}
_DIGITS = 10
"""Significant digits of a cost in a decision: a trial's dollars are added up in the order in which its calls end, which shows in
the last ones."""


@dataclass(frozen=True)
class Paid:
    """What the trials of both arms cost, by unit; asked for where a setting needs it."""

    candidate: Mapping[Unit, TaskCosts] = field(default_factory=dict)
    champion: Mapping[Unit, TaskCosts] = field(default_factory=dict)


def units_of(counted: CostUnit) -> set[Unit]:
    """The units in which `[gate] cost` may be counted."""
    return {"usd", "tokens"} if counted == "auto" else {counted}


_SAID = {"promote": (PASSED, "rejected: "), "pass": ("confirmed: ", "held back: ")}
"""The decisions that the bound may hold back, how their reasons begin, and how they do then."""


def within_cost(decision: Decision, paid: Paid, counted: CostUnit, policy: Policy) -> Decision:
    """A promotion or a confirmation, kept only where a trial of the candidate is not dearer than the policy allows: in the mean
    over tasks of what each task's trials cost, for the gain in mean reward of the comparison that was decided.

    A full run that ended early knows the gain on the tasks that it ran, which are the hard ones: it is larger there than over
    all. So what is confirmed is judged again, as a confirmation has trials of every task.

    Nothing bounds a harness whose champion took nothing that was counted (a server that reports no tokens): then the promotion
    says so. `undecided` only where dollars alone are to count and a price is unknown.
    """
    if decision.kind not in _SAID or policy.max_cost_increase is None:
        return decision
    unit: Unit = _best_known(paid) if counted == "auto" else counted
    mine, theirs = paid.candidate.get(unit, {}), paid.champion.get(unit, {})
    both = [task for task in mine if theirs.get(task)]
    if any(None in arm[task] for arm in (mine, theirs) for task in both):
        why = f'the price of some trials is unknown, so the bound on dollars cannot be held (gate.cost = "{counted}")'
        return Decision("undecided", f"undecided: {why}; {decision.reason}", decision.numbers)
    cost, before = _mean(mine, both), _mean(theirs, both)
    if not before:
        said = f"its cost is not bounded: the champion's trials took no {NAMES[unit]} that were counted"
        return Decision(decision.kind, f"{decision.reason}; {said}", decision.numbers)
    gained = max(
        0.0, 100 * (float(decision.numbers["candidate_mean"] or 0) - float(decision.numbers["champion_mean"] or 0))
    )
    share = policy.max_cost_increase + policy.cost_increase_per_point * gained
    allowed = before * (1 + share)
    numbers = dict(decision.numbers) | {
        "cost": _rounded(cost),
        "champion_cost": _rounded(before),
        "cost_allowed": _rounded(allowed),
        "cost_unit": unit,
    }
    spent, was, most = amounts(unit, cost, before, allowed)
    for_gain = f" for {gained:.1f} points" if policy.cost_increase_per_point else ""
    said = (
        f"a trial costs {spent} against {was} ({cost / before - 1:+.0%}), allowed up to {most} ({share:+.0%}{for_gain})"
    )
    if cost <= allowed * (1 + TIE):
        return Decision(decision.kind, f"{decision.reason}; {said}", numbers)
    better = "it was no worse" if numbers.get("route") else "it was better"
    lift = 'gate.max_cost_increase sets the bound, and "none" lifts it'
    began, begins = _SAID[decision.kind]
    return Decision("reject", f"{begins}{better}, but {said}: {decision.reason.removeprefix(began)}; {lift}", numbers)


def bounded(settings: GateSettings, decision: Decision) -> set[Unit]:
    """The costs that `within_cost` needs to judge this decision; none where nothing bounds it."""
    return units_of(settings.cost) if settings.max_cost_increase != "none" and decision.kind in _SAID else set()


def bound_words(most: float | Literal["none"] | None, per_point: float) -> str:
    """What `[gate] max_cost_increase` and `cost_increase_per_point` allow."""
    if most is None or most == "none":
        return "no bound on cost"
    return f"a trial may cost {most:.0%} more" + (
        f", and {per_point:.0%} more for each point gained" if per_point else ""
    )


def held_back(kind: str, numbers: Mapping[str, Any]) -> bool:
    """Whether a decision on a full run or a confirmation rejects a candidate that was better there, for its cost alone."""
    return kind == "reject" and "cost_allowed" in numbers


def amounts(unit: Unit, *values: float) -> list[str]:
    """What is counted in a unit, in words: `$0.0123`, `12,345 tokens`, `8.4 seconds`; with so many digits that values
    which differ are told apart.
    """
    if unit == "usd":
        return dollars_apart(values)

    def form(value: float, digits: int) -> str:
        return f"{value:,.{digits}f} {unit}"

    digits = 1 if unit == "seconds" else 0
    return told_apart(values, [form(value, digits) for value in values], form, digits)


def _best_known(paid: Paid) -> Unit:
    """Dollars where every price is known in both arms, and the champion's trials were not free; else tokens."""
    arms = (paid.candidate.get("usd", {}), paid.champion.get("usd", {}))
    known = all(None not in costs for arm in arms for costs in arm.values())
    return "usd" if known and any(cost for costs in arms[1].values() for cost in costs) else "tokens"


def _mean(costs: TaskCosts, tasks: Sequence[str]) -> float:
    """The mean over tasks of each task's mean; 0 where nothing was counted."""
    known = [[cost for cost in costs[task] if cost is not None] for task in tasks]
    return mean_of([mean_of(each) for each in known if each]) if any(known) else 0.0


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
