"""Sandboxes for tasks from one provider, with jails for harnesses from another beside them.

A jail needs no image, so it can be what starts fastest: bubblewrap takes an eighth of what a container takes the engine
(docs/sandboxes.md).
"""

from __future__ import annotations

import asyncio

from lorimer.sandbox.base import Jail, JailRequest, SandboxProvider
from lorimer.sandbox.forwarding import Forwarding


class JailsBeside(Forwarding):
    """A `SandboxProvider` of two; it bears the name of the one that serves the tasks.

    Args:
        sandboxes: makes everything but jails.
        jails: makes the jails; both are closed together with this.
    """

    def __init__(self, sandboxes: SandboxProvider, jails: SandboxProvider) -> None:
        super().__init__(sandboxes)
        self._jails = jails

    @property
    def jails(self) -> str:
        return self._jails.jails

    async def jail(self, request: JailRequest) -> Jail:
        return await self._jails.jail(request)

    async def reap(self) -> int:
        """See SandboxProvider. An engine that does not answer is heard of, whatever the jails are made by."""
        return await self._jails.reap() + await super().reap()

    async def close(self) -> None:
        ended = await asyncio.gather(self._jails.close(), super().close(), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
