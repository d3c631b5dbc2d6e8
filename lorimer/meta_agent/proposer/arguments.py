"""The arguments of a tool call, as models give them: read as far as they can be understood, else refused with what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lorimer.meta_agent.proposer.cases import one_line


class CallRefused(Exception):
    """Why a call cannot be answered, in words for the model.

    Args:
        advice: what to do about it, punctuation in front: a model is told both, people the first.
    """

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(f"{why}{advice}")
        self.why = why


def text_of(arguments: Mapping[str, Any], key: str) -> str:
    """A text that must be given. Raises CallRefused."""
    value = arguments.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise CallRefused(f"`{key}` is missing: give a text.")
    return value


def count_of(arguments: Mapping[str, Any], key: str, default: int, least: int = 1) -> int:
    """A whole number, at least `least`. Raises CallRefused."""
    value = arguments.get(key)
    if value is None or value == "":
        return default
    try:
        return max(least, int(value))
    except (TypeError, ValueError, OverflowError):
        raise CallRefused(f"`{key}` must be a whole number, not {one_line(str(value), 40)!r}.") from None


def objects_of(arguments: Mapping[str, Any], key: str, form: str) -> list[Any]:
    """A list, of which one item or JSON text is taken too; empty where nothing was given. Raises CallRefused, saying `form`."""
    given: Any = arguments.get(key)
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given, strict=False)
        except (ValueError, RecursionError):
            raise CallRefused(f"{form}, not a text.") from None
    if isinstance(given, dict):
        given = [given]
    if given is None or given == "":
        return []
    if not isinstance(given, list):
        raise CallRefused(f"{form}.")
    return given


def object_of(value: Any) -> Mapping[str, Any] | None:
    """An object, or what JSON text says that is one; `None` where it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
