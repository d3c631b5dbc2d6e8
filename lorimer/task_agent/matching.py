"""Which recorded call a call of a shadow is, or where the shadow parts from the record. Pure.

A call is answered by the recorded call with the same request: the j-th time that it is made, by the j-th that is on record.
Commands and files change the sandbox, so none is answered before all those that were over when it was asked in the record; model
calls change nothing and may come in any order. The harness has finished as in the record where no call that was answered there is
left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lorimer.traces.wired import AnsweredCall

SANDBOX = frozenset({"env.exec", "env.read", "env.write"})
"""Methods that work on the task's sandbox."""

Parting = Literal["other", "beyond", "skipped", "early"]
"""How a shadow parts: it asks for something else; for more than there is; not for what came first; it finishes too soon."""


@dataclass(frozen=True)
class Parted:
    """The record does not hold the call."""

    way: Parting
    step: int
    """The number of the call among those of the shadow's part, from 1."""
    instead: int | None
    """The recorded call whose place it takes, by its index; `None` where none is left."""


@dataclass(frozen=True)
class ShadowPlace:
    """How far a shadow has come: the recorded calls that were taken, by index."""

    taken: frozenset[int] = frozenset()


@dataclass(frozen=True)
class RecordedScript:
    """One part's recorded calls, in order of issue."""

    calls: tuple[AnsweredCall, ...]

    def ask(self, place: ShadowPlace, key: str, method: str) -> tuple[ShadowPlace, int] | Parted:
        """The recorded call that answers the one with this key, by index, and the place after it; or how the shadow parts."""
        left = [index for index in range(len(self.calls)) if index not in place.taken]
        same = [index for index in left if self.calls[index].key == key]
        step = len(place.taken) + 1
        if not same:
            instead = next((index for index in left if self.calls[index].method == method), left[0] if left else None)
            return Parted("other" if left else "beyond", step, instead)
        found = same[0]
        if method in SANDBOX:
            missed = [index for index in left if index < found and self._is_over(index, self.calls[found].asked)]
            if missed:
                return Parted("skipped", step, missed[0])
        if method == "finish":
            # A call that was never answered may not have been made yet: a thread was still at it.
            missed = [index for index in left if index != found and self.calls[index].answer is not None]
            if missed:
                return Parted("early", step, missed[0])
        return ShadowPlace(place.taken | {found}), found

    def _is_over(self, index: int, when: float) -> bool:
        call = self.calls[index]
        return call.method in SANDBOX and call.answer is not None and call.answered <= when
