"""One task container."""

from __future__ import annotations

import asyncio
import posixpath
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from lorimer.errors import SandboxError
from lorimer.sandbox.artifact_tar import rewritten
from lorimer.sandbox.base import MOST_CHANGES, Changes, ExecOutput, Packed, Sandbox, SandboxFileError
from lorimer.sandbox.docker.attached import Attached
from lorimer.sandbox.docker.commands.ahead import IDLE_SECONDS, AheadSeries, Begin
from lorimer.sandbox.docker.commands.entrypoint import Entrypoint
from lorimer.sandbox.docker.commands.exec import INLINE_COMMAND, Collector, Invocation
from lorimer.sandbox.docker.commands.killing import kill_session
from lorimer.sandbox.docker.commands.running import Execs, announced, collect
from lorimer.sandbox.docker.commands.stream import NotFramed
from lorimer.sandbox.docker.engine import Engine, EngineError, NoAnswer, is_running
from lorimer.sandbox.docker.files import (
    Chunks,
    PathStat,
    archive_of,
    one_file_tar,
    put_archive,
    read_single,
    refusal,
    stat_of,
    tree_tar,
    written_in,
)
from lorimer.sandbox.series import Series
from lorimer.sandbox.streams import OUTPUT_LIMIT

T = TypeVar("T")

_MOUNTED = ("proc", "sys", "dev")
"""Kernel file systems, which the engine's archive calls do not see: they would read and write what lies hidden below."""

REMOVED = 2
"""The engine's word, in its list of changes, for a path that is there no more."""

ANNOUNCE_SECONDS = 15.0
"""How long a command may take to say which session is its own, which is the first thing that it says. Then its time begins."""

AFTERMATH_SECONDS = 0.5
"""After a kill: how long to wait for the rest of the output when a daemon of another session holds the stream open."""

RESTARTED = b"lorimer: the command could not be killed, so the container was restarted: no process in it lives on\n"


class DockerSandbox:
    """A running task container; see `lorimer.sandbox.base.Sandbox`."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        workdir: str,
        user: str,
        discard: Callable[[str], None],
        branch: Callable[[str], Awaitable[Sandbox]],
        hosts: Callable[[str], Awaitable[tuple[str, ...] | None]],
        services: Mapping[str, str],
        entrypoint: Entrypoint | None = None,
        *,
        search_path: str = "",
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._engine = engine
        self._container = container
        self._workdir = workdir
        self._user = user
        self._discard = discard
        self._branch = branch
        self._hosts = hosts
        self._services = services
        self._entrypoint = entrypoint
        self._search_path = search_path
        self._idle = idle
        self._execs = Execs(engine, container)
        self._series: list[AheadSeries] = []
        self.ended_for = ""
        """Why somebody ended it that is not its user."""
        self._closed = False
        self._ids: tuple[int, int] | None = None if user.partition(":")[0] not in ("", "0", "root") else (0, 0)

    @property
    def id(self) -> str:
        return self._container[:12]

    @property
    def workdir(self) -> str:
        """See Sandbox."""
        return self._workdir

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """See Sandbox."""
        return () if self._entrypoint is None else self._entrypoint.words

    @property
    def search_path(self) -> tuple[str, ...]:
        """See Sandbox."""
        return tuple(self._search_path.split(":"))

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
        begin = partial(self._execs.begin, env=env, user=user)
        return await self.run(command, begin, timeout=timeout, cwd=cwd, output_limit=output_limit)

    def series(self, *, env: Mapping[str, str] | None = None, user: str | None = None) -> Series:
        self._check_open()
        series = AheadSeries(self._execs, self.run, env=env, user=user, idle=self._idle)
        self._series.append(series)
        return series

    async def run(
        self, command: str, begin: Begin, *, timeout: float, cwd: str | None, output_limit: int
    ) -> ExecOutput:
        """`exec`, of a command that `begin` begins."""
        self._check_open()
        if "\0" in command:
            return ExecOutput(b"", b"the command holds a NUL byte", 126)
        invocation = Invocation(
            command, posixpath.join(self._workdir, cwd) if cwd else self._workdir, workdir_asked=cwd is not None
        )
        if len(command.encode()) > INLINE_COMMAND:
            script = f"/tmp/.lorimer-{invocation.nonce}"  # noqa: S108  in the container
            await self._put(one_file_tar(script, command.encode(), mode=0o644, ids=await self._owner()))
            invocation = replace(invocation, script_path=script)
        started = time.monotonic()
        try:
            begun = await begin(invocation, output_limit)
        except NoAnswer:
            raise
        except EngineError as error:
            return await self._could_not_run(error.explanation, started)
        attached, collector = begun.attached, begun.collector
        timed_out = restarted = False
        try:
            try:
                # What the engine needs to start it is not the command's time.
                await announced(attached, collector, ANNOUNCE_SECONDS)
                async with asyncio.timeout(timeout):
                    await collect(attached, collector)
            except TimeoutError:
                timed_out = True
                restarted = await self._end_command(attached, collector)
        except NotFramed as error:
            return await self._could_not_run(str(error), started)
        finally:
            begun.leave(timed_out=timed_out)
        collector.finish()
        exit_code = None if timed_out else collector.exit_code
        if exit_code is None and not timed_out:
            # The wrapper was killed with the command (`kill -9 -1`, out of memory, a restart).
            await self._check_running()
            exit_code = await self._execs.exit_code(begun.execution, announced=collector.session is not None)
            if exit_code is None:
                return await self._could_not_run("no such user, or no pids or memory left", started)
        return ExecOutput(
            collector.stdout.value(),
            collector.stderr.value() + (RESTARTED if restarted else b""),
            exit_code,
            timed_out=timed_out,
            stdout_dropped=collector.stdout.dropped,
            stderr_dropped=collector.stderr.dropped,
            duration=time.monotonic() - started,
        )

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        self._check_open()
        path = self._absolute(path)
        stat = await self._stat(path)
        if stat is not None and stat.is_symlink:
            # The engine follows links in the folders of a path, not in its last part; the target it names is resolved
            # in the container's root.
            path = self._absolute(stat.link_target or path)
            stat = await self._stat(path)
        if stat is None:
            raise SandboxFileError(f"{path}: no such file")
        if not stat.is_file:
            raise SandboxFileError(f"{path}: {'is a directory' if stat.is_dir else 'not a regular file'}")
        if stat.size > max_bytes:
            raise SandboxFileError(f"{path}: {stat.size} bytes, over the limit of {max_bytes}")
        return await self._file_call(
            path, f"read {path}", lambda client: read_single(client, self._container, path, max_bytes)
        )

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        self._check_open()
        path = self._absolute(path)
        stat = await self._stat(path)
        if stat is not None and stat.is_symlink:
            path = self._absolute(stat.link_target or path)  # a write goes through a link, as a shell's would
            stat = await self._stat(path)
        if stat is not None and stat.is_dir:
            raise SandboxFileError(f"{path}: is a directory")
        await self._put(one_file_tar(path, data, mode=mode, ids=await self._owner()), path, keep_folders=True)

    async def put_tree(self, source: Path, target: str) -> None:
        self._check_open()
        target = self._absolute(target)
        loop = asyncio.get_running_loop()
        with tempfile.SpooledTemporaryFile(max_size=8 << 20) as archive:
            await loop.run_in_executor(None, tree_tar, source, target, archive)
            archive.seek(0)
            await self._put(archive, target)

    async def restart(self, *, look: bool = False) -> Changes | None:
        self._check_open()
        await self._settle()
        seen = None
        if look:
            await self._engine.call("stop a container", lambda client: client.stop(self._container, timeout=1))
            seen = await self.changed_files()
        # One call: SIGKILL (the container's StopSignal), wait for the end, start. The second is for an engine that
        # still waits for the streams of a daemon that has just died.
        await self._engine.call("restart a container", lambda client: client.restart(self._container, timeout=1))
        await self.begin(again=True)
        return seen

    async def begin(self, *, again: bool = False) -> None:
        """Wait until the image's ENTRYPOINT has done its part. Raises ImageError, or SandboxError where it is run again."""
        if self._entrypoint is not None:
            await self._entrypoint.hand_over(self._execs.run_as_root, again=again)

    async def changed_files(self) -> Changes:
        self._check_open()
        found = await self._engine.call(
            "inspect a container", lambda client: client.inspect_container(self._container), quick=True
        )
        layer = (found.get("GraphDriver", {}).get("Data") or {}).get("UpperDir")
        here = await asyncio.to_thread(written_in, layer) if layer else None
        if here is not None:
            return here
        changes = await self._engine.call("list changed files", lambda client: client.diff(self._container))
        paths = sorted(str(change["Path"]) for change in changes or ())
        removed = frozenset(str(change["Path"]) for change in changes or () if change["Kind"] == REMOVED)
        return Changes(tuple(paths[:MOST_CHANGES]), removed=removed, cut=len(paths) > MOST_CHANGES)

    def service(self, name: str) -> Sandbox:
        self._check_open()
        container = self._services.get(name)
        if container is None:
            raise SandboxError(f"sandbox {self.id} has no service {name}")
        # It goes with the group, so closing it is nobody's.
        return DockerSandbox(self._engine, container, "/", "", lambda _: None, self._branch, self._hosts, {})

    async def freeze(self) -> None:
        self._check_open()
        await self._settle()
        await self._engine.call("pause a container", lambda client: client.pause(self._container))

    async def resume(self) -> None:
        self._check_open()
        await self._engine.call("resume a container", lambda client: client.unpause(self._container))

    async def branch(self) -> Sandbox:
        self._check_open()
        await self._settle()
        return await self._branch(self._container)

    async def pack(self, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str] = ()) -> Packed:
        self._check_open()
        path = self._absolute(path)
        stat = await self._stat(path)
        source = stat.link_target or path if stat is not None and stat.is_symlink else path
        if stat is not None and stat.is_symlink:
            source = self._absolute(source)
            stat = await self._stat(source)
        if stat is None:
            raise SandboxFileError(f"{path}: no such file")

        def pack(client: Any) -> Packed:
            with archive_of(client, self._container, source) as chunks:
                return rewritten(Chunks(chunks), path, archive, max_bytes=max_bytes, exclude=exclude)

        return await self._file_call(path, f"pack {path}", pack)

    async def unpack(self, archive: IO[bytes]) -> None:
        self._check_open()
        await self._put(archive, "/")

    async def hosts(self) -> tuple[str, ...] | None:
        self._check_open()
        return await self._hosts(self._container)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._leave()

    async def _settle(self) -> None:
        for series in self._series:
            await series.settle()

    def _check_open(self) -> None:
        if self.ended_for:
            raise SandboxError(f"sandbox {self.id} was ended: {self.ended_for}")
        if self._closed:
            raise SandboxError(f"sandbox {self.id} is closed")

    def _absolute(self, path: str) -> str:
        if not path or "\0" in path:
            raise SandboxFileError(f"{path!r}: not a path")
        path = posixpath.join("/", self._workdir, path)
        if posixpath.normpath(path).split("/")[1] in _MOUNTED:
            raise SandboxFileError(f"{path}: not a stored file; use a command for what is under {', '.join(_MOUNTED)}")
        return path  # not normalised: `link/..` is for the container's file system to resolve

    async def _could_not_run(self, explanation: str, started: float) -> ExecOutput:
        """An exec that the engine could not start. In a running container that is a state which the agent brought about
        (no pids or memory left, no shell): a value. Else the sandbox is lost."""
        await self._check_running()
        message = f"the command could not be started: {explanation}"
        return ExecOutput(b"", message.encode(), 126, duration=time.monotonic() - started)

    def end(self, why: str) -> None:
        """Kill and remove it for a reason that every later call raises as SandboxError."""
        if not self._closed and not self.ended_for:
            self.ended_for = why
            self._leave()

    def _leave(self) -> None:
        for series in self._series:
            series.abandon()
        self._discard(self._container)

    async def running(self) -> bool:
        if self._closed or self.ended_for:
            return False
        return await is_running(self._engine, self._container)

    async def _check_running(self) -> None:
        if self.ended_for:
            self._check_open()
        if not await is_running(self._engine, self._container):
            raise SandboxError(f"sandbox {self.id} has stopped running")

    async def _end_command(self, attached: Attached, collector: Collector) -> bool:
        """Kill a timed-out command with its session and take the rest of its output.

        Where that does not work (no pids left, a replaced shell) the container is restarted, which kills everything.
        Says whether it was.
        """
        dead = False
        if collector.session is not None:
            with suppress(NotFramed, EngineError):
                dead = await kill_session(collector.session, self._execs.run_as_root)
        if not dead:
            await self._check_running()
            await self.restart()
        with suppress(TimeoutError, NotFramed):
            async with asyncio.timeout(AFTERMATH_SECONDS):
                await collect(attached, collector)
        return not dead

    async def _owner(self) -> tuple[int, int]:
        """uid and gid of the image's user, who should own what the harness writes."""
        if self._ids is None:
            found = await self.exec("id -u; id -g", timeout=30)
            numbers = found.stdout.split()
            ok = found.exit_code == 0 and len(numbers) == 2 and all(number.isdigit() for number in numbers)
            self._ids = (int(numbers[0]), int(numbers[1])) if ok else (0, 0)
        return self._ids

    async def _stat(self, path: str) -> PathStat | None:
        return await self._file_call(path, f"look at {path}", lambda client: stat_of(client, self._container, path))

    async def _put(self, archive: Any, path: str = "", *, keep_folders: bool = False) -> None:
        def put(client: Any) -> None:
            put_archive(client, self._container, archive, keep_folders=keep_folders)

        await self._file_call(path, f"write {path}", put)

    async def _file_call(self, path: str, what: str, function: Callable[[Any], T]) -> T:
        try:
            return await self._engine.call(what, function)
        except EngineError as error:
            words = refusal(error.explanation.replace(path, ""), error.status)
            if words and not error.no_container:
                raise SandboxFileError(f"{path}: {words}") from error
            raise
