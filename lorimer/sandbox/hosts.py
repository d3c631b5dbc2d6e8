"""Several engines or nodes, each of which runs some trials. One that stops answering is left out until it answers again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from lorimer.errors import EngineOutage, LorimerError, NotRemoved, PrerequisiteError
from lorimer.kinds import SandboxName
from lorimer.sandbox.base import Jail, JailRequest, RemovedImages, SandboxProvider
from lorimer.sandbox.forwarding import Forwarding
from lorimer.sandbox.pool import Pool
from lorimer.sandbox.select import Wanted, with_jails
from lorimer.sandbox.spread import Load, chosen

T = TypeVar("T")


class Reached(Protocol):
    """What runs trials somewhere; a `SandboxProvider` is one."""

    async def answers(self) -> None:
        """Returns where it is there. Raises EngineOutage, or PrerequisiteError for what it lacks."""
        ...

    async def reap(self) -> int:
        """Remove what dead lorimer processes left there; how many things that were. Raises SandboxError."""
        ...

    async def close(self) -> None: ...


P = TypeVar("P", bound=Reached)
"""What runs the trials of all the hosts of a study."""

AGAIN_SECONDS = 15.0
"""The pause before an engine that did not answer is asked again: a restart takes seconds, a machine's some minutes."""


@dataclass
class Host(Generic[P]):
    """One engine or node, and what is known of it now."""

    url: str
    provider: P
    share: int = 1
    taken: int = 0
    """Trials that it runs."""
    down: str = ""
    """Why it takes none; "" where it answers."""
    looked: float = 0.0
    """When it was last asked, by the monotonic clock."""
    unfit: bool = False
    """It answers, and lacks something that trials need: it is not asked again."""
    lacking: bool = False
    """It cannot have the image of some task."""

    @property
    def load(self) -> Load:
        return Load(self.url, self.share, self.taken, not self.down)


class Hosts(Generic[P]):
    """Gives each trial a place on one of several engines or nodes.

    Args:
        hosts: at least one; they are closed by `close`.
        most: trials at once, on all together.
        seconds: that an engine may take to say that it is there.
        tell: told in one line of an engine that takes no trials from now on, and why.
    """

    def __init__(
        self,
        hosts: Sequence[Host[P]],
        most: int,
        seconds: float,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.all: tuple[Host[P], ...] = tuple(hosts)
        self._most, self._seconds, self._tell = most, seconds, tell
        self._changed = asyncio.Event()
        self._looking: set[asyncio.Task[None]] = set()

    def add(self, host: Host[P]) -> None:
        """One more takes trials from now on."""
        self.all = (*self.all, host)
        self._wake()

    @property
    def up(self) -> tuple[Host[P], ...]:
        """Those that answer, as far as is known."""
        return tuple(host for host in self.all if not host.down)

    def at_once(self, most: int) -> None:
        """Let so many trials run at once from now on."""
        self._most = most
        self._wake()

    @asynccontextmanager
    async def place(self, avoid: Collection[str] = (), without: Collection[str] = ()) -> AsyncIterator[Host[P]]:
        """A place on the host that is used least, for as long as the context lasts; waited for where all are taken.

        Args:
            avoid: addresses that come last.
            without: addresses that are taken only where no other one answers.
        """
        while True:
            self._look_again()
            at = chosen([host.load for host in self.all], self._most, avoid, without)
            if at is not None:
                break
            with suppress(TimeoutError):  # one that is down says nothing when it is back
                async with asyncio.timeout(self._until_look()):
                    await self._changed.wait()
        host = self.all[at]
        host.taken += 1
        try:
            yield host
        finally:
            host.taken -= 1
            self._wake()

    def lost(self, host: Host[P], why: str) -> None:
        """A host does not answer: it takes no trial until it does again."""
        self._leave_out(host, why, f"it is asked again every {AGAIN_SECONDS:.0f} s")

    def _leave_out(self, host: Host[P], why: str, how_long: str) -> None:
        if not host.down:
            self._tell(f"warning: {host.url} takes no trials: {why}; {how_long}")
        host.down, host.looked = why, time.monotonic()
        self._wake()

    def lacks(self, host: Host[P], what: str) -> None:
        """A host has not all the images of the trials. It is told of the first: one that has no network lacks many."""
        if not host.lacking:
            host.lacking = True
            self._tell(f"warning: {host.url} takes no trials of tasks whose image it cannot have: {what}")

    async def failed(self, host: Host[P], error: PrerequisiteError) -> None:
        """A host lacks what a trial needs: it takes no more of them. Where none is left that may, the error is raised."""
        if not host.unfit:
            await self._look(host)
        if not host.down:
            host.unfit = True
            self._leave_out(host, str(error), "resume the study once it is there")
        if all(each.unfit for each in self.all):
            raise error

    async def look(self) -> None:
        """Ask every host whether it is there. Raises EngineOutage, with why, where none is."""
        await asyncio.gather(*(self._look(host) for host in self.all if not host.unfit))
        if not self.up:
            raise EngineOutage("; ".join(f"{host.url}: {host.down}" for host in self.all))

    async def close(self) -> None:
        """Close every host's provider. Raises NotRemoved with what stays behind on each."""
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        ended = await asyncio.gather(*(host.provider.close() for host in self.all), return_exceptions=True)
        left = []
        for host, error in zip(self.all, ended, strict=True):
            if isinstance(error, NotRemoved):
                left.append(f"{host.url}: {error}")
            elif isinstance(error, BaseException):
                raise error
        if left:
            raise NotRemoved("; ".join(left))

    def _wake(self) -> None:
        """Let those who wait for a place look for one again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _look_again(self) -> None:
        """Ask those that did not answer some time ago, beside the trials."""
        now = time.monotonic()
        for host in self.all:
            if host.down and not host.unfit and now - host.looked >= AGAIN_SECONDS:
                host.looked = now
                self._beside(self._look(host))

    def _until_look(self) -> float | None:
        """Seconds until a host is to be asked again; `None` where none is down."""
        looked = [host.looked for host in self.all if host.down and not host.unfit]
        return max(0.0, min(looked) + AGAIN_SECONDS - time.monotonic()) if looked else None

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, host: Host[P]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await host.provider.answers()
        except TimeoutError:
            self.lost(host, f"no answer in {self._seconds:g} s")
        except LorimerError as error:
            self.lost(host, error.problem if isinstance(error, PrerequisiteError) else str(error))
        else:
            if host.down:  # what could not be removed while it was away is there still
                self._beside(_reap(host))
            host.down, host.looked = "", time.monotonic()
            self._wake()


async def _reap(host: Host[P]) -> None:
    with suppress(LorimerError):  # tried once more when it is closed
        await host.provider.reap()


class AnyHost(Forwarding):
    """A `SandboxProvider` of several hosts, for what is no trial: jails by the first host that answers, and what clears up.

    Args:
        hosts: closed together with this.
    """

    def __init__(self, hosts: Hosts[SandboxProvider]) -> None:
        super().__init__(hosts.all[0].provider)
        self._hosts = hosts

    async def jail(self, request: JailRequest) -> Jail:
        """See SandboxProvider. One that has lost its engine is made by the next host."""
        for host in self._hosts.up:
            try:
                return await host.provider.jail(request)
            except EngineOutage as error:
                self._hosts.lost(host, str(error))
        await self._hosts.look()
        return await self._hosts.up[0].provider.jail(request)

    async def reap(self) -> int:
        """See SandboxProvider. Hosts that do not answer are left out. Raises EngineOutage where none does.

        What stays behind on one host keeps no other from being cleared up; all that stays is told together.
        """
        left: list[str] = []

        async def reap(host: Host[SandboxProvider]) -> int:
            try:
                return await host.provider.reap()
            except NotRemoved as error:
                left.append(f"{host.url}: {error}")
                return 0

        removed = sum(await self._each(reap))
        if left:
            others = f"; removed {removed} elsewhere" if removed else ""
            raise NotRemoved("; ".join(left) + others)
        return removed

    async def remove_images(self) -> RemovedImages:
        found = await self._each(lambda host: host.provider.remove_images())
        removed, kept, size = (
            sum(numbers) for numbers in zip(*((f.removed, f.kept, f.bytes) for f in found), strict=True)
        )
        return RemovedImages(removed, kept, size)

    async def _each(self, ask: Callable[[Host[SandboxProvider]], Awaitable[T]]) -> list[T]:
        """What every host that answers says, one after the other: two addresses may lead to one engine."""
        await self._hosts.look()
        found = []
        for host in self._hosts.up:
            try:
                found.append(await ask(host))
            except EngineOutage as error:
                self._hosts.lost(host, str(error))
        return found

    async def close(self) -> None:
        await self._hosts.close()


async def open_hosts(
    urls: Sequence[str],
    shares: Sequence[int],
    *,
    jails: SandboxName | None,
    wanted: Wanted,
    warm: int,
    most: int,
    seconds: float,
    tell: Callable[[str], None] = lambda line: None,
) -> Hosts[SandboxProvider]:
    """The engines at these addresses, at least one of which has just answered; the caller closes them.

    Args:
        shares: empty where all are alike.
        jails: what makes the jails; `auto` is each host's own engine.
        warm: jails that are kept ready on each.

    Raises PrerequisiteError where none answers, NoJails where the jails that are asked for do not work here.
    """
    found: list[Host[SandboxProvider]] = []
    hosts = None
    try:
        for at, url in enumerate(urls):
            there = replace(wanted, base_url=url)
            provider = await with_jails(there.docker_unseen(), jails, there)
            found.append(Host(url, Pool(provider, jails=warm), shares[at] if shares else 1))
        hosts = Hosts(found, most, seconds, tell)
        await hosts.look()
    except BaseException as error:
        await (hosts or Hosts(found, most, seconds)).close()
        if isinstance(error, EngineOutage):
            raise PrerequisiteError(
                f"none of [executor] docker_hosts answers: {error}", "start one of these engines, or name others"
            ) from None
        raise
    return hosts
