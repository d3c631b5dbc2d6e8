"""Tasks' sandboxes of one provider, with the harnesses' jails of another beside them.

A jail needs no image, so it can be what starts fastest: 15 ms by bubblewrap, where a container takes the engine 250.
"""

from __future__ import annotations

import asyncio

from lorimer.sandbox.base import (
    ImageSpec,
    Jail,
    JailRequest,
    Needs,
    Refusal,
    RemovedImages,
    Sandbox,
    SandboxProvider,
    SandboxRequest,
)


class JailsBeside:
    """A `SandboxProvider` of two; it bears the name of the one that serves the tasks.

    Args:
        sandboxes: makes everything but jails.
        jails: makes the jails; both are closed together with this.
    """

    def __init__(self, sandboxes: SandboxProvider, jails: SandboxProvider) -> None:
        self._sandboxes, self._jails = sandboxes, jails

    @property
    def name(self) -> str:
        return self._sandboxes.name

    @property
    def jails(self) -> str:
        return self._jails.jails

    def refusal(self, needs: Needs) -> Refusal | None:
        return self._sandboxes.refusal(needs)

    async def prepare(self, spec: ImageSpec) -> str:
        return await self._sandboxes.prepare(spec)

    async def image_bytes(self, image: str) -> int | None:
        return await self._sandboxes.image_bytes(image)

    async def image_digest(self, image: str) -> str:
        return await self._sandboxes.image_digest(image)

    async def remove_images(self) -> RemovedImages:
        return await self._sandboxes.remove_images()

    async def acquire(self, request: SandboxRequest) -> Sandbox:
        return await self._sandboxes.acquire(request)

    async def jail(self, request: JailRequest) -> Jail:
        return await self._jails.jail(request)

    async def reap(self) -> int:
        """See SandboxProvider. An engine that does not answer is heard of, whatever the jails are made by."""
        return await self._sandboxes.reap() + await self._jails.reap()

    async def close(self) -> None:
        ended = await asyncio.gather(self._jails.close(), self._sandboxes.close(), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
