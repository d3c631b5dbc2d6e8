"""Places for trials: so many at once, and how many may change while they are taken."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Places:
    """Whoever enters has a place until it leaves; whoever has waited longest is let in first.

    Args:
        most: places that there are.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resized = asyncio.Event()

    @property
    def most(self) -> int:
        """How many may be taken."""
        return self._most

    def resize(self, most: int) -> None:
        """Let there be so many from now on. Whoever has a place keeps it, even where there are fewer."""
        self._most = most
        self._let_in()
        # Wakes those who wait now, and nobody later.
        self._resized.set()
        self._resized.clear()

    async def resized(self, most: int) -> None:
        """Returns when there are more or fewer places than `most`."""
        while self._most == most:
            await self._resized.wait()

    async def __aenter__(self) -> None:
        if self._taken < self._most and not self._waiting:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it was let in at the same moment
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._taken < self._most:
            turn = next((each for each in self._waiting if not each.done()), None)
            if turn is None:
                return
            self._waiting.remove(turn)
            self._taken += 1
            turn.set_result(None)
