"""[search] of lorimer.toml: which edits are looked for, and in what order."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from lorimer.config_rows import Table


class SearchSettings(Table):
    """[search]: which edits are looked for."""

    edit_lines: int | Literal["none"] = 80
    """Lines of agent.py that an edit of the seed harness may change, 1 or more. Each promotion that the champion rests on halves
    it, down to `edit_lines_least`. `"none"`: any number."""
    edit_lines_least: int = Field(default=20, ge=1)
    """Lines that an edit may change however many promotions the champion rests on."""

    @field_validator("edit_lines", mode="before")
    @classmethod
    def _a_number_or_none(cls, said: Any) -> Any:
        if said == "none":
            return said
        if isinstance(said, bool) or not isinstance(said, int) or said < 1:
            raise ValueError('should be a whole number >= 1, or "none" for no bound')
        return said


UNSEARCHED = {"edit_lines": "none"}
"""What was done before there was [search]."""
