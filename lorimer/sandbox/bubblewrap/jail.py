"""A jail by bubblewrap, seen from the host."""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext, suppress
from typing import Any

from lorimer.sandbox.base import JailExit, LineTooLong
from lorimer.sandbox.bubblewrap.cgroup import JailGroup
from lorimer.sandbox.bubblewrap.forks import ForkedProcess, Forks
from lorimer.sandbox.bubblewrap.process import Closing
from lorimer.sandbox.streams import LINE_LIMIT, STDERR_LIMIT, HeadTail

_KILLED = 137


class BubblewrapJail:
    """A Jail by bubblewrap.

    Args:
        forks: what it is forked from.
        request: what it is to be, as `inside.forks` reads it.
        group: its control group, which goes with it; `None` where there is none.
    """

    def __init__(
        self, name: str, forks: Forks, request: bytes, register: set[Any], group: JailGroup | None = None
    ) -> None:
        self._name, self._register, self._group = name, register, group
        self._process = ForkedProcess("jail", forks, request)
        self._closing = Closing()
        self._errors = HeadTail(STDERR_LIMIT)
        self._result: JailExit | None = None

    @property
    def id(self) -> str:
        """See Jail."""
        return self._name

    async def start(self) -> None:
        """Start it. Raises SandboxError."""
        mine, theirs = socket.socketpair()
        try:
            with theirs, nullcontext(()) if self._group is None else self._group.doors() as doors:
                await self._process.start(theirs, doors)
            self._reader, self._writer = await asyncio.open_connection(sock=mine, limit=LINE_LIMIT)
            try:
                self._error_reader, self._error_writer = await asyncio.open_connection(sock=self._process.errors)
            except BaseException:
                self._writer.close()
                raise
        except BaseException:
            mine.close()
            await asyncio.shield(self._give_up())
            raise
        self._register.add(self)
        self._collector = asyncio.ensure_future(self._collect())

    async def _give_up(self) -> None:
        """End what was started and has nobody to talk to."""
        await self._process.end()
        if self._group is not None:
            await self._group.remove()

    async def _collect(self) -> None:
        with suppress(ConnectionError):
            while data := await self._error_reader.read(1 << 16):
                self._errors.feed(data)

    async def send(self, line: bytes) -> None:
        """See Jail."""
        with suppress(ConnectionError, RuntimeError):  # RuntimeError: closed by us
            self._writer.write(line + b"\n")
            await self._writer.drain()

    async def receive(self) -> bytes | None:
        """See Jail."""
        if self._closing.begun:
            return None
        try:
            return (await self._reader.readuntil(b"\n"))[:-1]
        except asyncio.LimitOverrunError:
            raise LineTooLong(f"a line of more than {LINE_LIMIT} bytes") from None
        except asyncio.IncompleteReadError as end:
            return end.partial or None
        except ConnectionError:
            return None

    async def running(self) -> bool:
        """See Jail."""
        return not self._process.ended.is_set()

    async def wait(self) -> JailExit:
        """See Jail."""
        if self._result is None:
            await self._process.ended.wait()
            await self._collector
            self._result = self._read_result()
        return self._result

    def _read_result(self) -> JailExit:
        stderr, dropped = self._errors.value(), self._errors.dropped
        by_kernel = self._group is not None and self._group.out_of_memory()
        try:
            code, _, killed = self._process.control.recv(64).partition(b" ")
            return JailExit(int(code), by_kernel or killed.strip() == b"1", stderr, dropped)
        except (OSError, ValueError):
            # Closed by us, bwrap itself failed before there was a program, or the kernel took process 1 for memory.
            return JailExit(_KILLED if by_kernel else None, by_kernel, stderr, dropped)

    async def close(self) -> None:
        """See Jail."""
        await self._closing.run(self._close())

    async def _close(self) -> None:
        if self._process.ended.is_set() and self._result is None:
            self._result = self._read_result()
        self._writer.close()
        await self._process.end()
        await self._collector
        self._error_writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        with suppress(ConnectionError):
            await self._error_writer.wait_closed()
        if self._result is None:
            self._result = self._read_result()
        if self._group is not None:
            await self._group.remove()
        self._register.discard(self)
