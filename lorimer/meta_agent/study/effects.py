"""Stores what candidates' edits did in their full runs, once nothing can change it any more. Nothing follows from it."""

from __future__ import annotations

import asyncio

from lorimer.meta_agent.ledger.effects import unstored
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.traces.base import StudyReader, StudyWriter

MANY = 100
"""Candidates whose trials are read at a time, where a study goes on of which nothing was stored: some 20,000 trials."""


class Effects:
    """Keeps the effects of one study's candidates.

    A process that is killed before it has stored some leaves them to the next one; until then readers work them out.
    """

    def __init__(self, parts: StudyParts) -> None:
        self._parts = parts
        self._since = 0
        """The number of the first candidate that may have none stored."""

    async def keep(self, world: World) -> None:
        """Store what is missing of candidates whose rounds have ended; nothing while a round is under way."""
        if world.round is None and self._since != world.next_number:
            parts = self._parts
            await store_effects(parts.store, parts.reader, world, parts.config.retries.errored, self._since)
            self._since = world.next_number


async def store_effects(store: StudyWriter, reader: StudyReader, world: World, retries: int, since: int = 0) -> None:
    """Store the effects that are missing of a study's candidates from number `since` on."""
    rows = await asyncio.to_thread(reader.candidates, world.study, since)
    for at in range(0, len(rows), MANY):
        found = await asyncio.to_thread(unstored, reader, world, rows[at : at + MANY], retries)
        if found:
            await store.set_effects(found)
