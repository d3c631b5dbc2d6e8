"""[gate] of lorimer.toml: when an edit is promoted."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from lorimer.config.rows import Table
from lorimer.kinds import CostUnit, PolicyName

RETIRED = {"holdout_step": "no score of the holdout is shown while a study runs; take it out"}
"""Keys of [gate] that older studies have stored, and what to tell who still sets one."""


class GateSettings(Table):
    """[gate]"""

    policy: PolicyName = "pooled"
    """`pooled` counts the trials of rejected candidates for the champion and confirms what is better; `paired` finds less, by a
    test that is proven; see docs/gate.md."""
    revision: Literal[1, 2, 3] = 3
    """Which of lorimer's numbers say where spot-checks, full runs and confirmations end: each finds more than the one before, for
    a few more trials. A study keeps the one that it began with, which is 1 where its store names none."""
    alpha: float = Field(default=0.1, gt=0, lt=0.5)
    error: Literal["per-candidate", "study"] = "per-candidate"
    """`study` lowers alpha from candidate to candidate, so that at most that share of a study's promotions is false. At gains of
    4 points it finds next to nothing under `paired` and `eprocess`, and under `pooled` a third of what `per-candidate` finds."""
    repeats: int = Field(default=5, ge=1, le=50)
    """Trials per task in a candidate's full run, planned before any is seen. Unset: 5 under `pooled`, else 3."""
    champion_repeats: int | None = Field(default=None, ge=1, le=100)
    """Trials per task in the baseline and in audits, which all candidates are compared with. Unset: one more than `repeats`;
    under `pooled` one fewer, at least 2, as those of the rejected join them."""
    champion_every: int = Field(default=3, ge=0)
    """Full runs after which a champion that withstood them is tried once more on every task; 0: never."""
    champion_most: int | None = Field(default=None, ge=1, le=100)
    """Trials per task up to which it is. Unset: half as many again as `champion_repeats`."""
    champion: Literal["cached", "interleaved"] = "cached"
    """`cached` compares with the champion's standing trials; `interleaved` runs it anew beside every candidate."""
    champion_max_age: float | None = Field(default=None, gt=0)
    """Hours after which standing trials of the champion are run anew before they are compared with. Not for simulated models."""
    futility: float = Field(default=0.42, ge=0, lt=0.5)
    """A full run ends when an edit worth finding would be promoted from here with a smaller chance; 0: when none could.
    Unset: 0.42 under `pooled` (0.37 with an earlier `revision`), else 0.2."""
    spot_fixes: int = Field(default=2, ge=0)
    """Single tasks, of those that the edit should fix, tried before a full run; where it names none that fails, of those whose
    failed trials it touches. What comes of them is told and rejects nothing (with `revision` 1 they can spare an edit or help to
    reject it)."""
    spot_guards: int = Field(default=2, ge=0)
    """Single tasks that the champion solves. Two that the edit breaks reject it, so fewer than two reject nothing, and are not
    run where there is no task to fix."""
    max_errored: float = Field(default=0.2, ge=0, lt=1)
    """Share of planned trials that may have errored before the answer is `undecided`."""
    holdout_repeats: int = Field(default=8, ge=1, le=100)
    """Trials per sealed task and harness each time the holdout is asked, side by side with the champion."""
    holdout_margin: float = Field(default=0.1, ge=0, lt=1)
    """The holdout vetoes where its mean reward is worse by more than this."""
    holdout_queries: int | None = Field(default=30, ge=1)
    """How often the holdout may answer in one study, which ends there: each answer leaks a little of it."""
    simplify_margin: float | None = Field(default=None, gt=0, lt=1)
    """A simpler harness is promoted when it is surely no worse by this much. Unset: only for being better."""
    tie_break: Literal["none", "cost", "tokens", "seconds"] = "none"
    """A cheaper harness is promoted when it is surely no worse by `tie_margin`. `seconds` differ from run to run."""
    tie_margin: float = Field(default=0.05, gt=0, lt=1)
    """A harness counts as equal where its mean reward is worse by no more than this."""
    cost: CostUnit = "auto"
    """What the bound on cost counts: `auto` is dollars where every price is known in both arms, else tokens. `usd` leaves a
    promotion undecided where a price is unknown; `seconds` differ from run to run."""
    max_cost_increase: float | Literal["none"] = 0.25
    """A trial of a promoted harness may cost more than the champion's by this share, 0 or more; `"none"`: it may cost
    anything."""
    cost_increase_per_point: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    """The bound on the cost rises by this share for each point (0.01) of mean reward gained: with the defaults, 4 points may cost
    45% more."""

    @field_validator("max_cost_increase", mode="before")
    @classmethod
    def _a_share_or_none(cls, said: Any) -> Any:
        if said is None or said == "none":  # null: a study of a time when this was the way to set no bound
            return "none"
        if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < math.inf:
            raise ValueError('should be a number >= 0, or "none" for no bound')
        return float(said)

    @model_validator(mode="before")
    @classmethod
    def _by_policy(cls, given: Any) -> Any:
        """What is not set follows from the policy: more trials find more only where those of the rejected count as well."""
        if not isinstance(given, dict):
            return given
        held = {key: value for key, value in given.items() if key not in RETIRED}
        if held.get("policy", "pooled") != "pooled":
            return {"repeats": 3, "futility": 0.2} | held
        return {"futility": 0.37} | held if held.get("revision") in (1, 2) else held

    @property
    def first_champion_repeats(self) -> int:
        """Trials per task of a new champion."""
        return self.champion_repeats or (max(2, self.repeats - 1) if self.policy == "pooled" else self.repeats + 1)

    @property
    def pools(self) -> bool:
        """Whether the trials of rejected candidates count for the champion: not where it is run anew beside each."""
        return self.policy == "pooled" and self.champion == "cached"

    @property
    def champion_grows(self) -> bool:
        """Whether a champion is tried once more on every task as it withstands candidates. One that others are confirmed against
        has fresh trials of each confirmation."""
        return self.champion_every > 0 and self.champion == "cached" and self.policy != "pooled"

    @property
    def most_champion_repeats(self) -> int:
        """Trials per task of a champion that has stood for long."""
        return self.champion_most or self.first_champion_repeats * 3 // 2
