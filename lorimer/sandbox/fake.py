"""A sandbox provider for tests: files in a dictionary, commands by script, nothing run.

It isolates nothing, so it also runs nothing, and `select.choose` never returns it. The one exception is the jail, which
tests of the wire need as a real process: with `allow_unsandboxed_jail=True`, and only then, it is a plain local
`python3`. Never give that one a harness which lorimer did not write.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import posixpath
import shutil
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from lorimer.errors import SandboxError
from lorimer.sandbox.artifact_tar import rewritten
from lorimer.sandbox.base import (
    Changes,
    ExecOutput,
    ImageSpec,
    JailExit,
    JailRequest,
    LineTooLong,
    Needs,
    Packed,
    Refusal,
    RemovedImages,
    Sandbox,
    SandboxFileError,
    SandboxRequest,
)
from lorimer.sandbox.series import PlainSeries, Series
from lorimer.sandbox.streams import LINE_LIMIT, OUTPUT_LIMIT, STDERR_LIMIT, cut

Commands = Callable[[str, "FakeSandbox"], ExecOutput] | Mapping[str, ExecOutput]
"""What commands do: a function of the command and the sandbox (whose `files` it may change), or a table."""


class FakeSandbox:
    """A Sandbox of a dictionary.

    Attributes:
        files: absolute path -> bytes. Tests may read and change it.
        commands_run: every command, in order.
        restarts: how many there were.
        frozen: whether it was frozen and has not been resumed.
    """

    def __init__(
        self, name: str, request: SandboxRequest, commands: Commands, branch: Callable[[FakeSandbox], FakeSandbox]
    ) -> None:
        self._name, self._commands, self._branch = name, commands, branch
        self._workdir = request.workdir or "/app"
        self.request = request
        self.files: dict[str, bytes] = {}
        self.commands_run: list[str] = []
        self.restarts = 0
        self.frozen = False
        self._closed = False

    @property
    def id(self) -> str:
        """See Sandbox."""
        return self._name

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
        return ()

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
        """The scripted result, cut to `output_limit`; a command that the script does not know exits with 127."""
        self._check()
        if self.frozen:
            raise SandboxError("the sandbox is frozen")
        self.commands_run.append(command)
        if callable(self._commands):
            result = self._commands(command, self)
        else:
            unknown = ExecOutput(b"", f"fake: {command}: not scripted\n".encode(), 127)
            result = self._commands.get(command, unknown)
        stdout, out_dropped = cut(result.stdout, output_limit)
        stderr, err_dropped = cut(result.stderr, output_limit)
        return replace(
            result,
            stdout=stdout,
            stderr=stderr,
            stdout_dropped=result.stdout_dropped + out_dropped,
            stderr_dropped=result.stderr_dropped + err_dropped,
        )

    def series(self, *, env: Mapping[str, str] | None = None, user: str | None = None) -> Series:
        """See Sandbox. A command has nothing to wait for."""
        return PlainSeries(self, env, user)

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        """See Sandbox."""
        self._check()
        name = self._path(path)
        if name not in self.files:
            problem = "is a directory" if self._is_folder(name) else "no such file or directory"
            raise SandboxFileError(f"{name}: {problem}")
        data = self.files[name]
        if len(data) > max_bytes:
            raise SandboxFileError(f"{name}: {len(data)} bytes, over the limit of {max_bytes}")
        return data

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """See Sandbox. The mode is not kept."""
        self._check()
        name = self._path(path)
        if self._is_folder(name):
            raise SandboxFileError(f"{name}: is a directory")
        above = posixpath.dirname(name)
        while above != "/":
            if above in self.files:
                raise SandboxFileError(f"{above}: not a directory")
            above = posixpath.dirname(above)
        self.files[name] = bytes(data)

    async def put_tree(self, source: Path, target: str) -> None:
        """See Sandbox. Links inside the tree become copies."""
        self._check()
        root = await asyncio.to_thread(source.resolve)
        found = await asyncio.to_thread(lambda: [(p, p.is_file(), p.resolve()) for p in sorted(root.rglob("*"))])
        for path, is_file, real in found:
            if not real.is_relative_to(root):
                raise SandboxFileError(f"{path.relative_to(root)}: a link that leaves the folder")
            if is_file:
                name = posixpath.join(self._path(target), path.relative_to(root).as_posix())
                self.files[name] = await asyncio.to_thread(path.read_bytes)

    async def restart(self, *, look: bool = False) -> Changes | None:
        """See Sandbox."""
        self._check()
        self.restarts += 1
        return await self.changed_files() if look else None

    async def changed_files(self) -> Changes:
        """See Sandbox. Folders are not listed, as the dictionary has none."""
        self._check()
        return Changes(tuple(sorted(self.files)), frozenset())

    def service(self, name: str) -> Sandbox:
        """See Sandbox. There is none."""
        raise SandboxError(f"the sandbox has no service {name}")

    async def freeze(self) -> None:
        """See Sandbox. A command that is asked for meanwhile is an error, as it would never end."""
        self._check()
        self.frozen = True

    async def resume(self) -> None:
        """See Sandbox."""
        self._check()
        self.frozen = False

    async def branch(self) -> FakeSandbox:
        """See Sandbox."""
        self._check()
        return self._branch(self)

    async def pack(self, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str] = ()) -> Packed:
        """See Sandbox. There are no links to follow."""
        self._check()
        name = self._path(path)
        top = posixpath.basename(name)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as made:
            if self._is_folder(name):
                folder = tarfile.TarInfo(top)
                folder.type = tarfile.DIRTYPE
                made.addfile(folder)
            for file in sorted(known for known in self.files if known == name or known.startswith(f"{name}/")):
                entry = tarfile.TarInfo(top + file.removeprefix(name))
                entry.size = len(self.files[file])
                made.addfile(entry, io.BytesIO(self.files[file]))
            if not made.getmembers():
                raise SandboxFileError(f"{name}: no such file or directory")
        buffer.seek(0)
        return rewritten(buffer, name, archive, max_bytes=max_bytes, exclude=exclude)

    async def unpack(self, archive: IO[bytes]) -> None:
        """See Sandbox."""
        self._check()
        with tarfile.open(fileobj=archive, mode="r|") as given:
            for member in given:
                content = given.extractfile(member) if member.isreg() else None
                if content is not None:
                    self.files["/" + member.name] = content.read()

    async def hosts(self) -> tuple[str, ...] | None:
        """See Sandbox. There is no network."""
        return ()

    async def running(self) -> bool:
        """See Sandbox."""
        return not self._closed

    async def close(self) -> None:
        """See Sandbox."""
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed")

    def _path(self, path: str) -> str:
        if not path or "\0" in path:
            raise SandboxFileError(f"{path!r}: not a path")
        return posixpath.normpath(posixpath.join(self._workdir, path))

    def _is_folder(self, name: str) -> bool:
        return name == "/" or any(known.startswith(f"{name}/") for known in self.files)


class UnsandboxedJail:
    """A Jail that is none: a local process, for tests of the wire. Its stderr is kept whole and cut at the end."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._home = home
        self._stderr = asyncio.ensure_future(process.stderr.read())
        self._closed = False

    @property
    def id(self) -> str:
        """See Jail."""
        return f"unsandboxed-{self._process.pid}"

    async def send(self, line: bytes) -> None:
        """See Jail."""
        with suppress(ConnectionError, RuntimeError):
            self._stdin.write(line + b"\n")
            await self._stdin.drain()

    async def receive(self) -> bytes | None:
        """See Jail."""
        if self._closed:
            return None
        try:
            return (await self._stdout.readuntil(b"\n"))[:-1]
        except asyncio.LimitOverrunError:
            raise LineTooLong(f"a line of more than {LINE_LIMIT} bytes") from None
        except asyncio.IncompleteReadError as end:
            return end.partial or None

    async def running(self) -> bool:
        """See Jail."""
        return self._process.returncode is None

    async def wait(self) -> JailExit:
        """See Jail."""
        code = await self._process.wait()
        stderr, dropped = cut(await self._stderr, STDERR_LIMIT)
        return JailExit(128 - code if code < 0 else code, False, stderr, dropped)

    async def close(self) -> None:
        """See Jail."""
        if self._closed:
            return
        self._closed = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                # Popen.kill would reap one that has just ended, before asyncio's own watcher, which then says so on stderr.
                os.kill(self._process.pid, signal.SIGKILL)
        self._stdin.close()
        while await self._stdout.read(1 << 16):
            pass
        await self._process.wait()
        await self._stderr
        shutil.rmtree(self._home, ignore_errors=True)


class FakeProvider:
    """A SandboxProvider for tests.

    Args:
        commands: what commands do; by default none is known.
        allow_unsandboxed_jail: jails are local processes without any isolation. Without it `jail` raises.

    Attributes:
        sandboxes: every one made, in order, for tests to look at.
    """

    name = jails = "fake"

    def __init__(self, commands: Commands | None = None, *, allow_unsandboxed_jail: bool = False) -> None:
        self._commands: Commands = {} if commands is None else commands
        self._allow = allow_unsandboxed_jail
        self._numbers = itertools.count(1)
        self._jails: list[UnsandboxedJail] = []
        self.sandboxes: list[FakeSandbox] = []

    def refusal(self, needs: Needs) -> Refusal | None:
        """See SandboxProvider. It refuses nothing."""
        return None

    async def prepare(self, spec: ImageSpec) -> str:
        """See SandboxProvider. Any spec will do."""
        return "fake"

    async def image_bytes(self, image: str) -> int | None:
        """See SandboxProvider. There is none."""
        return None

    async def image_digest(self, image: str) -> str:
        """See SandboxProvider. All are alike."""
        return image

    async def remove_images(self) -> RemovedImages:
        """See SandboxProvider. There are none."""
        return RemovedImages(0)

    async def acquire(self, request: SandboxRequest) -> FakeSandbox:
        """See SandboxProvider."""
        return self._new(request)

    def _new(self, request: SandboxRequest) -> FakeSandbox:
        def branch(of: FakeSandbox) -> FakeSandbox:
            copy = self._new(of.request)
            copy.files = dict(of.files)
            return copy

        sandbox = FakeSandbox(f"fake-{next(self._numbers)}", request, self._commands, branch)
        self.sandboxes.append(sandbox)
        return sandbox

    async def jail(self, request: JailRequest) -> UnsandboxedJail:
        """A local process. Raises SandboxError unless the provider was made to allow it."""
        if not self._allow:
            raise SandboxError("the fake provider has no jails; a test that needs one says allow_unsandboxed_jail=True")
        home = Path(tempfile.mkdtemp(prefix="lorimer-fake-"))  # its own scratch: several jails may run at once
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *request.argv[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
            cwd="/",
            limit=LINE_LIMIT,
        )
        jail = UnsandboxedJail(process, home)
        self._jails.append(jail)
        return jail

    async def answers(self) -> None:
        """See SandboxProvider. There is no engine to ask."""

    async def reap(self) -> int:
        """See SandboxProvider. There is never anything."""
        return 0

    async def close(self) -> None:
        """See SandboxProvider."""
        for sandbox in self.sandboxes:
            await sandbox.close()
        for jail in self._jails:
            await jail.close()
