"""A bwrap and the control socket whose end ends it, and what else processes of namespaces need."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lorimer.errors import SandboxError

END_TIMEOUT = 5.0
"""Seconds to wait for the kernel to tear a namespace down before killing its process as well."""
LAST_WORDS_SECONDS = 1.0
"""How long one may take to end that will not start: it says why before."""


@dataclass(frozen=True)
class Launch:
    """A bwrap command line: `command`, the number of the control descriptor, `rest`."""

    command: list[str]
    rest: list[str]


def control_pair() -> tuple[socket.socket, socket.socket]:
    """A control socket's two ends. Messages stay apart, and a descriptor comes with its own."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class BwrapProcess:
    """One bwrap and the control socket whose end ends it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._stderr, self._said = -1, b""
        self.ended = asyncio.Event()

    def spawn(self) -> None:
        """Start it from this thread: the parent-death signal is the thread's.

        Raises:
            SandboxError: bwrap cannot be run.
        """
        self.control, theirs = control_pair()
        self._stderr, stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        with theirs:
            command = [*self._launch.command, str(theirs.fileno()), *self._launch.rest]
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    pass_fds=[theirs.fileno()],
                    env={},
                    start_new_session=True,  # Ctrl-C and a closed terminal are for lorimer, which ends it in its own time
                )
            except OSError as error:
                self.drop()
                raise SandboxError(f"cannot run {command[0]}: {error.strerror}") from error
            finally:
                os.close(stderr)
        self.control.setblocking(False)
        when_ended(os.pidfd_open(self.process.pid), self._reaped)

    def _reaped(self) -> None:
        self.process.wait()
        self.ended.set()

    async def words(self) -> str:
        """What bwrap and the program in it said."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), LAST_WORDS_SECONDS)
        with suppress(OSError):  # there is nothing
            self._said += os.read(self._stderr, 4096)
        return self._said.decode(errors="replace").strip().replace("\n", "; ") or "no reason given"

    def drop(self) -> None:
        """Hang up. Safe to call again."""
        self.control.close()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1

    async def end(self) -> None:
        """Hang up and wait until nothing of it is left: bwrap ends after its namespace's last. Safe where none was."""
        if not hasattr(self, "process"):
            return
        self.drop()
        try:
            await asyncio.wait_for(self.ended.wait(), END_TIMEOUT)
        except TimeoutError:
            self.process.kill()
            await self.ended.wait()


def when_ended(pidfd: int, then: Callable[[], None]) -> None:
    """Do something once a process has ended, and close what it is known by. Needs a running loop."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        then()

    loop.add_reader(pidfd, ended)


class Closing:
    """Runs a clean-up once, to its end, even if those who wait for it are cancelled."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Whether it has been asked for."""
        return self._task is not None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start the work if nobody has, and wait for it."""
        if self._task is None:
            self._task = asyncio.ensure_future(work)
        else:
            work.close()
        await asyncio.shield(self._task)
