"""Blocking calls to an engine, in threads that nothing has to wait for.

The SDK's calls cannot be cancelled: a thread that reads from an engine which hangs stays there until its timeout. So whoever
waits is let go at once, and the threads are daemons: the interpreter, which joins those of an executor, ends without them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from lorimer.errors import EngineOutage

T = TypeVar("T")

LOOK_SECONDS = 0.2
"""The pause between two looks whether an engine that is being left still answers."""


class BlockingCalls:
    """Runs functions in threads of their own, at most `most` at once; the others wait their turn."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._queue: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._awaited: set[asyncio.Future[Any]] = set()
        self._asked = 0.0
        """When the silence began, if there is one: the latest end of a call, or the first call since all had ended."""
        self.answered = time.monotonic()
        """When the latest answer came, by the monotonic clock. A call that ended without an answer does not count."""
        self._watch: asyncio.Task[None] | None = None
        self._refuse: Callable[[], Exception] | None = None
        self._running: set[asyncio.Future[Any]] = set()
        """Those that have a thread, and a place; a call that was given up has its thread alone."""

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a call."""
        return bool(self._awaited)

    @property
    def given_up(self) -> bool:
        """Whether `leave` has met an engine that answers nothing."""
        return self._refuse is not None

    async def run(self, function: Callable[[], T]) -> T:
        """What the function returns or raises. Where the caller is cancelled, the thread goes on and nobody hears of it."""
        if self._refuse is not None:
            raise self._refuse()
        ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self._awaited:
            self._asked = time.monotonic()
        self._awaited.add(ended)
        self._queue.append((function, ended))
        self._start()
        try:
            return await ended
        finally:
            self._awaited.discard(ended)
            # An error's traceback holds the frames that it came through. One that held the error, or its future, would keep
            # what a failed call had open until the garbage is collected.
            del ended

    def leave(self, seconds: float, refusal: Callable[[], Exception]) -> None:
        """Once calls are awaited and none has ended for so long from now on, all that are awaited and all later ones fail.

        Args:
            refusal: what they raise.
        """
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._until_silent(seconds, refusal))

    def fail(self, why: Callable[[], Exception]) -> None:
        """All calls that are awaited raise this now. Later ones are made, whatever becomes of the threads of these."""
        self._free += len(self._running)
        self._running.clear()
        self._queue.clear()
        for ended in list(self._awaited):
            if not ended.done():
                ended.set_exception(why())

    def close(self) -> None:
        """What waits for its turn is not begun any more."""
        if self._watch is not None:
            self._watch.cancel()
        for _, ended in self._queue:
            ended.cancel()
        self._queue.clear()

    async def _until_silent(self, seconds: float, refusal: Callable[[], Exception]) -> None:
        left = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._awaited and time.monotonic() - max(self._asked, left) >= seconds:
                break
        self._refuse = refusal
        self.fail(refusal)

    def _start(self) -> None:
        while self._queue and self._free:
            function, ended = self._queue.popleft()
            if not ended.done():
                self._free -= 1
                self._running.add(ended)
                loop = asyncio.get_running_loop()
                threading.Thread(
                    target=self._call, args=(function, ended, loop), name="lorimer-docker", daemon=True
                ).start()

    def _call(self, function: Callable[[], Any], ended: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        result, failed = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it is the caller's, in the loop
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._ended, ended, result, failed)
        del ended, failed  # see `run`

    def _ended(self, ended: asyncio.Future[Any], result: Any, failed: BaseException | None) -> None:
        if ended in self._running:
            self._running.discard(ended)
            self._free += 1
        self._asked = time.monotonic()
        if not isinstance(failed, EngineOutage):
            self.answered = self._asked
        if not ended.done():
            if failed is not None:
                ended.set_exception(failed)
            else:
                ended.set_result(result)
        self._start()
