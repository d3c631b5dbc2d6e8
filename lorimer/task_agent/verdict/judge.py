"""What happens between agent and verifier: what the agent left running is kept away, and what it made is brought to where it
is judged."""

from __future__ import annotations

import dataclasses
import posixpath
import shlex
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import IO

from lorimer.benchmarks.base import Artifact, Graded, Hook, Start, Task, VerifierSandbox
from lorimer.sandbox.base import Changes, Packed, Sandbox, SandboxFileError
from lorimer.task_agent.output import last_line
from lorimer.task_agent.ready import wait_until_healthy
from lorimer.task_agent.upload import upload
from lorimer.task_agent.verdict.flags import WEAKER, is_suspect
from lorimer.task_agent.verdict.suspect import look, suspicions
from lorimer.task_agent.verdict.verify import PREPARE_SECONDS, Reward, tidy, verify

SPOOL_BYTES = 8 << 20
"""The bytes of an artifact that are held in memory; a larger one waits in a temporary file of the host."""

PUBLISHED = Artifact("/logs/artifacts")
"""What Harbor always takes along: the folder where an agent may put what it wants to show."""


@dataclasses.dataclass(frozen=True)
class Court:
    """What judging needs beside the agent's sandbox."""

    acquire: Callable[[Task], Awaitable[Sandbox]]
    """Makes a sandbox as a task asks for it."""
    say: Callable[[str], None]
    """Takes a line for the trace."""
    artifact_bytes: int
    """All artifacts together may have so many bytes."""
    verifier_seconds: float | None = None
    """Instead of what the task says."""
    watch: bool = False
    """Look at what the agent changed where the verifier lets it pass."""
    zero_suspects: bool = False
    """A pass that could be no pass scores 0."""
    passed: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Variables that the verifier's process may be given, with their values."""


async def judge(court: Court, sandbox: Sandbox, task: Task, message: str = "", *, last: bool = True) -> Reward:
    """Verify what the agent left in `sandbox`, as the task's isolation says.

    Args:
        message: what the agent said last.
        last: no agent will act in the sandbox after this; else it is left as the next one should find it.

    Raises SandboxError when a sandbox is lost, ImageError, PrerequisiteError.
    """
    timeout = court.verifier_seconds or task.verifier.timeout
    if isinstance(task.reward, Graded):
        return await verify(sandbox, task, timeout, message, court.passed)
    await _run_hooks(court, sandbox, [hook for hook in task.hooks if hook.service == "main"])
    # Of several containers there is no copy: the agent's own is started again, the services live on.
    again = task.isolation == "restart" or (task.isolation == "fresh" and task.group is not None)
    if task.separate is None and (again or task.isolation == "same"):
        changes = await sandbox.restart(look=court.watch) if again else None
        await _run_hooks(court, sandbox, [hook for hook in task.hooks if hook.service != "main"])
        if court.watch and changes is None:
            changes = await sandbox.changed_files()
        reward = await _watched(court, changes, sandbox, task, timeout, message)
        if not last:
            await tidy(sandbox, task)
        return reward
    # Frozen, not only left behind: a daemon of the agent's could reach the verifier by a network, or change what is packed.
    await sandbox.freeze()
    await _run_hooks(court, sandbox, [hook for hook in task.hooks if hook.service != "main"])
    if task.separate is None:
        changes = await sandbox.changed_files() if court.watch else None
        place = await sandbox.branch()
        try:
            reward = await _watched(court, changes, place, task, timeout, message)
        finally:
            await place.close()
    else:
        reward = await _judge_apart(court, sandbox, task, task.separate, timeout, message)
    if not last:
        await sandbox.resume()
    return reward


async def _watched(
    court: Court, changes: Changes | None, place: Sandbox, task: Task, timeout: float, message: str
) -> Reward:
    """The reward, with what speaks against it where the verifier lets the agent pass: failing needs no trick.

    Args:
        changes: what the agent changed; `None` where nobody asks.

    It is looked at before the verifier runs: what the agent planted may undo itself when the verifier runs it.
    """
    before = None if changes is None else await look(changes, place, task)
    reward = await verify(place, task, timeout, message, court.passed)
    if before is None or not reward.value:
        return reward
    flags = await suspicions(before, place, task)
    if task.isolation == "same":
        flags += (f"{WEAKER}what the agent left running ran beside the verifier",)
    reward = dataclasses.replace(reward, flags=flags)
    if court.zero_suspects and is_suspect(flags):
        first = next(flag for flag in flags if is_suspect([flag]))
        said = f"scored 0 instead of {reward.value:g}, as [verifier] on_suspect says: {first}"
        return dataclasses.replace(reward, value=0.0, named={}, detail=said)
    return reward


async def _judge_apart(
    court: Court, sandbox: Sandbox, task: Task, separate: VerifierSandbox, timeout: float, message: str
) -> Reward:
    """Judge in a sandbox of the verifier's own, on the artifacts alone."""
    there = dataclasses.replace(
        task,
        image=separate.image,
        limits=separate.limits,
        workdir=separate.workdir,
        env=separate.env,
        healthcheck=separate.healthcheck,
        start=task.start if separate.image == task.image else Start(),
        group=separate.group,
        user=None,
        separate=None,
    )
    async with AsyncExitStack() as held:
        packed: list[tuple[Packed, IO[bytes]]] = []
        left = court.artifact_bytes
        for artifact in artifacts_of(task):
            archive = held.enter_context(_spool())
            found = await _pack(court, sandbox, artifact, archive, left)
            if found is not None:
                packed.append((found, archive))
                left -= found.bytes
        place = await court.acquire(there)
        held.push_async_callback(place.close)
        for source, target in separate.workspace:
            await upload(place, source, target)
        for found, archive in packed:
            archive.seek(0)
            await place.exec(_room_for(found), timeout=PREPARE_SECONDS, cwd="/", user="0")
            await place.unpack(archive)
        await wait_until_healthy(place, there)
        return await verify(place, there, timeout, message, court.passed)


def artifacts_of(task: Task) -> tuple[Artifact, ...]:
    """What is taken to the verifier: what the task declares, and the folder for publishing unless it is among it."""
    declared = any(
        (artifact.source.rstrip("/"), artifact.service) == (PUBLISHED.source, PUBLISHED.service)
        for artifact in task.artifacts
    )
    return task.artifacts if declared else (PUBLISHED, *task.artifacts)


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)


async def _pack(
    court: Court, sandbox: Sandbox, artifact: Artifact, archive: IO[bytes], max_bytes: int
) -> Packed | None:
    """One artifact; what is missing or too large is the agent's doing, and for the verifier to find out."""
    try:
        place = sandbox if artifact.service == "main" else sandbox.service(artifact.service)
        packed = await place.pack(artifact.source, archive, max_bytes=max_bytes, exclude=artifact.exclude)
    except SandboxFileError as error:
        if artifact is not PUBLISHED:
            court.say(f"artifact not taken: {error}")
        return None
    left_out = f"; {packed.left_out} entries left out, such as {packed.examples[0]}" if packed.left_out else ""
    court.say(f"artifact {packed.path}: {packed.files} files, {packed.bytes:,} bytes{left_out}")
    return packed


def _room_for(packed: Packed) -> str:
    """A command that makes an artifact's folder, empty and for anyone to write, or the folder above its file."""
    folder = packed.path if packed.is_folder else posixpath.dirname(packed.path)
    quoted = shlex.quote(folder)
    clear = f"rm -rf -- {shlex.quote(packed.path)}; " if packed.path != "/" else ""
    return f"{clear}mkdir -p -- {quoted} && chmod a+rwx {quoted}"


async def _run_hooks(court: Court, sandbox: Sandbox, hooks: list[Hook]) -> None:
    """Commands that bring a service's state into files. One that fails is told; the verifier will miss its file."""
    for hook in hooks:
        place = sandbox if hook.service == "main" else sandbox.service(hook.service)
        ran = await place.exec(hook.command, timeout=hook.timeout, user=hook.user, output_limit=4096)
        if ran.exit_code != 0:
            said = last_line((ran.stderr or ran.stdout).decode("utf-8", "replace"))
            how = f"ran over its {hook.timeout:.6g} s" if ran.timed_out else f"exit code {ran.exit_code}: {said}"
            court.say(f"collect hook of {hook.service} failed: {how}")
