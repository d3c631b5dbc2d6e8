"""A meta model that goes in circles: small ones repeat what they see repeated."""

from __future__ import annotations

from collections import Counter

from lorimer.meta_agent.proposer.tools import ToolAnswer

MAX_SAME = 3
"""Turns in a row with the very same calls: the answers cannot differ, so neither will the next turn."""
MAX_REPEATED = 8
"""Calls of a session that had been made before, in whatever turn. A session that found its edit has made two of them at most."""


class Repeats:
    """Counts the calls of one session, and answers those that were made just before."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._before: tuple[str, ...] = ()
        self._same = 1
        self._last: dict[str, str] = {}
        self._now: dict[str, str] = {}

    @property
    def again(self) -> bool:
        """Whether every call of the last turn had been made before."""
        return bool(self._now) and all(self._seen[key] > 1 for key in self._now)

    def turn(self, keys: tuple[str, ...], name: str) -> str:
        """A turn with these calls begins; why the session ends, in words, or nothing.

        Args:
            keys: what tells each of its calls from others.
            name: the tool of the first.
        """
        self._same = self._same + 1 if keys and keys == self._before else 1
        self._before, self._last, self._now = keys, self._now, {}
        if self._same >= MAX_SAME:
            return f"the meta-agent repeated the same call {self._same} times ({name})"
        repeated = sum(count - 1 for count in self._seen.values())
        if repeated >= MAX_REPEATED:
            return f"the meta-agent goes in circles: {repeated} of its calls it had made before"
        return ""

    def told(self, key: str, answer: ToolAnswer) -> ToolAnswer:
        """What the model is told where the tool has answered this; a usable edit is told as it is."""
        self._now[key] = answer.text
        self._seen[key] += 1
        if self._seen[key] == 1 or answer.proposal is not None:
            return answer
        if self._last.get(key) == answer.text:
            words = "you made this very call just before, and it gives the very same answer, which stands above"
            return ToolAnswer(f"Error: {words}. Make another call, or propose an edit now.", is_error=True)
        return ToolAnswer(
            f"(You made this very call before. Do something else: propose an edit.)\n{answer.text}", answer.is_error
        )
