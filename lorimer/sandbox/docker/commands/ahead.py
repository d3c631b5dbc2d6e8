"""Execs that wait for commands, so that an agent's command does not wait for the engine to make one.

An engine takes 30 to 90 ms to make an exec, most of it of a processor. An agent's first command comes when its model has thought,
so there is time to make an exec until then: `exec.WAITING` in it waits for the command, and after that for the next one. All that
is true of a command in an exec made for it stays true: a session and an end of its own, and streams in which nobody else speaks.

- One waits: it is made when the series was idle for a moment, or with the first command. Commands at the same time have plain
  execs.
- It is told its command, says that it has it, and begins when it is told to. One that does not say so (it was killed, the stream
  was cut, the engine could not start it) has run nothing, and the command gets a plain exec. After it was told to begin, no
  command is run again.
- It takes another command once it has said that the one before left no process behind, which could write into its streams. One
  that cannot say so ends, and an exec is made for the next command.
- It reads from the host: where that end is dropped, on `close` or by the death of lorimer, it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from lorimer.errors import SandboxError
from lorimer.sandbox.base import ExecOutput
from lorimer.sandbox.docker.attached import Attached
from lorimer.sandbox.docker.commands.exec import WAITING, Collector, Invocation
from lorimer.sandbox.docker.commands.running import Begun, Execs, announced, spoken, takes_another
from lorimer.sandbox.docker.commands.stream import Demux, NotFramed
from lorimer.sandbox.docker.engine import NoAnswer
from lorimer.sandbox.streams import OUTPUT_LIMIT

IDLE_SECONDS = 0.01
"""A series that was idle for so long has somebody who thinks. A harness whose model answers at once asks again in 1 to 3 ms."""

AGAIN_SECONDS = 2.0
"""How long an exec may take after a command to say that it takes another one, which it does in two milliseconds."""

MADE_SECONDS = 15.0
"""How long an engine may take from an exec's streams to its process. One that is closed before that is still being started."""

TAKE_SECONDS = 2.0
"""How long a waiting shell may take to say that it has its command, which it does in a millisecond. One that does not is stopped
or starved; a plain exec may fare better, and the time counts for no command."""

MOST_SENT = 16 << 10
"""Bytes of a command as it is sent. A shell reads its input byte by byte, so a longer one is no faster than a plain exec."""


class RunCommand(Protocol):
    """Runs a command that `begin` begins; see `DockerSandbox.run`."""

    async def __call__(
        self, command: str, begin: Begin, *, timeout: float, cwd: str | None, output_limit: int
    ) -> ExecOutput: ...


class Begin(Protocol):
    """Begins a command whose streams may keep `limit` bytes. Raises EngineError."""

    async def __call__(self, invocation: Invocation, limit: int) -> Begun: ...


@dataclass(frozen=True)
class WaitingExec:
    """An exec whose next command is to come."""

    execution: str
    attached: Attached
    demux: Demux
    """Takes its frames apart, of whichever command they are."""

    async def begin(self, invocation: Invocation, limit: int, keep: Callable[[Begun], None]) -> Begun | None:
        """Give it its command and let it begin; `None` where it did not take it, so that nothing was run.

        Args:
            keep: takes its streams over when that command has ended.
        """
        collector = Collector(invocation.nonce, limit, demux=self.demux)
        try:
            await self.attached.write(invocation.sent())
            if not await announced(self.attached, collector, TAKE_SECONDS):
                return None
        except NotFramed:
            return None
        await self.attached.write(b"\n")
        return Begun(self.execution, self.attached, collector, keep)


class AheadSeries:
    """A `Series` of one container.

    Args:
        run: runs a command that is begun as it is told.
        idle: seconds without a command after which an exec is made for the next one.
    """

    def __init__(
        self, execs: Execs, run: RunCommand, *, env: Mapping[str, str] | None, user: str | None, idle: float
    ) -> None:
        self._execs, self._run = execs, run
        self._env, self._user, self._idle = env, user, idle
        self._timer: asyncio.TimerHandle | None = None
        self._making: asyncio.Task[WaitingExec | None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._running = 0
        self._closed = False
        self._plan()

    async def exec(
        self, command: str, *, timeout: float, cwd: str | None = None, output_limit: int = OUTPUT_LIMIT
    ) -> ExecOutput:
        """See Series."""
        self._running += 1
        try:
            return await self._run(command, self._begin, timeout=timeout, cwd=cwd, output_limit=output_limit)
        finally:
            self._running -= 1
            self._plan()

    async def close(self) -> None:
        """See Series. Where the caller is cancelled, the container goes too: what is just being started there is not awaited."""
        self._closed = True
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            self._drop()
        else:
            await self.settle()

    def abandon(self) -> None:
        """Like `close`, without waiting for an exec that is just being made."""
        self._closed = True
        self._drop()

    async def settle(self) -> None:
        """Nothing waits in the container, and nothing is being started, until a further command has ended.

        To be done before the container is paused: an engine that does so while it starts an exec can no longer stop, remove or
        resume the container (20.10 with cgroup v1).
        """
        self._drop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _drop(self) -> None:
        making = self._taken()
        if making is not None:
            self._discard(making)

    def _plan(self) -> None:
        if not (self._closed or self._running or self._timer or self._making):
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._make)

    def _make(self) -> None:
        self._timer = None
        self._making = asyncio.get_running_loop().create_task(self._made())

    async def _made(self) -> WaitingExec | None:
        # Where it fails, the command's own exec will tell what is wrong.
        with suppress(SandboxError):
            return await self._new()
        return None

    async def _new(self) -> WaitingExec | None:
        execution, attached = await self._execs.start(WAITING, env=self._env, user=self._user, stdin=True)
        demux = Demux()
        with suppress(NotFramed):
            if await spoken(attached, demux, MADE_SECONDS):
                return WaitingExec(execution, attached, demux)
        attached.close()
        return None

    def _keep(self, begun: Begun) -> None:
        """Wait for the next command in the exec of one that has ended."""
        if self._closed or self._timer or self._making:
            begun.attached.close()
        else:
            self._making = asyncio.get_running_loop().create_task(self._kept(begun))

    async def _kept(self, begun: Begun) -> WaitingExec | None:
        with suppress(SandboxError, NotFramed):
            if await takes_another(begun.attached, begun.collector, AGAIN_SECONDS):
                return WaitingExec(begun.execution, begun.attached, begun.collector.demux)
        begun.attached.close()
        return None if self._closed else await self._made()

    def _taken(self) -> asyncio.Task[WaitingExec | None] | None:
        """The exec for the next command, which is the caller's now. One that is not begun is not made."""
        if self._timer is not None:
            self._timer.cancel()
        making, self._timer, self._making = self._making, None, None
        return making

    async def _begin(self, invocation: Invocation, limit: int) -> Begun:
        if len(invocation.sent()) <= MOST_SENT:
            making = self._taken()
            if making is None and self._running == 1 and not self._closed:
                making = asyncio.get_running_loop().create_task(self._new())
            begun = None if making is None else await self._begin_in(making, invocation, limit)
            if begun is not None:
                return begun
        return await self._execs.begin(invocation, limit, env=self._env, user=self._user)

    async def _begin_in(
        self, making: asyncio.Task[WaitingExec | None], invocation: Invocation, limit: int
    ) -> Begun | None:
        begun = None
        try:
            # One that is half made is there sooner than another that is begun now.
            waiting = await asyncio.shield(making)
            begun = None if waiting is None else await waiting.begin(invocation, limit, self._keep)
            return begun
        except NoAnswer:
            raise
        except SandboxError:
            return None  # the engine refused it, and will say of the plain exec why
        finally:
            if begun is None:
                self._discard(making)

    def _discard(self, making: asyncio.Task[WaitingExec | None]) -> None:
        """End it, as soon as it is made."""

        async def discard() -> None:
            with suppress(SandboxError):
                waiting = await making
                if waiting is not None:
                    waiting.attached.close()

        task = asyncio.get_running_loop().create_task(discard())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
