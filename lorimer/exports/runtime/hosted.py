"""A harness in another program's event loop: its calls go from its thread to coroutines of the host, who has the sandbox."""

from __future__ import annotations

import asyncio
import math
import re
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lorimer.errors import HarnessError, SandboxError
from lorimer.exports.runtime.limited import LimitedModel
from lorimer.exports.runtime.machine import Bounded
from lorimer.exports.runtime.settings import Settings
from lorimer.exports.runtime.solving import HARNESS, load_harness, text_of
from lorimer.harness.api import EnvError, ExecResult, LimitReached, Task

T = TypeVar("T")

GRACE = 60.0
"""Seconds beside a command's own that the host's call may take."""
SHORT = 60_000
"""Bytes of a command that goes along as an argument, of which one may have 128 KiB; a longer one is sent as a file."""

_SCRIPT = r"""
exec 2>/dev/null
f={file}
show() {{
  n=$(wc -c < "$1")
  if [ "$n" -le {most} ]; then cat "$1"; return; fi
  cut=1
  head -c {head} "$1"
  printf '\n[... %s bytes dropped ...]\n' "$((n - {most}))"
  tail -c {tail} "$1"
}}
cd -- {folder} || {{ printf '%s\n\n%s\ncd: %s: no such directory\n\n%s 1 0 0\n' "$f" "$f" {folder} "$f"; exit; }}
{save}
if command -v bash >/dev/null 2>&1; then s=bash; else s=sh; fi
if command -v setsid >/dev/null 2>&1; then own=setsid; else own=; fi
$own "$s" "$f" </dev/null >"$f.out" 2>"$f.err" &
c=$!
$own sh -c 'sleep "$1"; : > "$2.late"; kill -9 -- "-$3" 2>/dev/null || kill -9 "$3"' sh {seconds} "$f" "$c" \
  </dev/null >/dev/null 2>&1 &
w=$!
wait "$c" 2>/dev/null
code=$?
kill -9 -- "-$w" 2>/dev/null || kill -9 "$w" 2>/dev/null
late=0
if [ -e "$f.late" ]; then late=1; fi
cut=0
printf '%s\n' "$f"
show "$f.out"
printf '\n%s\n' "$f"
show "$f.err"
printf '\n%s %s %s %s\n' "$f" "$code" "$cut" "$late"
rm -f -- "$f" "$f.out" "$f.err" "$f.late"
exit 0
"""
"""Output goes to files, as a host would wait for whatever process a command leaves behind, and comes back in one stream between
marks, as some hosts make one of stdout and stderr. The script's own stderr is nobody's: some shells tell there of a watch that
was killed. The watch is the script's own, as hosts do different things at a timeout."""


@dataclass(frozen=True)
class HostedScript:
    """A command as a host runs it."""

    text: str
    file: str
    """Its files' name in the sandbox."""
    sent: bytes | None
    """What is to be written there first; `None` where the text has it."""


def script(command: str, folder: str, seconds: float, most: int) -> HostedScript:
    """What runs a command in a folder, kills it after so many seconds (whole ones, rounded up) and says what came of it.

    Args:
        most: bytes of stdout and of stderr that are kept, of head and tail.
    """
    file = f"/tmp/.run.{uuid.uuid4().hex}"  # noqa: S108 - in the sandbox, under a name that nobody can guess
    data = command.encode("utf-8", "replace")
    here = len(data) <= SHORT and b"\0" not in data
    save = f'printf %s {shlex.quote(command)} > "$f" || exit 125' if here else ""
    text = _SCRIPT.format(
        file=file,
        most=most,
        head=most - most // 2,
        tail=most // 2,
        folder=shlex.quote(folder or "."),
        save=save,
        seconds=max(1, math.ceil(seconds)),
    )
    return HostedScript(text, file, None if here else data)


def result(said: str, file: str) -> ExecResult:
    """What a script said. Raises SandboxError where it did not come to its end."""
    found = re.search(rf"(?s){file}\n(.*)\n{file}\n(.*)\n{file} (\d+) ([01]) ([01])\n", said)
    if found is None:
        raise SandboxError(f"the sandbox ran no command: {said.strip()[-500:]}")
    out, err, late = found[1], found[2], found[5] == "1"
    return ExecResult(out, err, None if late else int(found[3]), timed_out=late, truncated=found[4] == "1")


class Loop:
    """The way from a harness's threads into the event loop that runs now. Made, and `run` called, in the loop.

    Coroutines run in the context in which this was made, which is where hosts keep whose sample or trial it is.
    """

    def __init__(self) -> None:
        self._loop, self._context, self._ended = asyncio.get_running_loop(), copy_context(), False

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine there, and wait for it in this thread. Raises what it raises; LimitReached once `run` is over."""
        if self._ended:
            raise LimitReached("the run has ended")
        future: Future[T] = self._context.copy().run(asyncio.run_coroutine_threadsafe, work(), self._loop)
        return future.result()

    async def run(self, work: Callable[[], T]) -> T:
        """`work` in a thread of its own. Where this is cancelled, the thread's next call ends it."""
        done: asyncio.Future[T] = self._loop.create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value)  # type: ignore[arg-type]

        def thread() -> None:
            value, error = None, None
            try:
                value = work()
            except BaseException as caught:  # noqa: BLE001 - it is raised where `run` is awaited
                error = caught if isinstance(caught, Exception) else HarnessError(f"{HARNESS} ended with {caught!r}")
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(settle, value, error)

        # A daemon: a harness that computes for ever must not keep its host from ending.
        threading.Thread(target=thread, name="harness", daemon=True).start()
        try:
            return await done
        finally:
            self._ended = True


class HostedMachine(Bounded):
    """The Env of a harness in a host's sandbox. The three coroutines below are the host's own."""

    def __init__(self, loop: Loop, settings: Settings, deadline: float, workdir: str = "") -> None:
        super().__init__(settings, deadline)
        self._calls, self.workdir = loop, workdir

    async def shell(self, text: str, seconds: float) -> str:
        """Run a text by `sh`, and return its stdout. May raise what ends the task."""
        raise NotImplementedError

    async def fetch(self, path: str) -> bytes:
        """An absolute path's bytes. Raises EnvError."""
        raise NotImplementedError

    async def store(self, path: str, data: bytes) -> None:
        """Write an absolute path, making its folders. Raises EnvError."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Find out where commands start."""
        self.workdir = self.workdir or (await self.shell("pwd", GRACE)).strip() or "/"

    def exec(self, command: str, *, timeout: float | None = None, cwd: str | None = None) -> ExecResult:
        """See Env."""
        seconds = self._seconds(timeout)
        made = script(command, self._absolute(cwd or ""), seconds, self._settings.output_bytes)

        async def work() -> str:
            if made.sent is not None:
                await self.store(made.file, made.sent)
            return await self.shell(made.text, seconds + GRACE)

        return result(self._calls.call(work), made.file)

    def read(self, path: str) -> bytes:
        """See Env."""
        self._seconds(None)
        return self._kept(path, self._calls.call(lambda: self.fetch(self._absolute(path))))

    def write(self, path: str, data: bytes | str) -> None:
        """See Env."""
        self._seconds(None)
        raw = data.encode() if isinstance(data, str) else data
        self._calls.call(lambda: self.store(self._absolute(path), raw))

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.workdir.rstrip('/')}/{path}".rstrip("/") or "/"


def env_error(path: str, error: BaseException) -> EnvError:
    """A host's words for what is wrong with a file."""
    said = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return EnvError(f"{path}: {said[-1] if said else type(error).__name__}")


async def solve(
    folder: Path, settings: Settings, instruction: str, loop: Loop, machine: HostedMachine, model: LimitedModel
) -> str:
    """Have a folder's harness solve a task; its answer.

    Raises HarnessError; what ended the model or the sandbox; what the harness itself raises.
    """
    run = load_harness(folder)
    await machine.begin()
    task = Task(instruction, machine.workdir, settings.seconds, settings.calls)
    with model.to_blame():
        answer = await loop.run(lambda: run(task, machine, model))
    return text_of(answer, folder)


def deadline(settings: Settings) -> float:
    """When the time of a task that begins now is over, by the monotonic clock."""
    return time.monotonic() + settings.seconds
