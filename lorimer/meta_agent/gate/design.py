"""A gate as a study has it, and whether it can promote anything at all."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorimer.config.settings import Config
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import ANYTIME, Policy
from lorimer.meta_agent.gate.statistics.pooled import champion_arm
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.statistics.weights import rates

ENOUGH_REPEATS = 50
"""The most that [gate] repeats may be."""
LATER = 10
"""How much larger the champion's arm of a pooled comparison is taken to become. What cannot be promoted now, nor against an arm
of that size, is not waited for."""


@dataclass(frozen=True)
class Design:
    """A gate as a study has it."""

    policy: Policy
    repeats: int
    champion_repeats: int
    holdout_repeats: int = 8
    spot_fixes: int = 2
    spot_guards: int = 2
    error: Literal["per-candidate", "study"] = "per-candidate"
    beside: bool = False
    """`[gate] champion = "interleaved"`."""

    @classmethod
    def of(cls, config: Config) -> Design:
        """The gate of a lorimer.toml."""
        gate = config.gate
        champion = gate.first_champion_repeats
        return cls(
            policy_of(config),
            gate.repeats,
            champion,
            gate.holdout_repeats,
            gate.spot_fixes,
            gate.spot_guards,
            gate.error,
            gate.champion == "interleaved",
        )

    @property
    def against(self) -> int:
        """Trials per task of the champion in one comparison."""
        return self.repeats if self.beside else self.champion_repeats

    @property
    def pools(self) -> bool:
        """Whether trials of rejected candidates count for the champion."""
        return self.policy.name == "pooled" and not self.beside

    @property
    def first(self) -> Policy:
        """The policy of the first test, which under `error = "study"` has a lower level."""
        return at_level(self.policy, self.error, [])


def best_result(design: Design, tasks: Sequence[str], standing: Sequence[Result] = ()) -> Decision:
    """What the gate would say of the best candidate there can be: all its trials succeed. Without `standing`, all of the
    champion's fail. If that is no promotion, nothing is.
    """
    failed = [Result(task, 0.0) for task, _ in by_task_and_repeat(tasks, design.against)]
    # Side by side the champion's trials are yet to come.
    champion = failed if design.beside or not standing else standing
    return _best(design, tasks, champion, design.first)


def _best(
    design: Design, tasks: Sequence[str], champion: Sequence[Result], policy: Policy, *, whole: bool = False
) -> Decision:
    """What the gate says of a candidate that succeeds in every trial, run in the order of a full run: what the champion seldom
    solves comes first, and shows the gain before the run is given up."""
    in_rounds = design.beside or policy.name in ANYTIME
    plan = full_plan(tasks, Luck(policy.seed, 1), design.repeats, rates(champion), in_rounds=in_rounds)
    planned = [task for task, _ in plan]
    return decide(Evidence([Result(task, 1.0) for task in planned], champion, planned), policy, whole=whole)


def too_small(design: Design, tasks: Sequence[str], standing: Sequence[Result] = ()) -> str:
    """Why no candidate could ever be promoted, with what to change; "" where one could."""
    best = best_result(design, tasks, standing)
    if best.kind == "promote":
        return ""
    if standing and not design.beside:
        return _too_little(design, tasks, best, standing, design.first).said
    what = _train_tasks(tasks)
    enough = next((r for r in range(design.repeats + 1, ENOUGH_REPEATS + 1) if _reaches(design, tasks, r)), None)
    fix = "add tasks" if enough is None else f"add tasks, or set gate.repeats to {enough} or more"
    return (
        f"no edit can be promoted: {what} with {_each(design.repeats)} each against {design.against} are too few "
        f"for gate.alpha ({best.reason} - with every trial of the candidate a success and every one of the champion a "
        f"failure); {fix}"
    )


@dataclass(frozen=True)
class TooLittle:
    """A champion that no candidate can be promoted over, whatever its trials come to."""

    said: str
    """Why, with what to change."""
    helps: Mapping[str, int]
    """The keys, with their values, that make the best candidate there can be promoted; none where only harder tasks do."""
    lasts: bool
    """Whether it stays so as rejected candidates join the champion's arm."""


def _too_little(
    design: Design, tasks: Sequence[str], best: Decision, champion: Sequence[Result], policy: Policy
) -> TooLittle:
    patient = replace(policy, futility=0.0)
    helps = _helps(design, tasks, champion, policy)
    sets = " and ".join(f"{key} to {value}" for key, value in helps.items())
    fix = f"add harder tasks, or set {sets}" if sets else "add harder tasks"
    # The whole plan says it in fewer words than a run that ends early, where it comes to the same.
    whole = _best(design, tasks, champion, policy, whole=True)
    why = best.reason if whole.kind == "promote" else whole.reason
    said = (
        f"no edit can be promoted: the champion leaves too little to win on {_train_tasks(tasks)} ({why} - with every trial of "
        f"the candidate a success); {fix}"
    )
    # The larger the arm, the surer the champion's rates are known; rejected candidates are lifted to these.
    arms = [champion, [*champion] * LATER] if design.pools else [champion]
    lasts = not any(_best(design, tasks, each, patient).kind == "promote" for each in arms)
    return TooLittle(said, helps, lasts)


def left_to_win(
    design: Design,
    tasks: Sequence[str],
    standing: Sequence[Result],
    withstood: Sequence[Result] = (),
    passed: Sequence[bool] = (),
) -> TooLittle | None:
    """Whether the next candidate could be promoted for being better; `None` where it could.

    Args:
        standing: the champion's own trials.
        withstood: those of the candidates that it withstood, which count under `pooled`.
        passed: the tests before this one, which set its level.
    """
    if design.beside:  # the champion's trials are yet to come
        return None
    arm = champion_arm(standing, withstood if design.pools else ())
    policy = replace(at_level(design.policy, design.error, passed), doubt=arm.doubt)
    best = _best(design, tasks, arm.trials, policy)
    if best.kind == "promote":
        return None
    return _too_little(design, tasks, best, arm.trials, policy)


def _helps(design: Design, tasks: Sequence[str], champion: Sequence[Result], policy: Policy) -> dict[str, int]:
    """The least repeats with which the best candidate would be promoted, and whether the run may then end for futility."""

    def promotes(repeats: int, policy: Policy) -> bool:
        return _best(replace(design, repeats=repeats), tasks, champion, policy).kind == "promote"

    possible, patient = range(design.repeats, ENOUGH_REPEATS + 1), replace(policy, futility=0.0)
    # More trials that all succeed make no test harder to pass.
    place = bisect_left(possible, True, key=lambda repeats: promotes(repeats, patient))
    if place == len(possible):
        return {}
    found = {"gate.repeats": possible[place]} if place else {}
    # Where next to nothing is left to win, no edit is worth finding, and futility ends each run.
    return found if place and promotes(possible[place], policy) else found | {"gate.futility": 0}


def _train_tasks(tasks: Sequence[str]) -> str:
    return "1 train task" if len(tasks) == 1 else f"{len(tasks)} train tasks"


def _each(repeats: int) -> str:
    return "1 trial" if repeats == 1 else f"{repeats} trials"


def _reaches(design: Design, tasks: Sequence[str], repeats: int) -> bool:
    larger = replace(design, repeats=repeats, champion_repeats=max(repeats, design.champion_repeats))
    return best_result(larger, tasks).kind == "promote"


def policy_of(config: Config) -> Policy:
    """The gate's policy as configured."""
    settings = config.gate
    return Policy(
        name=settings.policy,
        alpha=settings.alpha,
        futility=settings.futility,
        max_errored=settings.max_errored,
        holdout_margin=settings.holdout_margin,
        max_cost_increase=None if settings.max_cost_increase == "none" else settings.max_cost_increase,
        cost_increase_per_point=settings.cost_increase_per_point,
        revision=settings.revision,
        seed=config.study.seed,
    )
