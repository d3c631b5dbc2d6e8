"""A gate as a study has it, and whether it can promote anything at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorimer.config.settings import Config
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.plans import by_task_and_repeat
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result

ENOUGH_REPEATS = 50
"""The most that [gate] repeats may be."""


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
    plan = [task for task, _ in by_task_and_repeat(tasks, design.repeats)]
    failed = [Result(task, 0.0) for task, _ in by_task_and_repeat(tasks, design.against)]
    # Side by side the champion's trials are yet to come.
    champion = failed if design.beside or not standing else standing
    return decide(Evidence([Result(task, 1.0) for task in plan], champion, plan), design.first)


def too_small(design: Design, tasks: Sequence[str], standing: Sequence[Result] = ()) -> str:
    """Why no candidate could ever be promoted, with what to change; "" where one could."""
    best = best_result(design, tasks, standing)
    if best.kind == "promote":
        return ""
    what = "1 train task" if len(tasks) == 1 else f"{len(tasks)} train tasks"
    if standing and not design.beside:
        return (
            f"no edit can be promoted: the champion leaves too little to win on {what} ({best.reason} - with every trial "
            "of the candidate a success); add harder tasks or raise gate.repeats"
        )
    enough = next((r for r in range(design.repeats + 1, ENOUGH_REPEATS + 1) if _reaches(design, tasks, r)), None)
    fix = "add tasks" if enough is None else f"add tasks, or set gate.repeats to {enough} or more"
    return (
        f"no edit can be promoted: {what} with {_each(design.repeats)} each against {design.against} are too few "
        f"for gate.alpha ({best.reason} - with every trial of the candidate a success and every one of the champion a "
        f"failure); {fix}"
    )


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
