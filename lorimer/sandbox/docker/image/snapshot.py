"""Containers copied as they stand: an image of the file system, and the content of the volumes, which no image holds."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from typing import Any

from lorimer.sandbox.docker.engine import Engine, EngineError
from lorimer.sandbox.docker.files import archive_of
from lorimer.sandbox.docker.labels import IMAGE


class Snapshots:
    """Images made of containers, each for one container that is started from it. They go when that container goes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._used: dict[str, str] = {}

    async def take(self, container: str) -> str:
        """The id of an image of the container as it is now. Its processes are stopped meanwhile. Raises EngineError.

        The image has no name and carries the container's labels, so a later process finds one that was left.
        """

        async def take() -> str:
            made = await self._engine.call(
                "take a snapshot", lambda client: client.commit(container, conf={"Labels": {IMAGE: "snapshot"}})
            )
            return str(made["Id"])

        return await self._engine.make(take(), self.forget)

    def use(self, image: str, container: str) -> None:
        """Remember which container was made of a snapshot."""
        self._used[container] = image

    def of(self, container: str) -> str:
        """The snapshot that a container was made of; empty for one that was not. Forgets it."""
        return self._used.pop(container, "")

    async def copy_volumes(self, source: str, target: str) -> None:
        """Copy what lies in the source's volumes to the same places of the target, which has volumes there too."""
        found = await self._engine.call(
            "inspect a container", lambda client: client.inspect_container(source), quick=True
        )
        for mount in found.get("Mounts") or ():
            place = str(mount["Destination"])

            def copy(client: Any, place: str = place) -> None:
                with archive_of(client, source, place) as chunks:
                    client.put_archive(target, posixpath.dirname(place), chunks)

            await self._engine.call(f"copy the volume at {place}", copy)

    async def forget(self, image: str) -> None:
        """Remove a snapshot; one that cannot be removed now carries its labels for `lorimer gc`."""
        if not image:
            return
        with suppress(EngineError):
            await self._engine.call("remove a snapshot", lambda client: client.remove_image(image, noprune=True))
