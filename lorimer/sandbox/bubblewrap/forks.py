"""What jails are forked from, seen from the host: see `inside.forks`."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from lorimer.errors import SandboxError
from lorimer.sandbox.bubblewrap.process import BwrapProcess, Launch


class JailForks:
    """A process that is forked for each jail. It is started with the first one, and again where it has died.

    Args:
        launch: the bwrap in which it runs.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._process: BwrapProcess | None = None

    def ask(self, request: bytes, descriptors: Sequence[int]) -> None:
        """Ask for a jail, which gets copies of the descriptors. Raises SandboxError."""
        if self._process is None or not self._took(request, descriptors):
            self._begin()
            self._took(request, descriptors)  # one that ends as it begins is heard of where the jail is awaited

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
            raise SandboxError(f"a jail cannot be asked for: {error.strerror}") from None
        return True

    async def words(self) -> str:
        """What it said where it does not run."""
        return "no reason given" if self._process is None else await self._process.words()

    async def close(self) -> None:
        """End it, and all jails with it."""
        if self._process is not None:
            await self._process.end()
