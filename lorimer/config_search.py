"""[search] of lorimer.toml: which edits are looked for, and in what order."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from lorimer.config_rows import Table
from lorimer.kinds import PhaseName


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

    @field_validator("edit_lines", mode="before")
    @classmethod
    def _a_number_or_none(cls, said: Any) -> Any:
        if said == "none":
            return said
        if isinstance(said, bool) or not isinstance(said, int) or said < 1:
            raise ValueError('should be a whole number >= 1, or "none" for no bound')
        return said

    @field_validator("phases")
    @classmethod
    def _each_once(cls, said: tuple[PhaseName, ...]) -> tuple[PhaseName, ...]:
        if len(set(said)) < len(said):
            raise ValueError("names a phase twice")
        return said


UNSEARCHED: dict[str, Any] = {"width": 1, "edit_lines": "none", "phases": ()}
"""What was done before there was [search]."""
