"""The images of a plan, made ready before its first trial, so that no trial's time is spent on a build."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from lorimer.benchmarks.base import Task
from lorimer.errors import SandboxError
from lorimer.sandbox.base import ImageSpec

AT_ONCE = 8
"""Images looked for at once: enough to hash contexts beside a running build. How many are built at once the provider says."""


@dataclass(frozen=True)
class ImageReport:
    """One image is ready, or cannot be had."""

    tasks: tuple[str, ...]
    """Ids of the tasks that it is for, in order."""
    done: int
    """Images so far, with this one."""
    of: int
    seconds: float
    """Since the first was begun."""
    bytes: int | None = None
    """`None` where an image is no thing of its own, or cannot be had."""
    problem: str = ""
    """Why it cannot be had. The trials of its tasks will error, with the build's log; the others run."""


class ImagePreparer:
    """Makes images ready, each once in its life.

    Args:
        ready: makes one ready wherever trials may run, and tells its bytes.
    """

    def __init__(
        self, ready: Callable[[ImageSpec], Awaitable[int | None]], on_image: Callable[[ImageReport], None]
    ) -> None:
        self._ready, self._on_image = ready, on_image
        self._seen: set[ImageSpec] = set()
        self._turn = asyncio.Lock()

    async def prepare(self, tasks: Iterable[Task]) -> None:
        """Build, pull or find the images of `tasks` that were not asked for before, and report each.

        What another plan waits for is ready as well when this returns. Raises PrerequisiteError where the provider serves no
        such images at all.
        """
        async with self._turn:
            await self._prepare(tasks)

    async def _prepare(self, tasks: Iterable[Task]) -> None:
        users: dict[ImageSpec, list[str]] = {}
        for task in tasks:
            for image in task.images():
                if image not in self._seen:
                    users.setdefault(image, []).append(task.id)
        self._seen |= users.keys()
        began, done, room = time.monotonic(), 0, asyncio.Semaphore(AT_ONCE)

        async def one(spec: ImageSpec, names: list[str]) -> None:
            nonlocal done
            size, problem = None, ""
            async with room:
                try:
                    size = await self._ready(spec)
                except (SandboxError, OSError) as error:  # of the engine; of reading a context that has changed since
                    problem = str(error)
            done += 1
            names = sorted(set(names))
            self._on_image(
                ImageReport(tuple(names), done, len(users), time.monotonic() - began, bytes=size, problem=problem)
            )

        work = [asyncio.create_task(one(spec, names)) for spec, names in users.items()]
        try:
            await asyncio.gather(*work)
        finally:
            for task_ in work:
                task_.cancel()
            await asyncio.gather(*work, return_exceptions=True)
