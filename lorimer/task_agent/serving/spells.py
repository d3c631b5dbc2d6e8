"""Turns at what a trial does between two model calls, a spell, so that trials which run at once stay apart.

After a model's answer a trial works for some 10 ms of a processor: its harness, its command, and what lorimer writes of both.
Where many do so at the same time, they share the processors and all are done late, at about the same time. So they call their
models at the same time, are answered at the same time, and work at the same time again: soon all trials go in step, and at each
call each of them waits for the work of all. A hundred trials on two processors came to 0.80 of the ideal that way, though the
processors had work for a third of the time. Those that take turns are done one after another, call one after another, and seldom
wait: 0.91.
"""

from __future__ import annotations

import asyncio
import os

SECONDS = 0.02
"""How long a spell keeps its turn at most. Nine of ten end sooner where a command does little; a command or a harness that takes
its time does not keep others waiting for it."""


class Spell:
    """One trial's work between two model calls. Its turn is over by itself after a while."""

    def __init__(self, room: asyncio.Semaphore, seconds: float) -> None:
        self._room = room
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Leave the turn to others: the trial calls its model. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._room.release()


class Spells:
    """Those of all trials of a process. Who comes first begins first.

    Args:
        at_once: spells at the same time; one more than this machine has processors, as most trials wait for something in theirs.
        seconds: how long a spell keeps its turn at most.
    """

    def __init__(self, at_once: int | None = None, seconds: float = SECONDS) -> None:
        self._room = asyncio.Semaphore(at_once or (os.cpu_count() or 1) + 1)
        self._seconds = seconds

    async def begin(self) -> Spell:
        """Returns when it is the caller's turn."""
        await self._room.acquire()
        return Spell(self._room, self._seconds)
