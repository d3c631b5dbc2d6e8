"""Where a harness's commands run: this machine, or a container that the `docker` command starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.exports.runtime.settings import Settings
from lorimer.harness.api import EnvError, ExecResult, LimitReached

_GRACE = 30.0
"""Seconds for `docker` itself beside the command that it runs."""

_IN_CONTAINER = r"""
f=$(mktemp /tmp/.run.XXXXXX) || exit 125
cat > "$f"
echo "$$" > "$f.pid"
echo "$f"
cd -- "$1" || exit 125
if command -v bash >/dev/null 2>&1; then s=bash; else s=sh; fi
exec "$s" "$f" </dev/null >"$f.out" 2>"$f.err"
"""
"""The command comes on stdin, as no argument may be over 128 KiB, and its output goes to files: `docker exec` would wait for
whatever process it leaves behind."""


class Bounded:
    """An Env's limits, which are alike wherever commands run."""

    def __init__(self, settings: Settings, deadline: float) -> None:
        self._settings, self._deadline = settings, deadline

    def _seconds(self, asked: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LimitReached(f"time limit: {self._settings.seconds:g} s used")
        return max(0.1, min(asked or self._settings.exec_seconds, self._settings.exec_seconds, left))

    def _kept(self, path: str, data: bytes) -> bytes:
        if len(data) > self._settings.read_bytes:
            raise EnvError(f"{path}: over the limit of {self._settings.read_bytes} bytes")
        return data

    def _result(self, out: bytes, err: bytes, code: int | None) -> ExecResult:
        most = self._settings.output_bytes
        cut = len(out) > most or len(err) > most
        return ExecResult(shown(out, most), shown(err, most), code, timed_out=code is None, truncated=cut)

    def read(self, path: str) -> bytes:
        raise NotImplementedError

    def read_text(self, path: str) -> str:
        """See Env."""
        return self.read(path).decode("utf-8", "replace")


def shown(data: bytes, most: int) -> str:
    """An output as a harness sees it: head and tail, and the cut said."""
    if len(data) <= most:
        return data.decode("utf-8", "replace")
    head, tail = data[: most - most // 2], data[len(data) - most // 2 :]
    said = f"\n[... {len(data) - most} bytes dropped ...]\n"
    return f"{head.decode('utf-8', 'replace')}{said}{tail.decode('utf-8', 'replace')}"


class LocalMachine(Bounded):
    """Commands run here, with all that the user may do."""

    def __init__(self, folder: Path, settings: Settings, deadline: float) -> None:
        super().__init__(settings, deadline)
        self.workdir = str(folder.resolve())

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> ExecResult:
        """See Env."""
        seconds = self._seconds(timeout)
        folder = Path(self.workdir, cwd or "")
        if not folder.is_dir():
            return ExecResult("", f"cd: {folder}: no such directory\n", 1)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.NamedTemporaryFile() as script:
            # From a file, as no argument may be over 128 KiB; to files, as what a command leaves behind holds pipes open.
            script.write(command.encode("utf-8", "replace"))
            script.flush()
            process = subprocess.Popen(
                [shutil.which("bash") or "/bin/sh", script.name],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            code: int | None = None
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                if code is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            return self._result(_all(out), _all(err), code if code is None or code >= 0 else 128 - code)

    def read(self, path: str) -> bytes:
        """See Env."""
        try:
            return self._kept(path, Path(self.workdir, path).read_bytes())
        except (OSError, ValueError) as error:
            raise EnvError(f"{path}: {getattr(error, 'strerror', None) or error}") from None

    def write(self, path: str, data: bytes | str) -> None:
        """See Env."""
        target = Path(self.workdir, path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.encode() if isinstance(data, str) else data)
        except (OSError, ValueError) as error:
            raise EnvError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _all(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


class DockerMachine(Bounded):
    """Commands run in a container."""

    def __init__(self, container: str, workdir: str, settings: Settings, deadline: float) -> None:
        super().__init__(settings, deadline)
        self._container, self.workdir = container, workdir

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> ExecResult:
        """See Env."""
        seconds = self._seconds(timeout)
        folder = cwd or self.workdir
        process = subprocess.Popen(
            ["docker", "exec", "-i", self._container, "sh", "-c", _IN_CONTAINER, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            with suppress(BrokenPipeError):  # of a container that is gone, of which stderr tells
                process.stdin.write(command.encode("utf-8", "replace"))
                process.stdin.close()
            file = process.stdout.readline().decode().strip()
            if not file:
                assert process.stderr is not None
                raise SandboxError(f"docker exec: {process.stderr.read().decode('utf-8', 'replace').strip()}")
            code: int | None
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
                # Whatever it started is in its session, whose number is that of the shell.
                self._inside('kill -9 -- "-$(cat "$1.pid")"', file)
                process.kill()
        if code == 125 and self._inside('cat "$1.out"', file)[1] != 0:
            return ExecResult("", f"cd: {folder}: no such directory\n", 1)
        out, err = self._inside('cat "$1.out"', file)[0], self._inside('cat "$1.err"', file)[0]
        self._inside('rm -f -- "$1" "$1.out" "$1.err" "$1.pid"', file)
        return self._result(out, err, code)

    def read(self, path: str) -> bytes:
        """See Env."""
        data, code, said = self._run('cat -- "$1"', self._absolute(path))
        if code:
            raise EnvError(said or f"{path}: cannot be read")
        return self._kept(path, data)

    def write(self, path: str, data: bytes | str) -> None:
        """See Env."""
        raw = data.encode() if isinstance(data, str) else data
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
        _, code, said = self._run(script, self._absolute(path), raw)
        if code:
            raise EnvError(said or f"{path}: cannot be written")

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.workdir.rstrip('/')}/{path}"

    def _inside(self, script: str, argument: str) -> tuple[bytes, int]:
        data, code, _ = self._run(script, argument)
        return data, code

    def _run(self, script: str, argument: str, data: bytes = b"") -> tuple[bytes, int, str]:
        done = subprocess.run(
            ["docker", "exec", "-i", self._container, "sh", "-c", script, "sh", argument],
            input=data,
            capture_output=True,
            timeout=self._settings.exec_seconds + _GRACE,
            check=False,
        )
        return done.stdout, done.returncode, done.stderr.decode("utf-8", "replace").strip()


@contextmanager
def container(image: str, settings: Settings, deadline: float, *, network: bool = False) -> Iterator[DockerMachine]:
    """A container of an image while it is needed. Raises PrerequisiteError where there is no Docker or no such image.

    Args:
        network: whether commands in it have one.
    """
    if shutil.which("docker") is None:
        raise PrerequisiteError("the `docker` command is not there", "install Docker, or leave --docker out")
    net = [] if network else ["--network", "none"]
    started = _docker("run", "-d", "--rm", "--init", *net, "--entrypoint", "sleep", image, "infinity")
    if started.returncode:
        raise PrerequisiteError(
            f"docker run {image}: {started.stderr.decode('utf-8', 'replace').strip()}", "check the image and the engine"
        )
    name = started.stdout.decode().strip()
    try:
        workdir = _docker("exec", name, "pwd").stdout.decode().strip() or "/"
        yield DockerMachine(name, workdir, settings, deadline)
    finally:
        _docker("rm", "-f", name)


def _docker(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False)
