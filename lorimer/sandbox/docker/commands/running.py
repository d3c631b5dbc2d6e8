"""Execs of one container: started, listened to, asked how they ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lorimer.errors import SandboxError
from lorimer.sandbox.docker.attached import Attached
from lorimer.sandbox.docker.commands.exec import Collector, Invocation
from lorimer.sandbox.docker.commands.stream import Demux
from lorimer.sandbox.docker.engine import Engine

KILLED = 137

WELL, CUT = 0, 126
"""What the engine tells (20.10) of a wrapper that has said all, or was never told to begin, and of one whose stream broke."""

ROOT_SECONDS = 15.0
"""How long one of lorimer's own short commands may take. Its streams stay open for good where the container dies as it begins."""

LAG_SECONDS = 5.0
"""How long after the end of a command's streams the engine may still call it running; it is milliseconds."""


@dataclass(frozen=True)
class Begun:
    """A command that runs, or is about to."""

    execution: str
    """The engine's id of its exec."""
    attached: Attached
    collector: Collector
    keep: Callable[[Begun], None] | None = None
    """Takes over the streams of a command that has ended well, for another one; `None` where each exec has one command."""

    def leave(self, *, timed_out: bool) -> None:
        """The command is over: its streams are closed, or kept for the next one."""
        if self.keep is None or timed_out or self.collector.exit_code is None:
            self.attached.close()
        else:
            self.keep(self)


@dataclass(frozen=True)
class Execs:
    """What runs in one container beside its own process."""

    engine: Engine
    container: str

    async def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, user: str | None = None, stdin: bool = False
    ) -> tuple[str, Attached]:
        """The exec's id and its streams. Raises EngineError."""
        execution = ""

        def start(client: Any) -> Any:
            nonlocal execution
            made = client.exec_create(
                self.container,
                list(argv),
                environment=dict(env or {}),
                user=user or "",
                workdir="/",  # the wrapper goes to the real one, which the agent may have deleted
                stdin=stdin,
            )
            execution = str(made["Id"])
            return client.exec_start(execution, socket=True)

        attached = await self.engine.attach("run a command", start, quick=True)
        return execution, attached

    async def begin(
        self, invocation: Invocation, limit: int, *, env: Mapping[str, str] | None = None, user: str | None = None
    ) -> Begun:
        """Start a command in an exec that is made for it. Raises EngineError."""
        execution, attached = await self.start(invocation.argv(), env=env, user=user)
        return Begun(execution, attached, Collector(invocation.nonce, limit))

    async def run_as_root(self, argv: Sequence[str], collector: Collector) -> None:
        """Run what marks its end itself. Where it does not come to it, the collector has no exit code.

        Raises EngineError, NotFramed.
        """
        _, attached = await self.start(argv, user="0")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ROOT_SECONDS):
                    await collect(attached, collector)
        finally:
            attached.close()

    async def exit_code(self, execution: str, *, announced: bool) -> int | None:
        """How a wrapper ended that could not say it; `None` where the engine never started it.

        Raises SandboxError where it could say it, and was not heard.

        Args:
            announced: whether it was heard to begin. One that was not may have begun all the same: its streams were cut before.
        """
        until = time.monotonic() + LAG_SECONDS
        while True:
            found = await self.engine.call(
                "inspect a command", lambda client: client.exec_inspect(execution), quick=True
            )
            if not found.get("Running"):
                break
            # The engine knows it a moment after all streams have ended. If it goes on, they have not: they were cut.
            if time.monotonic() > until:
                raise self._lost()
            await asyncio.sleep(0.05)
        if not announced and not found.get("Pid"):
            return None
        code = found.get("ExitCode")
        if code in (WELL, CUT):
            raise self._lost()
        return KILLED if code is None else int(code)

    def _lost(self) -> SandboxError:
        return SandboxError(f"sandbox {self.container[:12]}: the connection to a command was lost")


async def spoken(attached: Attached, demux: Demux, seconds: float) -> bool:
    """Whether a process has printed something within so many seconds: it runs. What it printed is lost. Raises NotFramed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while data := await attached.read():
                if any(piece for _, piece in demux.feed(data)):
                    return True
    return False


async def announced(attached: Attached, collector: Collector, seconds: float) -> bool:
    """Whether a wrapper has said, within so many seconds, which session is its own. Raises NotFramed."""
    return await _heard(attached, collector, lambda: collector.session is not None, seconds)


async def takes_another(attached: Attached, collector: Collector, seconds: float) -> bool:
    """Whether the exec of a command that has ended says, within so many seconds, that it takes another one. Raises NotFramed."""
    return await _heard(attached, collector, lambda: collector.again, seconds)


async def collect(attached: Attached, collector: Collector) -> None:
    """Feed the collector until the command has ended, or its streams."""
    await _heard(attached, collector, lambda: collector.exit_code is not None)


async def _heard(
    attached: Attached, collector: Collector, said: Callable[[], bool], seconds: float | None = None
) -> bool:
    """Feed the collector until it has heard so, the streams have ended, or so many seconds have gone; whether it has."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not said() and (data := await attached.read()):
                collector.feed(data)
    return said()
