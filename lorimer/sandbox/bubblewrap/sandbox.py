"""A task sandbox by bubblewrap, seen from the host."""

from __future__ import annotations

import asyncio
import os
import posixpath
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.sandbox.base import DEEPEST_CHANGE, MOST_CHANGES, Changes, ExecOutput, Packed, Sandbox, SandboxFileError
from lorimer.sandbox.bubblewrap import setup
from lorimer.sandbox.bubblewrap.channel import CONTENT_SPARE, Channel
from lorimer.sandbox.bubblewrap.forks import START_TIMEOUT, ForkedProcess, Forks
from lorimer.sandbox.bubblewrap.process import Closing
from lorimer.sandbox.series import PlainSeries, Series
from lorimer.sandbox.streams import OUTPUT_LIMIT

ANSWER_GRACE = 15.0
"""Seconds beyond its own timeout in which a request must be answered, else the sandbox is given up."""
BATCH = 4 << 20
"""Bytes of file content in one frame of `put`."""


class BubblewrapSandbox:
    """A Sandbox by bubblewrap. Everything in it runs as one unprivileged user, whatever `user` says.

    Args:
        forks: what it is forked from.
        request: what it is to be, as `inside.holder` reads it.
        env: variables of every command.
    """

    def __init__(
        self, name: str, forks: Forks, request: bytes, env: Mapping[str, str], workdir: str, register: set[Any]
    ) -> None:
        self._name, self._env, self._workdir, self._register = name, env, workdir, register
        self._process = ForkedProcess("sandbox", forks, request)
        self._closing = Closing()
        self._channel: Channel | None = None
        self._initial: frozenset[bytes] = frozenset()
        """The entries are those that `list` gives: a folder that became a link is another one."""

    @property
    def id(self) -> str:
        """See Sandbox."""
        return self._name

    async def start(self) -> None:
        """Start it. Raises SandboxError."""
        self._register.add(self)
        try:
            mine, theirs = socket.socketpair()
            with mine, theirs:  # nothing in it reads or writes there
                await self._process.start(theirs)
            await self._begin_life()
            listed = await self._list(START_TIMEOUT, CONTENT_SPARE)
            await self._ask(b"put", b"dir", os.fsencode(self._workdir), b"755", b"", timeout=START_TIMEOUT)
        except SandboxFileError as error:
            await self.close()
            raise SandboxError(f"the working folder cannot be made: {error}") from error
        except BaseException:
            await self.close()
            raise
        self._initial = frozenset(listed)

    async def _begin_life(self) -> None:
        mine, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=mine)
            channel = Channel(reader, writer)
            greeting = channel.expect(b"0")
            try:
                socket.send_fds(self._process.control, [b"life"], [theirs.fileno()])
            except OSError:
                greeting.cancel()
                await channel.close("")
                raise await self._process.failure() from None
        try:
            await asyncio.wait_for(greeting, START_TIMEOUT)
        except (SandboxError, TimeoutError):
            await channel.close("")
            raise await self._process.failure() from None
        except asyncio.CancelledError:
            await asyncio.shield(channel.close(""))
            raise
        self._channel = channel

    async def _ask(self, operation: bytes, *fields: bytes, timeout: float, room: int = 0) -> list[bytes]:
        if self._closing.begun or self._channel is None:
            raise SandboxError("the sandbox is closed")
        return await self._channel.ask(operation, *fields, timeout=timeout, room=room)

    @property
    def workdir(self) -> str:
        """See Sandbox."""
        return self._workdir

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """See Sandbox."""
        return ()

    @property
    def search_path(self) -> tuple[str, ...]:
        """See Sandbox."""
        return tuple(setup.PATH.split(":"))

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> ExecOutput:
        """See Sandbox. `user` is not used: there is one user, and root is not to be had."""
        environ = {**self._env, **(env or {})}
        where = self._at(cwd) if cwd is not None else f"?{self._workdir}"
        fields = [f"{timeout:.3f}".encode(), b"%d" % output_limit, os.fsencode(where), os.fsencode(command)]
        if any(b"\0" in field for field in fields):
            raise SandboxError("a command and its working folder cannot hold a NUL byte")
        fields += [os.fsencode(f"{key}={value}") for key, value in environ.items()]
        started = time.monotonic()
        answer = await self._ask(b"exec", *fields, timeout=timeout + ANSWER_GRACE, room=2 * output_limit)
        try:
            code, timed_out, out_dropped, err_dropped, _, stdout, stderr = answer
            return ExecOutput(
                stdout[:output_limit],
                stderr[:output_limit],
                int(code) if code else None,
                timed_out == b"1",
                int(out_dropped),
                int(err_dropped),
                time.monotonic() - started,
            )
        except ValueError:
            raise SandboxError("the sandbox sent an answer that cannot be read") from None

    def series(self, *, env: Mapping[str, str] | None = None, user: str | None = None) -> Series:
        """See Sandbox. A command has nothing to wait for."""
        return PlainSeries(self, env, user)

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        """See Sandbox."""
        fields = [self._path(path), b"%d" % max_bytes]
        (data,) = await self._ask(b"read", *fields, timeout=60.0, room=max_bytes)
        return data

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See Sandbox."""
        await self._put(_pieces(b"file", self._path(path), data, mode))

    async def put_tree(self, source: Path, target: str) -> None:
        """See Sandbox. The files belong to the sandbox's one user, as nobody in it can be root."""
        await self._put(await asyncio.to_thread(_walk, source, self._path(target)))

    async def _put(self, entries: Iterator[tuple[bytes, ...]] | list[tuple[bytes, ...]]) -> None:
        batch: list[bytes] = []
        size = 0
        for entry in entries:
            content = entry[3]
            if size and size + len(content) > BATCH:
                await self._ask(b"put", *batch, timeout=60.0)
                batch, size = [], 0
            batch += entry
            size += len(content) + 256
        if batch:
            await self._ask(b"put", *batch, timeout=60.0)

    async def restart(self, *, look: bool = False) -> Changes | None:
        """See Sandbox. `/tmp` is a part of the file system and stays; `/dev/shm` is emptied. Nothing in it runs by itself."""
        if self._closing.begun or self._channel is None:
            raise SandboxError("the sandbox is closed")
        await self._channel.close("the sandbox was restarted")
        await self._begin_life()
        return await self.changed_files() if look else None

    async def changed_files(self) -> Changes:
        """See Sandbox."""
        now = frozenset(await self._list(60.0, 64 << 20))
        changed = self._initial ^ now
        links = frozenset(os.fsdecode(entry[1:]) for entry in changed - self._initial if entry[:1] == b"l")
        paths = {os.fsdecode(entry[1:]) for entry in changed if entry != b"c"}
        there = {entry[1:] for entry in changed & now}
        removed = frozenset(os.fsdecode(entry[1:]) for entry in changed - now if entry[1:] not in there)
        return Changes(tuple(sorted(paths)), links, removed, cut=b"c" in changed)

    async def _list(self, timeout: float, room: int) -> list[bytes]:
        # Half of the room for what frames them: a field's length and the letter.
        fields = (b"%d" % most for most in (MOST_CHANGES, DEEPEST_CHANGE, room // 2))
        return await self._ask(b"list", *fields, timeout=timeout, room=room)

    def service(self, name: str) -> Sandbox:
        """See Sandbox. There is none."""
        raise SandboxError(f"the sandbox has no service {name}")

    async def freeze(self) -> None:
        """See Sandbox. Not here: nothing holds all of its processes."""
        raise _docker_only()

    async def resume(self) -> None:
        """See Sandbox."""
        raise _docker_only()

    async def branch(self) -> Sandbox:
        """See Sandbox. Not here: what it wrote lies in memory that is its own."""
        raise _docker_only()

    async def pack(self, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str] = ()) -> Packed:
        """See Sandbox."""
        raise _docker_only()

    async def unpack(self, archive: IO[bytes]) -> None:
        """See Sandbox."""
        raise _docker_only()

    async def hosts(self) -> tuple[str, ...] | None:
        """See Sandbox. There is no network."""
        return ()

    async def running(self) -> bool:
        """See Sandbox."""
        return not self._closing.begun and not self._process.ended.is_set()

    async def close(self) -> None:
        """See Sandbox."""
        await self._closing.run(self._close())

    async def _close(self) -> None:
        if self._channel is not None:
            await self._channel.close("the sandbox is closed")
        await self._process.end()
        self._register.discard(self)

    def _at(self, path: str | None) -> str:
        return posixpath.join(self._workdir, path or "")

    def _path(self, path: str) -> bytes:
        encoded = os.fsencode(self._at(path))
        if not path or b"\0" in encoded:
            raise SandboxFileError(f"{path!r}: not a path")
        return encoded


def _docker_only() -> PrerequisiteError:
    return PrerequisiteError(
        "artifacts and isolation `fresh` need Docker; this sandbox is one of bubblewrap",
        'start a Docker Engine and set `[sandbox] provider = "docker"`, or use isolation `restart`',
    )


def _pieces(kind: bytes, path: bytes, data: bytes, mode: int) -> Iterator[tuple[bytes, ...]]:
    """Entries of `put` for one file; only the last sets its mode, as a write-protected file takes no more."""
    for at in range(0, max(len(data), 1), BATCH):
        last = at + BATCH >= len(data)
        yield (b"more" if at else kind, path, b"%o" % (mode if last else 0o600), data[at : at + BATCH])


def _walk(source: Path, target: bytes) -> list[tuple[bytes, ...]]:
    """Entries of `put` for a host folder. Raises SandboxFileError for a link that leaves it."""
    root = source.resolve()
    if not root.is_dir():
        raise SandboxFileError(f"{source}: is not a directory")
    entries: list[tuple[bytes, ...]] = [(b"tree", target, b"755", b"")]
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        for name in sorted([*folders, *files]):
            path = here / name
            inside = posixpath.join(target, os.fsencode(path.relative_to(root)))
            mode = path.lstat().st_mode
            if path.is_symlink():
                link = path.readlink()
                if link.is_absolute() or not path.resolve().is_relative_to(root):
                    raise SandboxFileError(f"{path.relative_to(root)}: a link that leaves the folder")
                entries.append((b"link", inside, b"0", os.fsencode(link)))
            elif path.is_dir():
                entries.append((b"tree", inside, b"%o" % (mode & 0o777), b""))
            elif path.is_file():
                entries += _pieces(b"new", inside, path.read_bytes(), mode & 0o777)
            else:
                raise SandboxFileError(f"{path.relative_to(root)}: is not a regular file")
    return entries
