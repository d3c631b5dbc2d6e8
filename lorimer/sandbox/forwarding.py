"""A provider in front of another one, for those that change a part of what it does."""

from __future__ import annotations

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


class Forwarding:
    """A `SandboxProvider` that hands every call on to another one.

    Args:
        provider: who answers; closed together with this.
    """

    def __init__(self, provider: SandboxProvider) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def jails(self) -> str:
        return self._provider.jails

    def refusal(self, needs: Needs) -> Refusal | None:
        return self._provider.refusal(needs)

    async def prepare(self, spec: ImageSpec) -> str:
        return await self._provider.prepare(spec)

    async def image_bytes(self, image: str) -> int | None:
        return await self._provider.image_bytes(image)

    async def image_digest(self, image: str) -> str:
        return await self._provider.image_digest(image)

    async def remove_images(self) -> RemovedImages:
        return await self._provider.remove_images()

    async def acquire(self, request: SandboxRequest) -> Sandbox:
        return await self._provider.acquire(request)

    async def jail(self, request: JailRequest) -> Jail:
        return await self._provider.jail(request)

    async def answers(self) -> None:
        await self._provider.answers()

    async def reap(self) -> int:
        return await self._provider.reap()

    async def close(self) -> None:
        await self._provider.close()
