"""Searches take turns: one runs at a time, a round of proposals long, so that a provider that drifts drifts for all alike."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from lorimer.traces.tables import Candidate


class SearchTurns:
    """Whose turn it is. Each search asks for one before its baseline and before every round, and is passed over until those
    with fewer rounds have had theirs. The proposals of a round, which are made at once, share one turn.

    Args:
        searches: names of all that will ask; nothing starts before each has.
    """

    def __init__(self, searches: Iterable[str]) -> None:
        self._ranks: Mapping[str, int] = {name: rank for rank, name in enumerate(searches)}
        self._live = set(self._ranks)
        self._waiting: dict[str, tuple[int, asyncio.Event]] = {}
        self._running = ""

    async def ask(self, search: str, number: int) -> None:
        """Returns when `search` may go on with round `number` (0 for its baseline); its turn before is over.

        All that ask for one round wait together. Who asks when it has its turn gets it again, as no other search went on since.
        """
        _, ready = self._waiting.setdefault(search, (number, asyncio.Event()))
        self._passed_on(search)
        await ready.wait()

    def leave(self, search: str) -> None:
        """`search` asks for no further turn."""
        self._live.discard(search)
        self._waiting.pop(search, None)
        self._passed_on(search)

    def _passed_on(self, search: str) -> None:
        if self._running == search:
            self._running = ""
        if self._running or not self._live or self._live - self._waiting.keys():
            return
        self._running = min(self._live, key=self._order)
        _, ready = self._waiting.pop(self._running)
        ready.set()

    def _order(self, search: str) -> tuple[int, int]:
        """Fewest rounds first. Who is first in one round is last in the next: what drifts within a round favours nobody."""
        number, rank = self._waiting[search][0], self._ranks[search]
        return number, rank if number % 2 == 0 else -rank


def rounds(candidates: Iterable[Candidate]) -> int:
    """How many rounds these candidates of one search are of: turns are counted by them."""
    return len({each.round or each.number for each in candidates})
