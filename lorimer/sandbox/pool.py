"""Jails made ahead of need, so that a trial does not wait for what can be started while others think.

Nothing is reused: what the pool hands out is new and is the taker's to close. The pool knows no provider in particular.

Sandboxes of tasks are not made ahead. Where that was tried (Docker, two processors, trials that think for three seconds) it took
0.2 s off a trial of 4 to 8, whether 1, 4 or 8 ran at once: it moves the engine's work, and does not make it less. Runs that end
early would leave containers of trials that never come. In bubblewrap, with a hundred trials at once on two processors, it gained
nothing either: those that begin in the same moment call their model in the same moments too (bench/RESULTS.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from lorimer.errors import SandboxError
from lorimer.sandbox.base import Jail, JailRequest, SandboxProvider
from lorimer.sandbox.forwarding import Forwarding

WARM = "warm"
"""The trial named by the owner of what was made ahead: which one it will serve is not known yet."""


@dataclass(frozen=True)
class _Warm:
    """A jail that is being made, or was made and is not yet taken."""

    key: Hashable
    making: asyncio.Task[Jail]


class _Shelf:
    """The warm jails."""

    def __init__(self) -> None:
        self._warm: deque[_Warm] = deque()
        self._making: set[asyncio.Task[Jail]] = set()
        self._discarding: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._warm)

    def make(self, key: Hashable, make: Coroutine[Any, Any, Jail]) -> None:
        task = asyncio.create_task(make)
        # A failure is the taker's to hear of; if nobody takes it, it was nobody's trouble.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        self._warm.append(_Warm(key, task))

    def pop(self, key: Hashable) -> _Warm | None:
        """The oldest warm jail with this key, off the shelf."""
        for warm in self._warm:
            if warm.key == key:
                self._warm.remove(warm)
                return warm
        return None

    async def ready(self, warm: _Warm) -> Jail:
        """What was popped, once it is made. Raises what its making raised."""
        try:
            return await asyncio.shield(warm.making)
        except asyncio.CancelledError:
            self._discard(warm)
            raise

    def drop(self, but: Hashable = None) -> None:
        """Remove all but those with this key."""
        for warm in [warm for warm in self._warm if warm.key != but]:
            self._warm.remove(warm)
            self._discard(warm)

    def _discard(self, warm: _Warm) -> None:
        """Close it once it is made, in the background."""

        async def close() -> None:
            await asyncio.wait({warm.making})
            if not warm.making.cancelled() and warm.making.exception() is None:
                await warm.making.result().close()

        task = asyncio.create_task(close())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    async def close(self) -> None:
        for task in self._making:
            task.cancel()  # nobody takes it any more, and an engine that hangs never makes it
        self.drop()
        while self._discarding:
            await asyncio.gather(*self._discarding)


class Pool(Forwarding):
    """A `SandboxProvider` that keeps the next jails of another one warm.

    Jails are all alike in a study: after the first request, `jails` more like it are kept ready. A request that matches nothing
    warm (an owner is not compared) is served cold.

    Args:
        provider: who makes them; closed together with the pool.
        jails: idle jails kept; 0 for none.
    """

    def __init__(self, provider: SandboxProvider, *, jails: int = 2) -> None:
        super().__init__(provider)
        self._room = jails
        self._jails = _Shelf()
        self._last: Hashable = None
        self._closed = False

    async def jail(self, request: JailRequest) -> Jail:
        key = _key(request)
        try:
            while (warm := self._jails.pop(key)) is not None:
                with suppress(SandboxError):  # a warm-up that failed some time ago says nothing of now
                    jail = await self._jails.ready(warm)
                    try:
                        # An engine that was restarted meanwhile took it along, and its death would be the harness's.
                        if await jail.running():
                            return jail
                    except BaseException:  # of one that does not say, or whose taker is gone, nobody takes care
                        await jail.close()
                        raise
                    await jail.close()
            return await self._provider.jail(request)
        finally:
            # After the cold one, which somebody waits for.
            self._fill(request, key)

    async def close(self) -> None:
        self._closed = True
        await self._jails.close()
        await super().close()

    def _fill(self, request: JailRequest, key: Hashable) -> None:
        again, self._last = key == self._last, key
        if self._closed or not (again or not len(self._jails)):
            return  # one odd request among many alike does not cost the warm ones
        self._jails.drop(but=key)
        while len(self._jails) < self._room:
            warm = replace(request, owner=replace(request.owner, trial=WARM))
            self._jails.make(key, self._provider.jail(warm))


def _key(request: JailRequest) -> Hashable:
    return (
        request.owner.study,
        tuple(request.argv),
        request.memory_mb,
        request.pids,
        request.cpus,
        request.scratch_mb,
        request.preload,
    )
