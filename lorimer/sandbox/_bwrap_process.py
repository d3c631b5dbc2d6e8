"""Running bubblewrap sandboxes and jails: the processes, their sockets, and the protocol of `_bwrap_serve`."""

from __future__ import annotations

import asyncio
import os
import posixpath
import socket
import subprocess
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.errors import SandboxError
from lorimer.sandbox.base import ExecOutput, JailExit, LineTooLong, SandboxFileError

LINE_LIMIT = 16 << 20
STDERR_LIMIT = 64 << 10
START_TIMEOUT = 20.0
"""Seconds. A start takes 0.04; a machine that swaps takes longer."""
ANSWER_GRACE = 15.0
"""Seconds beyond its own timeout in which a request must be answered, else the sandbox is given up."""
END_TIMEOUT = 5.0
"""Seconds to wait for the kernel to tear a namespace down before killing bwrap itself as well."""
BATCH = 4 << 20
"""Bytes of file content in one frame of `put`."""
CONTENT_SPARE = 1 << 20
"""Bytes of names and lengths that a frame may hold beside its content."""


@dataclass(frozen=True)
class Launch:
    """A bwrap command line: `command`, the number of the control descriptor, `rest`."""

    command: list[str]
    rest: list[str]


class HeadTail:
    """The first and last halves of `cap` bytes of a stream, and how many were dropped between."""

    def __init__(self, cap: int) -> None:
        self._half = cap // 2
        self._head, self._tail = bytearray(), bytearray()
        self._total = 0

    def feed(self, data: bytes) -> None:
        """Take some more."""
        self._total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def finish(self) -> tuple[bytes, int]:
        """What was kept, and the number of bytes that were not."""
        kept = bytes(self._head) + bytes(self._tail[-self._half :])
        return kept, self._total - len(kept)


class BwrapProcess:
    """One bwrap and the control socket whose end ends it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.ended = asyncio.Event()
        self._pidfd = -1

    def spawn(self, wire: socket.socket | None, stderr: int) -> None:
        """Start it from this thread: the parent-death signal is the thread's.

        Raises:
            SandboxError: bwrap cannot be run.
        """
        self.control, theirs = socket.socketpair()
        with theirs:
            inside = wire.fileno() if wire is not None else subprocess.DEVNULL
            command = [*self._launch.command, str(theirs.fileno()), *self._launch.rest]
            try:
                self.process = subprocess.Popen(
                    command, stdin=inside, stdout=inside, stderr=stderr, pass_fds=[theirs.fileno()], env={}
                )
            except OSError as error:
                self.control.close()
                raise SandboxError(f"cannot run {command[0]}: {error.strerror}") from error
        self.control.setblocking(False)
        self._pidfd = os.pidfd_open(self.process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reaped)

    def _reaped(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.process.wait()
        self.ended.set()

    async def end(self) -> None:
        """Hang up and wait until nothing of it is left: bwrap ends after its namespace's last process."""
        self.control.close()
        try:
            await asyncio.wait_for(self.ended.wait(), END_TIMEOUT)
        except TimeoutError:
            self.process.kill()
            await self.ended.wait()


class _Closing:
    """Runs a clean-up once, to its end, even if those who wait for it are cancelled."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        return self._task is not None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(work)
        else:
            work.close()
        await asyncio.shield(self._task)


def _pack(fields: list[bytes]) -> bytes:
    body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return len(body).to_bytes(4, "big") + body


def _unpack(body: bytes) -> list[bytes]:
    fields, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        fields.append(body[at + 4 : end])
        at = end
    return fields


class _Channel:
    """Requests to one life's PID 1 and its answers, several at a time.

    What comes back is not trusted to be well-formed or small: PID 1 runs as the agent's user.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}
        self._expected: dict[bytes, int] = {}
        self._next = 0
        self._error = SandboxError("the sandbox ended unexpectedly")
        self.lost = False
        self._listener = asyncio.ensure_future(self._listen())

    def expect(self, answer: bytes) -> asyncio.Future[list[bytes]]:
        """A future for the answer of that id; used for the greeting, whose id is 0."""
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        if self.lost:
            future.set_exception(self._error)
        else:
            self._waiting[answer] = future
        return future

    async def ask(self, operation: bytes, *fields: bytes, timeout: float, room: int = 0) -> list[bytes]:
        """Send a request and wait for the fields of its answer.

        Args:
            timeout: seconds.
            room: bytes of content that the answer may hold.

        Raises:
            SandboxError: no answer, or not a proper one.
            SandboxFileError: the sandbox says that the file cannot be had.
        """
        self._next += 1
        request = b"%d" % self._next
        self._expected[request] = room
        future = self.expect(request)
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(_pack([request, operation, *fields]))
                with suppress(ConnectionError):
                    await self._writer.drain()
                outcome, *rest = await future
        except TimeoutError:
            raise SandboxError("the sandbox does not answer") from None
        except asyncio.CancelledError:
            if operation == b"exec" and not self.lost:
                self._writer.write(_pack([b"0", b"kill", request]))
            raise
        finally:
            self._waiting.pop(request, None)
            self._expected.pop(request, None)
            if future.done() and not future.cancelled():
                future.exception()
        if outcome == b"ok":
            return rest
        said = b" ".join(rest).decode(errors="replace")
        if outcome == b"file":
            raise SandboxFileError(said)
        raise SandboxError(f"the sandbox failed: {said}")

    async def _listen(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > sum(self._expected.values()) + CONTENT_SPARE * (1 + len(self._expected)):
                    raise SandboxError("the sandbox sent more than it was asked for")
                answer, *fields = _unpack(await self._reader.readexactly(size))
                future = self._waiting.pop(answer, None)
                if future is not None and not future.done() and fields:
                    future.set_result(fields)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        except SandboxError as error:
            self._error = error
        finally:
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._error)
        self._waiting.clear()
        self._writer.close()

    async def close(self, reason: str) -> None:
        """Drop the connection; whoever still waits gets `SandboxError(reason)`."""
        self._error = SandboxError(reason)
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener
        self._lose()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class BubblewrapSandbox:
    """A Sandbox by bubblewrap. Everything in it runs as one unprivileged user, whatever `user` says."""

    def __init__(self, name: str, launch: Launch, env: Mapping[str, str], workdir: str, register: set[Any]) -> None:
        self._name, self._env, self._workdir, self._register = name, env, workdir, register
        self._process = BwrapProcess(launch)
        self._closing = _Closing()
        self._channel: _Channel | None = None
        self._initial: frozenset[str] = frozenset()
        self._stderr = -1

    @property
    def id(self) -> str:
        """See Sandbox."""
        return self._name

    async def start(self) -> None:
        """Start it. Raises SandboxError."""
        self._stderr, writer = os.pipe()
        os.set_blocking(self._stderr, False)
        self._register.add(self)
        try:
            try:
                self._process.spawn(None, writer)
            finally:
                os.close(writer)
            await self._begin_life()
            listed = await self._ask(b"list", timeout=START_TIMEOUT, room=CONTENT_SPARE)
            await self._ask(b"put", b"dir", os.fsencode(self._workdir), b"755", b"", timeout=START_TIMEOUT)
        except SandboxFileError as error:
            await self.close()
            raise SandboxError(f"the working folder cannot be made: {error}") from error
        except BaseException:
            await self.close()
            raise
        self._initial = frozenset(map(os.fsdecode, listed))

    async def _begin_life(self) -> None:
        mine, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=mine)
            channel = _Channel(reader, writer)
            greeting = channel.expect(b"0")
            try:
                socket.send_fds(self._process.control, [b"life"], [theirs.fileno()])
            except OSError:
                greeting.cancel()
                await channel.close("")
                raise SandboxError(f"the sandbox could not start: {await self._words()}") from None
        try:
            await asyncio.wait_for(greeting, START_TIMEOUT)
        except (SandboxError, TimeoutError):
            await channel.close("")
            raise SandboxError(f"the sandbox could not start: {await self._words()}") from None
        self._channel = channel

    async def _words(self) -> str:
        """What bwrap and the program in it said."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.ended.wait(), 1.0)
        with suppress(BlockingIOError, OSError):
            return os.read(self._stderr, 4096).decode(errors="replace").strip().replace("\n", "; ")
        return "no reason given"

    async def _ask(self, operation: bytes, *fields: bytes, timeout: float, room: int = 0) -> list[bytes]:
        if self._closing.begun or self._channel is None:
            raise SandboxError("the sandbox is closed")
        return await self._channel.ask(operation, *fields, timeout=timeout, room=room)

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        output_limit: int = 1 << 20,
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

    async def restart(self) -> None:
        """See Sandbox. `/tmp` is a part of the file system and stays; `/dev/shm` is emptied."""
        if self._closing.begun or self._channel is None:
            raise SandboxError("the sandbox is closed")
        await self._channel.close("the sandbox was restarted")
        await self._begin_life()

    async def changed_files(self) -> list[str]:
        """See Sandbox."""
        listed = await self._ask(b"list", timeout=60.0, room=64 << 20)
        now = set(map(os.fsdecode, listed))
        return sorted(now ^ self._initial)

    async def close(self) -> None:
        """See Sandbox."""
        await self._closing.run(self._close())

    async def _close(self) -> None:
        if self._channel is not None:
            await self._channel.close("the sandbox is closed")
        if hasattr(self._process, "process"):
            await self._process.end()
        os.close(self._stderr)
        self._register.discard(self)

    def _at(self, path: str | None) -> str:
        return posixpath.join(self._workdir, path or "")

    def _path(self, path: str) -> bytes:
        encoded = os.fsencode(self._at(path))
        if not path or b"\0" in encoded:
            raise SandboxFileError(f"{path!r}: not a path")
        return encoded


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


class BubblewrapJail:
    """A Jail by bubblewrap."""

    def __init__(self, name: str, launch: Launch, register: set[Any]) -> None:
        self._name, self._register = name, register
        self._process = BwrapProcess(launch)
        self._closing = _Closing()
        self._errors = HeadTail(STDERR_LIMIT)
        self._result: JailExit | None = None

    @property
    def id(self) -> str:
        """See Jail."""
        return self._name

    async def start(self) -> None:
        """Start it. Raises SandboxError."""
        mine, theirs = socket.socketpair()
        errors, errors_theirs = socket.socketpair()
        try:
            with theirs, errors_theirs:
                self._process.spawn(theirs, errors_theirs.fileno())
        except SandboxError:
            mine.close()
            errors.close()
            raise
        self._register.add(self)
        self._reader, self._writer = await asyncio.open_connection(sock=mine, limit=LINE_LIMIT)
        self._error_reader, self._error_writer = await asyncio.open_connection(sock=errors)
        self._collector = asyncio.ensure_future(self._collect())

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
        try:
            return (await self._reader.readuntil(b"\n"))[:-1]
        except asyncio.LimitOverrunError:
            raise LineTooLong(f"a line of more than {LINE_LIMIT} bytes") from None
        except asyncio.IncompleteReadError as end:
            return end.partial or None
        except ConnectionError:
            return None

    async def wait(self) -> JailExit:
        """See Jail."""
        if self._result is None:
            await self._process.ended.wait()
            await self._collector
            self._result = self._read_result()
        return self._result

    def _read_result(self) -> JailExit:
        stderr, dropped = self._errors.finish()
        try:
            code, _, killed = self._process.control.recv(64).partition(b" ")
            return JailExit(int(code), killed.strip() == b"1", stderr, dropped)
        except (OSError, ValueError):  # closed by us, or bwrap itself failed before there was a program
            return JailExit(None, False, stderr, dropped)

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
        self._register.discard(self)
