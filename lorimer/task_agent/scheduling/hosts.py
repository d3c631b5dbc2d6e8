"""Trials on several engines or nodes. One that stops answering loses the trials that it runs, which are tried on another."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Generic

from lorimer.benchmarks.base import Task
from lorimer.errors import EngineOutage, ImageError, PrerequisiteError, SandboxError
from lorimer.sandbox.base import ImageSpec
from lorimer.sandbox.hosts import Host, Hosts, P
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.scheduling.executor import Executor
from lorimer.task_agent.spec import TrialSpec
from lorimer.traces.schema import TrialEnd, TrialState

OF_ITS_HOST = frozenset({Cause.ENGINE_OUTAGE, Cause.ENGINE_FAILURE, Cause.SANDBOX_LOST, Cause.IMAGE_BUILD})
"""Causes after which a trial is tried on another host, where one has a place."""


class OnHosts(Generic[P]):
    """An `Executor` on several hosts.

    Args:
        on: what runs the trials of one of them.
    """

    def __init__(self, hosts: Hosts[P], on: Callable[[P], Executor]) -> None:
        self._hosts, self._on = hosts, on
        self._failed: dict[str, set[str]] = {}
        """Planned trials, and the hosts that they failed on."""
        self._without: dict[ImageSpec, set[str]] = {}
        """Images, and the hosts that cannot have them."""

    async def image(self, spec: ImageSpec) -> int | None:
        """See Executor. A host that does not answer does without, and makes the image for its first trial later.

        Hosts that cannot have it are told of, and trials that need it are run by the others. Raises what the first says where
        none of them has it.
        """
        hosts = self._hosts.up
        made = await asyncio.gather(*(self._image(host, spec) for host in hosts))
        refused = [(host, each) for host, each in zip(hosts, made, strict=True) if isinstance(each, SandboxError)]
        if not self._hosts.up:
            raise EngineOutage("; ".join(f"{host.url}: {host.down}" for host in self._hosts.all))
        if refused and len(refused) == len(hosts):
            raise refused[0][1]
        for host, error in refused:
            self._without.setdefault(spec, set()).add(host.url)
            self._hosts.lacks(host, str(error))
        return max((size for size in made if isinstance(size, int)), default=None)

    async def run(self, spec: TrialSpec, task: Task, *, opened: bool) -> TrialEnd:
        planned = spec.start.planned.id
        without = {url for image in task.images() for url in self._without.get(image, ())}
        async with self._hosts.place(self._failed.get(planned, ()), without) as host:
            try:
                end = await self._on(host.provider).run(spec, task, opened=opened)
            except PrerequisiteError as error:
                await self._hosts.failed(host, error)  # the others may have what it lacks
                end = TrialEnd(spec.start.id, TrialState.ERRORED, Cause.ENGINE_OUTAGE.value, str(error))
            if end.cause == Cause.ENGINE_OUTAGE and not host.unfit:
                self._hosts.lost(host, end.detail)
        if end.cause not in OF_ITS_HOST:
            self._failed.pop(planned, None)
            return end
        self._failed.setdefault(planned, set()).add(host.url)
        return dataclasses.replace(end, detail=f"{host.url}: {end.detail}")

    async def answers(self) -> None:
        await self._hosts.look()

    def at_once(self, trials: int) -> None:
        self._hosts.at_once(trials)

    async def _image(self, host: Host[P], spec: ImageSpec) -> int | SandboxError | None:
        """Its bytes on a host, `None` where there are none or the host is lost; or why it cannot be had there."""
        try:
            return await self._on(host.provider).image(spec)
        except EngineOutage as error:
            self._hosts.lost(host, str(error))
            return None
        except PrerequisiteError as error:
            await self._hosts.failed(host, error)
            return None
        except ImageError as error:
            return ImageError(f"{host.url}: {error}", error.log)
        except SandboxError as error:
            return SandboxError(f"{host.url}: {error}")
