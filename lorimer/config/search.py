"""[search] of lorimer.toml: which edits are looked for, and in what order."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from lorimer.config.rows import Table
from lorimer.kinds import PhaseName, PruneName, StrategyName


class SearchSettings(Table):
    """[search]: which edits are looked for."""

    width: int = Field(default=1, ge=1, le=16)
    """Proposals of a round: each about another kind of failures, unaware of the others, and compared with the same champion."""
    edit_lines: int | Literal["none"] = 80
    """Lines of agent.py that an edit of the seed harness may change, 1 or more. Each promotion that the champion rests on halves
    it, down to `edit_lines_least`. `"none"`: any number."""
    edit_lines_least: int = Field(default=20, ge=1)
    """Lines that an edit may change however many promotions the champion rests on."""

    phases: tuple[PhaseName, ...] = ("capability", "prompt")
    """Kinds of edits that the meta-agent is asked for, in this order: `capability` is tool, middleware, routing and sub-agent,
    `prompt` is words that the model reads. Each phase adds its kinds to those before it, and after a promotion the first one
    begins again. Empty: any kind at any time."""
    phase_edits: int = Field(default=4, ge=1)
    """Edits of a phase that are tested without a promotion before the next phase begins; two rounds in a row without a usable
    edit begin it too. After as many, of whatever kind, the meta-agent is told which parts of the harness nobody has changed."""

    strategies: tuple[StrategyName, ...] = ("champion", "second-best")
    """Harnesses whose edits are proposed, in this order: the champion; the candidate that came closest to it in a full run; the
    champion before it; the seed harness. Whatever an edit is made of, it must beat the champion. A promotion begins again with
    the first, and after the last one the first follows. One that there is not yet, or is named already, is passed over."""
    strategy_edits: int = Field(default=8, ge=1)
    """Edits of a harness that are tested without a promotion before those of the next of `strategies` are proposed. As many as
    two phases of `phase_edits` take, so that the champion's code and its words were tried first."""

    prune: PruneName = "when stalled"
    """Where `[gate] simplify_margin` is set: once `strategy_edits` edits were tested without a promotion, lorimer itself puts the
    champion without one hunk of an earlier promotion before the gate, once for each champion. No model is asked."""

    @field_validator("edit_lines", mode="before")
    @classmethod
    def _a_number_or_none(cls, said: Any) -> Any:
        if said == "none":
            return said
        if isinstance(said, bool) or not isinstance(said, int) or said < 1:
            raise ValueError('should be a whole number >= 1, or "none" for no bound')
        return said

    @field_validator("phases", "strategies")
    @classmethod
    def _each_once(cls, said: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(said)) < len(said):
            raise ValueError(f"names a {'phase' if info.field_name == 'phases' else 'strategy'} twice")
        return said

    @field_validator("strategies")
    @classmethod
    def _any(cls, said: tuple[StrategyName, ...]) -> tuple[StrategyName, ...]:
        if not said:
            raise ValueError('should name a strategy; ["champion"] is to edit the champion alone')
        return said


UNSEARCHED: dict[str, Any] = {
    "width": 1,
    "edit_lines": "none",
    "phases": (),
    "strategies": ("champion",),
    "prune": "never",
}
"""What was done before there was [search]."""
