"""The models that a provider lists, and which of them it has shut down or is going to. Read leniently: no two lists are alike."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

_ENDS = (
    "shutdown_date",
    "retires_at",
    "retirement_date",
    "sunset_date",
    "end_of_life",
    "eol_date",
    "expiration_date",
    "deprecation_date",
    "deprecation",
)
"""The keys under which lists say when a model ends; OpenAI's, Anthropic's, OpenRouter's and Mistral's are among them."""
_STATES = ("lifecycle", "status", "state")
_GONE = frozenset({"retired", "shutdown", "shut_down", "decommissioned", "removed"})
_GOING = frozenset({"deprecated", "deprecating", "retiring", "sunset", "legacy"})
_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
"""What some lists append to the name by which a model is asked for."""


@dataclass(frozen=True)
class ListedModel:
    """A model as its provider lists it."""

    name: str
    ends: date | None = None
    """When it is, or was, shut down; `None` where no date is announced."""
    gone: bool = False
    """Whether the list says that it is shut down."""
    going: bool = False
    """Whether the list says that it is going to be, with a date or without."""

    def fate(self, today: date) -> str:
        """What becomes of it, as the rest of a sentence about it; "" where nothing is known to."""
        if self.gone:
            return "has been shut down" if self.ends is None else f"has been shut down ({self.ends})"
        if self.ends is not None:
            return f"is shut down on {self.ends}" if self.ends > today else f"was to be shut down on {self.ends}"
        return "is deprecated: it is going to be shut down" if self.going else ""


def read(data: Any) -> tuple[ListedModel, ...]:
    """The models of a list's JSON, in its order; what is none is left out."""
    rows = data
    if isinstance(data, dict):
        rows = next((data[key] for key in ("data", "models") if isinstance(data.get(key), list)), [])
    found = [_model(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(model for model in found if model is not None)


def find(models: Sequence[ListedModel], name: str) -> ListedModel | None:
    """The model that a request for `name` means: of that name; else of that name with `:latest`, or with a date, the newest."""
    by_name = {model.name: model for model in models}
    for wanted in (name, f"{name}:latest", f"models/{name}"):
        if wanted in by_name:
            return by_name[wanted]
    dated = [model for model in models if _DATED.sub("", model.name) == name]
    return max(dated, key=lambda model: model.name, default=None)


def instead(models: Sequence[ListedModel], name: str, most: int = 3) -> list[str]:
    """Names of models that stay, those most like `name` first."""
    stay = [model.name for model in models if not (model.gone or model.going or model.ends)]
    return difflib.get_close_matches(name, [each for each in stay if each != name], most, cutoff=0.0)


def _model(row: dict[str, Any]) -> ListedModel | None:
    name = next((row[key] for key in ("id", "name", "model") if isinstance(row.get(key), str) and row[key]), None)
    if name is None:
        return None
    states = {str(row[key]).lower() for key in _STATES if isinstance(row.get(key), str)}
    going = row.get("deprecated") is True or bool(row.get("deprecated_at")) or bool(states & _GOING)
    ends = next((found for key in _ENDS if (found := _date(row.get(key))) is not None), None)
    return ListedModel(name, ends, gone=bool(states & _GONE) or row.get("active") is False, going=going)


def _date(value: object) -> date | None:
    """A day written in ISO's form, with a time or without, or in seconds since 1970."""
    try:
        if isinstance(value, str):
            return date.fromisoformat(value.strip()[:10])
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        pass
    return None
