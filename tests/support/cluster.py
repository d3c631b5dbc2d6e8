"""Nodes of a cluster in the tests' own process. All that is said is pickled, as it is on the way to another machine."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from lorimer.benchmarks.base import Task
from lorimer.errors import EngineOutage, LorimerError
from lorimer.sandbox.base import ImageSpec, SandboxProvider
from lorimer.sandbox.hosts import Host, Hosts
from lorimer.task_agent.cluster.messages import Said, Told
from lorimer.task_agent.cluster.node import Link, Node, OnNode, WorkerLost
from lorimer.task_agent.cluster.worker import NodeResources, TaskModelSpec, Worker
from lorimer.task_agent.scheduling.hosts import OnHosts
from lorimer.task_agent.trial import Machine
from tests.support.trials import USD_PER_TOKEN

T = TypeVar("T")


class InProcess(Link):
    """The way to a worker that may be lost, and started anew."""

    def __init__(self, provider: SandboxProvider, tasks: Mapping[str, Task]) -> None:
        self._world = NodeResources(provider, tasks.__getitem__, lambda into, out: (into + out) * USD_PER_TOKEN)
        self._gone = asyncio.Event()
        self.opened = 0
        """How many workers were started."""
        self.away = False
        """Whether no worker can be started."""
        self.said: list[Said] = []
        """All that was heard from here."""
        self.worker: Worker

    async def open(self) -> Link:
        if self.away:
            raise EngineOutage("it has left the cluster")
        self.opened += 1
        self._gone = asyncio.Event()
        self.worker = Worker(self._world, TaskModelSpec("scripted/model", 100))
        return self

    def lose(self) -> None:
        """The worker is killed."""
        self._gone.set()

    async def run(self, written: str) -> None:
        await self._there(lambda: self.worker.run(written))

    async def image(self, spec: ImageSpec) -> int | None:
        return await self._there(lambda: self.worker.image(_copied(spec)))

    async def take(self) -> list[Said]:
        taken: list[Said] = _copied(await self._there(self.worker.outbox.take))
        self.said += taken
        return taken

    async def tell(self, events: Sequence[Told]) -> None:
        async def told() -> None:
            self.worker.tell(_copied(list(events)))

        await self._there(told)

    async def answers(self) -> None:
        await self._there(self.worker.answers)

    async def reap(self) -> int:
        return await self._there(self.worker.reap)

    async def close(self) -> None:
        await self.worker.close()

    async def _there(self, ask: Callable[[], Awaitable[T]]) -> T:
        gone = asyncio.ensure_future(self._gone.wait())
        work = asyncio.ensure_future(ask())
        try:
            await asyncio.wait([gone, work], return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise WorkerLost("its worker is gone: killed")
            return work.result()
        except LorimerError as error:
            raise _copied(error) from None
        finally:
            gone.cancel()
            work.cancel()


def _copied(what: Any) -> Any:
    return pickle.loads(pickle.dumps(what))


def on_cluster(links: Sequence[InProcess], machine: Machine, told: list[str] | None = None) -> OnHosts[Node]:
    """An executor on these nodes."""
    hosts = [Host(f"node {at}", Node(link.open)) for at, link in enumerate(links)]
    tell = (told if told is not None else list[str]()).append
    return OnHosts(Hosts(hosts, most=4, seconds=60, tell=tell), lambda node: OnNode(node, machine))
