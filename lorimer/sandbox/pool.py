"""Sandboxes and jails made ahead of need, so that a trial does not wait for what can be started while others think.

Nothing is reused: what the pool hands out is new and is the taker's to close. The pool knows no provider in particular.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from lorimer.errors import SandboxError
from lorimer.sandbox.base import Jail, JailRequest, Sandbox, SandboxProvider, SandboxRequest
from lorimer.sandbox.forwarding import Forwarding

WARM = "warm"
"""The trial named by the owner of what was made ahead: which one it will serve is not known yet."""


class _Closable(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closable)
R = TypeVar("R", SandboxRequest, JailRequest)


@dataclass(frozen=True)
class _Warm(Generic[C]):
    """One thing being made, or made and not yet taken."""

    key: Hashable
    making: asyncio.Task[C]


class _Shelf(Generic[C]):
    """The warm things of one kind."""

    def __init__(self) -> None:
        self._warm: deque[_Warm[C]] = deque()
        self._discarding: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._warm)

    def held(self) -> list[Hashable]:
        return [warm.key for warm in self._warm]

    def make(self, key: Hashable, make: Coroutine[Any, Any, C]) -> None:
        task = asyncio.create_task(make)
        # A failure is the taker's to hear of; if nobody takes it, it was nobody's trouble.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._warm.append(_Warm(key, task))

    def pop(self, key: Hashable) -> _Warm[C] | None:
        """The oldest warm thing with this key, off the shelf."""
        for warm in self._warm:
            if warm.key == key:
                self._warm.remove(warm)
                return warm
        return None

    async def ready(self, warm: _Warm[C]) -> C:
        """What was popped, once it is made. Raises what its making raised."""
        try:
            return await asyncio.shield(warm.making)
        except asyncio.CancelledError:
            self.discard(warm)
            raise

    def drop(self, keep: Callable[[Hashable], bool]) -> None:
        """Remove whatever `keep` does not want."""
        for warm in [warm for warm in self._warm if not keep(warm.key)]:
            self._warm.remove(warm)
            self.discard(warm)

    def discard(self, warm: _Warm[C]) -> None:
        """Close it once it is made, in the background."""

        async def close() -> None:
            await asyncio.wait({warm.making})
            if not warm.making.cancelled() and warm.making.exception() is None:
                await warm.making.result().close()

        task = asyncio.create_task(close())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    async def close(self) -> None:
        self.drop(lambda _: False)
        while self._discarding:
            await asyncio.gather(*self._discarding)


class Pool(Forwarding):
    """A `SandboxProvider` that keeps the next sandboxes and jails of another one warm.

    Jails are all alike in a study: after the first request, `jails` more like it are kept ready. Task sandboxes are made
    ahead only when they are announced by `expect`, at most `sandboxes` at a time. A request that matches nothing warm
    (an owner is not compared) is served cold.

    Args:
        provider: who makes them; closed together with the pool.
        jails: idle jails kept; 0 for none.
        sandboxes: idle task sandboxes kept; 0 for none.
    """

    def __init__(self, provider: SandboxProvider, *, jails: int = 2, sandboxes: int = 2) -> None:
        super().__init__(provider)
        self._jail_room, self._sandbox_room = jails, sandboxes
        self._jails: _Shelf[Jail] = _Shelf()
        self._sandboxes: _Shelf[Sandbox] = _Shelf()
        self._expected: deque[SandboxRequest] = deque()
        self._last_jail: Hashable = None
        self._closed = False

    def expect(self, requests: Iterable[SandboxRequest]) -> None:
        """Say which sandboxes will be asked for next, in order. Replaces what was said before; warm ones that are no
        longer expected are removed. Needs a running event loop."""
        if self._closed:
            return
        self._expected = deque(requests)
        wanted = [_sandbox_key(request) for request in self._expected]

        def keep(key: Hashable) -> bool:
            if key not in wanted:
                return False
            wanted.remove(key)
            return True

        self._sandboxes.drop(keep)
        # What is warm stands for the first of its kind: only the others are still to be made.
        for key in self._sandboxes.held():
            self._forget(key)
        self._fill_sandboxes()

    async def acquire(self, request: SandboxRequest) -> Sandbox:
        key = _sandbox_key(request)
        warm = self._sandboxes.pop(key)
        if warm is None:
            self._forget(key)  # it comes cold, before its turn
        self._fill_sandboxes()
        return await (self._provider.acquire(request) if warm is None else self._sandboxes.ready(warm))

    async def jail(self, request: JailRequest) -> Jail:
        key = _jail_key(request)
        try:
            while (warm := self._jails.pop(key)) is not None:
                with suppress(SandboxError):  # a warm-up that failed some time ago says nothing of now
                    jail = await self._jails.ready(warm)
                    # An engine that was restarted meanwhile took it along, and its death would be the harness's.
                    if await jail.running():
                        return jail
                    await jail.close()
            return await self._provider.jail(request)
        finally:
            # After the cold one, which somebody waits for.
            self._fill_jails(request, key)

    async def close(self) -> None:
        self._closed = True
        self._expected.clear()
        await asyncio.gather(self._jails.close(), self._sandboxes.close())
        await super().close()

    def _fill_jails(self, request: JailRequest, key: Hashable) -> None:
        again, self._last_jail = key == self._last_jail, key
        if self._closed or not (again or not len(self._jails)):
            return  # one odd request among many alike does not cost the warm ones
        self._jails.drop(lambda kept: kept == key)
        while len(self._jails) < self._jail_room:
            self._jails.make(key, self._provider.jail(_warm(request)))

    def _forget(self, key: Hashable) -> None:
        for request in self._expected:
            if _sandbox_key(request) == key:
                self._expected.remove(request)
                return

    def _fill_sandboxes(self) -> None:
        while self._expected and len(self._sandboxes) < self._sandbox_room and not self._closed:
            request = self._expected.popleft()
            self._sandboxes.make(_sandbox_key(request), self._provider.acquire(_warm(request)))


def _warm(request: R) -> R:
    return replace(request, owner=replace(request.owner, trial=WARM))


def _sandbox_key(request: SandboxRequest) -> Hashable:
    env = tuple(sorted(request.env.items()))
    return (request.owner.study, request.image, request.limits, request.workdir, env, request.group)


def _jail_key(request: JailRequest) -> Hashable:
    return (
        request.owner.study,
        tuple(request.argv),
        request.memory_mb,
        request.pids,
        request.cpus,
        request.scratch_mb,
    )
