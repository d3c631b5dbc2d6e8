"""Where what is known of a key is kept: in a small file of the user's that all processes of the machine share, or in memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from lorimer.models.flow.control import Flow
from lorimer.processes import exists, is_stopped, started

T = TypeVar("T")

LOCK_SECONDS = 0.05
"""How long to wait for another process that looks at the same file, which takes it a tenth of a millisecond. One that was stopped
in the middle of that holds nobody up for longer."""

ALONE_SECONDS = 10.0
"""How long a file that could not be had is left alone then."""

SWEEP_SECONDS = 1.0
"""How often a client looks for requests of killed and of stopped processes."""

STOPPED_SECONDS = 10.0
"""How long a process has to be found stopped until its requests count no more: the provider has given them up, or will."""

ROUNDS = 50_000
"""PBKDF2 repeats itself so often, for 20 ms once a client: even a short key is slow to guess from the name of its file."""


class Place(Protocol):
    """Keeps a `Flow` for one client."""

    def change(self, work: Callable[[Flow], tuple[Flow, T]]) -> T:
        """Put what `work` makes of the flow in its place, and return what it says besides."""
        ...

    def close(self) -> None: ...


class InMemory:
    """A place that no other client sees."""

    def __init__(self) -> None:
        self._flow = Flow()

    def change(self, work: Callable[[Flow], tuple[Flow, T]]) -> T:
        """See Place."""
        self._flow, said = work(self._flow)
        return said

    def close(self) -> None:
        """See Place."""


class InFile:
    """A place that all clients of this machine's user see: a file that is locked for each look at it, and never waited for long.

    What a killed process leaves in it, be it half written, harms nobody: its requests are taken out when another client looks,
    and what cannot be read is nothing. The requests of a process that is suspended are taken out too; it puts them back when it
    goes on. While the file cannot be had, the client goes by what it last saw. Raises OSError where there can be no such file.
    """

    def __init__(self, path: Path) -> None:
        import fcntl

        self._lock, self._exclusive, self._unlock = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._swept, self._alone_until = -SWEEP_SECONDS, 0.0
        self._seen = Flow()
        self._stopped: dict[str, float] = {}
        """Clients whose process is stopped, and since when this one has found it so."""

    def change(self, work: Callable[[Flow], tuple[Flow, T]]) -> T:
        """See Place."""
        if not self._locked():
            self._seen, said = work(replace(self._seen, users={}))
            return said
        try:
            self._seen, said = work(self._read())
            self._write(self._seen)
        finally:
            with suppress(OSError):
                self._lock(self._file, self._unlock)
        return said

    def _read(self) -> Flow:
        try:
            return self._swept_clean(read(os.pread(self._file, 1 << 20, 0)))
        except OSError:  # a folder on a server that went away
            return replace(self._seen, users={})

    def _write(self, flow: Flow) -> None:
        written = _FLOW.dump_json(flow)
        with suppress(OSError):  # a full disk: the next one reads what was there before, or nothing
            os.pwrite(self._file, written, 0)
            os.ftruncate(self._file, len(written))

    def close(self) -> None:
        """See Place."""
        os.close(self._file)

    def _locked(self) -> bool:
        now = time.monotonic()
        if now < self._alone_until:
            return False
        while True:
            try:
                self._lock(self._file, self._exclusive)
                return True
            except BlockingIOError:
                if time.monotonic() >= now + LOCK_SECONDS:
                    self._alone_until = time.monotonic() + ALONE_SECONDS
                    return False
                time.sleep(0.0005)
            except OSError:  # a file system without locks, or one that went away
                return False

    def _swept_clean(self, flow: Flow) -> Flow:
        now = time.monotonic()
        if now - self._swept < SWEEP_SECONDS:
            return flow
        self._swept = now
        users = {name: user for name, user in flow.users.items() if is_alive(name)}
        self._stopped = {name: self._stopped.get(name, now) for name in users if is_stopped(_pid(name))}
        gone = {name for name, since in self._stopped.items() if now - since >= STOPPED_SECONDS}
        return replace(flow, users={name: user for name, user in users.items() if name not in gone})


_FLOW = TypeAdapter(Flow)


def read(stored: bytes) -> Flow:
    """What a file says; nothing where that makes no sense."""
    try:
        flow = _FLOW.validate_json(stored)
    except ValidationError:
        return Flow()
    users = [number for user in flow.users.values() for number in (user.flying, user.last, user.within)]
    numbers = (flow.limit or 1.0, flow.cut, flow.until, *users)
    return flow if all(math.isfinite(number) and number >= 0 for number in numbers) else Flow()


def name_of(number: int) -> str:
    """The name of a client of this process."""
    return f"{os.getpid()}:{started(os.getpid())}:{number}"


def is_alive(name: str) -> bool:
    """Whether the process of a client is still there."""
    try:
        _, start, _ = name.split(":")
        return exists(_pid(name)) and started(_pid(name)) == start
    except ValueError:
        return False


def _pid(name: str) -> int:
    return int(name.partition(":")[0])


def folder() -> Path:
    """Where the files are: in the user's folder for what programs remember (`XDG_STATE_HOME`)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "lorimer" / "requests"


def at(address: str, key: str, headers: Mapping[str, str]) -> Place:
    """The place for a key at a provider's address, named by a digest of both and of this machine; in memory where there can be
    no file.

    Args:
        headers: those that go with the key, and may be the key.
    """
    secret = json.dumps([key, sorted(headers.items())]).encode()
    digest = hashlib.pbkdf2_hmac("sha256", secret, f"{socket.gethostname()} {address}".encode(), ROUNDS, 16).hex()
    with suppress(OSError, ImportError, RuntimeError):  # read-only, no locks, no home
        return InFile(folder() / f"{digest}.json")
    return InMemory()
