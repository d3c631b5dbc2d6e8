"""What jails, or sandboxes, are forked from, seen from the host: see `inside.forks`."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress

from lorimer.errors import SandboxError
from lorimer.sandbox.bubblewrap.process import END_TIMEOUT, BwrapProcess, Launch, control_pair, when_ended

START_TIMEOUT = 20.0
"""Seconds. A start takes 0.03; a machine that swaps takes longer."""


class Forks:
    """A process that is forked for each jail or sandbox. It is started with the first one, and again where it has died.

    Args:
        launch: the bwrap in which it runs.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._process: BwrapProcess | None = None

    def ask(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Ask for one, which gets copies of the descriptors. Raises SandboxError."""
        if self._process is None or not self._took(request, descriptors):
            self._begin()
            # One that ends as it begins is heard of where what was asked for is awaited.
            self._took(request, descriptors)

    def _begin(self) -> None:
        if self._process is not None:
            self._process.drop()
            self._process = None
        process = BwrapProcess(self._launch)
        process.spawn()
        self._process = process

    def _took(self, request: bytes, descriptors: Sequence[int]) -> bool:
        """Whether it lives, and was asked."""
        assert self._process is not None
        try:
            socket.send_fds(self._process.control, [request], list(descriptors))
        except ConnectionError:
            return False
        except OSError as error:
            raise SandboxError(f"bubblewrap's process cannot be asked: {error.strerror}") from None
        return True

    async def words(self) -> str:
        """What it said where it does not run."""
        return "no reason given" if self._process is None else await self._process.words()

    async def close(self) -> None:
        """End it, and all that was forked from it."""
        if self._process is not None:
            await self._process.end()


class ForkedProcess:
    """Process 1 of a jail or a sandbox, and the control socket whose end ends it.

    Args:
        name: what it is called where it does not start.
        request: what it is to be, as `inside.forks` reads it.
    """

    def __init__(self, name: str, forks: Forks, request: bytes) -> None:
        self._name, self._forks, self._request = name, forks, request
        self.ended = asyncio.Event()
        self._pidfd = -1

    async def start(self, wire: socket.socket, doors: Sequence[int] = ()) -> None:
        """Start it. What it says of itself comes at `errors`.

        Args:
            wire: its stdin and stdout.
            doors: what takes it into its control group.

        Raises:
            SandboxError: it does not start; with what it said, or what it was to be forked from.
        """
        self.control, control = control_pair()
        self.errors, errors = socket.socketpair()
        self.control.setblocking(False)
        self.errors.setblocking(False)
        try:
            with control, errors:
                self._forks.ask(self._request, [control.fileno(), wire.fileno(), errors.fileno(), *doors])
            self._pidfd = await self._told()
        finally:
            if self._pidfd < 0:
                self.ended.set()
        if self._pidfd < 0:
            raise await self.failure()
        when_ended(self._pidfd, self.ended.set)

    async def _told(self) -> int:
        """What it is known by, of which it tells before all else; -1 where it ended or says nothing."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.control, heard.set)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await heard.wait()
            _, found, _, _ = socket.recv_fds(self.control, 16, 1)
        except (TimeoutError, ConnectionError):
            return -1
        finally:
            loop.remove_reader(self.control)
        return found[0] if found else -1

    async def failure(self) -> SandboxError:
        """The error for one that does not start."""
        said = b""
        with suppress(OSError):  # it says nothing
            said = self.errors.recv(4096)
        words = said.decode(errors="replace").strip().removeprefix("lorimer: ") or await self._forks.words()
        return SandboxError(f"the {self._name} could not start: {words}")

    async def end(self) -> None:
        """Hang up and wait until nothing of it is left: process 1 ends after its namespace's last. Safe where none was."""
        if not hasattr(self, "errors"):
            return
        self.control.close()
        try:
            await asyncio.wait_for(self.ended.wait(), END_TIMEOUT)
        except TimeoutError:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.ended.wait()
        self.errors.close()
