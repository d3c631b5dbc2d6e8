"""What search finds of a step, where its data says that: such a text need not be stored a second time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorimer.kinds import StepKind

_NAMES = {StepKind.EXEC.value: ("command", "stdout", "stderr"), StepKind.READ.value: ("path", "error")}
_OTHERS = ("text",)


def text_of(kind: str, data: Mapping[str, Any]) -> str:
    """What search finds of a step whose writer named no text."""
    names = _NAMES.get(kind, _OTHERS)
    return "\n".join(value for name in names if isinstance(value := data.get(name), str) and value)


def is_said(kind: str, data: Mapping[str, Any], encoded: str, text: str) -> bool:
    """Whether a database that takes `text` out of a step's data finds it there to the letter.

    Args:
        encoded: the data as JSON.
    """
    return can_be_computed(kind, data, encoded) and text_of(kind, data) == text


def can_be_computed(kind: str, data: Mapping[str, Any], encoded: str) -> bool:
    """Whether a database that takes `text` out of a step's data finds there to the letter what `text_of` does.

    Args:
        encoded: the data as JSON.
    """
    if kind == StepKind.MODEL_CALL.value:
        return False
    first, *rest = _NAMES.get(kind, _OTHERS)
    # A database may refuse numbers that are none (NaN), and read what is half of a character, or NUL, in its own way.
    if "NaN" in encoded or "Infinity" in encoded or "\\u0000" in encoded or "\\ud" in encoded:
        return False
    return bool(data.get(first)) and all(isinstance(data.get(name, ""), str | None) for name in rest)
