"""A sandbox that is ready for the agent, and files as the agent's user sees them."""

from __future__ import annotations

import asyncio
import shlex
import time
import uuid
from contextlib import suppress

from lorimer.benchmarks.base import Healthcheck, Task
from lorimer.errors import SandboxError
from lorimer.sandbox.base import ExecOutput, Sandbox, SandboxFileError
from lorimer.task_agent.output import last_line

TIDY_SECONDS = 5.0
"""What is left for a passing file to go where its writing is cancelled: the sandbox may go too, and its engine may hang."""

FILE_SECONDS = 60.0
"""The time to copy a file within a sandbox: a moment, unless it is a pipe that nobody writes to."""


async def wait_until_healthy(sandbox: Sandbox, task: Task) -> None:
    """Try the task's health check until it passes. Raises SandboxError when its retries are used up."""
    check = task.healthcheck
    if check is None:
        return
    began, failures = time.monotonic(), 0
    while True:
        starting = time.monotonic() - began < check.start_period
        ran = await sandbox.exec(
            check.command, timeout=check.timeout, cwd=task.workdir, env=task.env, user=task.user, output_limit=4096
        )
        if ran.exit_code == 0:
            return
        failures += not starting
        if failures >= check.retries:
            raise SandboxError(f"the health check failed {failures} times: {_why(ran, check)}")
        await asyncio.sleep(check.start_interval if starting else check.interval)


def _why(ran: ExecOutput, check: Healthcheck) -> str:
    if ran.timed_out:
        return f"it ran over its {check.timeout:.6g} s"
    return f"exit code {ran.exit_code}: {last_line((ran.stderr or ran.stdout).decode('utf-8', 'replace'))}"


async def read_file(sandbox: Sandbox, task: Task, path: str, max_bytes: int) -> bytes:
    """A file's bytes, as the task's user may read them. Raises SandboxFileError."""
    if task.user is None:
        return await sandbox.read(path, max_bytes=max_bytes)
    # The engine reads as root: a task that names a user may hide files from it.
    ran = await _as_user(sandbox, task, f"cat < {_quoted(path)}", max_bytes + 1)
    size = len(ran.stdout) + ran.stdout_dropped
    if size > max_bytes:
        raise SandboxFileError(f"{path}: {size} bytes, over the limit of {max_bytes}")
    if ran.exit_code != 0:
        raise SandboxFileError(f"{path}: {_shell_said(ran, path)}")
    return ran.stdout


async def write_file(sandbox: Sandbox, task: Task, path: str, data: bytes) -> None:
    """Write a file as the task's user may, making its parent folders. Raises SandboxFileError."""
    if task.user is None:
        await sandbox.write(path, data)
        return
    target, passing = _quoted(path), f"/tmp/.lorimer-{uuid.uuid4().hex}"  # noqa: S108  in the sandbox
    await sandbox.write(passing, data)
    try:
        ran = await _as_user(sandbox, task, f'mkdir -p -- "$(dirname -- {target})" && cat {passing} > {target}', 4096)
    except asyncio.CancelledError:
        with suppress(TimeoutError):
            async with asyncio.timeout(TIDY_SECONDS):
                await _remove(sandbox, passing)
        raise
    except BaseException:
        await _remove(sandbox, passing)
        raise
    await _remove(sandbox, passing)
    if ran.exit_code != 0:
        raise SandboxFileError(f"{path}: {_shell_said(ran, path)}")


async def _remove(sandbox: Sandbox, path: str) -> None:
    await sandbox.exec(f"rm -f {path}", timeout=FILE_SECONDS, cwd="/", user="0")


async def _as_user(sandbox: Sandbox, task: Task, command: str, output_limit: int) -> ExecOutput:
    return await sandbox.exec(
        command, timeout=FILE_SECONDS, cwd=task.workdir, user=task.user, output_limit=output_limit
    )


def _quoted(path: str) -> str:
    if not path or "\0" in path:
        raise SandboxFileError(f"{path!r}: not a path")
    return shlex.quote(path)


def _shell_said(ran: ExecOutput, path: str) -> str:
    """`no such file or directory`, of the shell's whole sentence."""
    if ran.timed_out:
        return "took too long"
    said = last_line(ran.stderr.decode("utf-8", "replace"))
    return said.rpartition(f"{path}: ")[2].lower() or f"exit code {ran.exit_code}"
