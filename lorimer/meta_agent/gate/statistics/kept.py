"""What is found once and asked for often."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Found = TypeVar("Found")


class Kept:
    """Answers by what they answer, for as long as this lives."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` gives the first time that `key` is asked for."""
        if key not in self._found:
            self._found[key] = find()
        found: Found = self._found[key]
        return found
