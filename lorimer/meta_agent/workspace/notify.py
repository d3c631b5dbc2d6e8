"""Tells a command of the user's what a study came to: one JSON line, in a process that nothing waits for.

The study goes on while it runs, and whatever becomes of it. It has a time of its own, ends with its children when that is up,
and its failure is said once.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lorimer.config.notify import NotifySettings
from lorimer.keys import child_environment
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.traces.schema import Spent
from lorimer.traces.scrub import scrub_json
from lorimer.wording import quoted

VERSION = 1
"""The version of the line. A field that comes in addition changes nothing; one that goes, or means something else, raises it."""

STDERR_BYTES = 2_000
"""The end of what a failed command said is read, this long; the last line of it is told."""
SHOWN_CHARS = 200
"""Characters of that line."""

NoticeKind = Literal["promotion", "review", "pause", "end"]


@dataclass(frozen=True)
class Notice:
    """What a study came to."""

    event: NoticeKind
    said: str
    """What happened, in words that may hold what a model wrote."""
    cause: str = ""
    """Why it pauses or ends, in a word (`events.EndCause`)."""
    candidate: str = ""
    """`c004`, whom a promotion or a review is about."""
    title: str = ""
    """That candidate's, which a model wrote."""
    commit: str = ""
    score: Score | None = None
    """The promoted candidate's in its audit; at the end the champion's."""


@dataclass(frozen=True)
class NoticeSubject:
    """The study that a notice is about."""

    study: str
    kind: str
    """`optimize` or `run`."""
    at: str
    """UTC, ISO 8601."""
    spent: Spent


def line_of(notice: Notice, about: NoticeSubject, workspace: Path, scrub: Callable[[str], str]) -> str:
    """The line that a command gets, without its line break. Pure."""
    score = notice.score
    measured = score is not None and score.trials > 0
    said: dict[str, Any] = {
        "version": VERSION,
        "event": notice.event,
        "study": about.study,
        "kind": about.kind,
        "workspace": str(workspace),
        "at": about.at,
        "said": notice.said,
        "cause": notice.cause,
        "candidate": notice.candidate,
        "title": notice.title,
        "commit": notice.commit,
        "score": {"mean": score.mean, "low": score.low, "high": score.high} if score is not None and measured else None,
        "usd": about.spent.usd,
        "tokens": about.spent.tokens,
        "trials": about.spent.trials,
    }
    return json.dumps(scrub_json(said, scrub), ensure_ascii=False)


class Notifier:
    """Runs the command, once for each notice. Used from one event loop.

    Args:
        root: the workspace, in which it runs.
        passed: what it is to have of the environment besides what any program may.
        scrub: masks secrets in what it is told.
    """

    def __init__(
        self, settings: NotifySettings, root: Path, passed: Mapping[str, str], scrub: Callable[[str], str]
    ) -> None:
        self._settings, self._root, self._passed, self._scrub = settings, root.resolve(), passed, scrub
        self._running: list[_Run] = []
        self._complained = False

    def check(self, failed: Callable[[str], None]) -> None:
        """Say at once where there is no such program, as the first promotion may be hours away."""
        program = self._settings.command[0]
        place = str(self._root / program) if os.sep in program else program
        if shutil.which(place, path=child_environment(self._passed).get("PATH")) is None:
            self._complain("there is no such program, or it may not be run", failed)

    def ring(self, notice: Notice, about: NoticeSubject, failed: Callable[[str], None]) -> None:
        """Run the command with a notice; returns at once.

        Args:
            failed: told in words, in the event loop's thread, where it fails for the first time.
        """
        loop = asyncio.get_running_loop()

        def ended(problem: str) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
                loop.call_soon_threadsafe(self._complain, problem, failed)

        line = line_of(notice, about, self._root, self._scrub)
        run = _Run(self._settings.command, line, self._root, child_environment(self._passed), self._settings.seconds)
        self._running = [each for each in self._running if each.goes_on]
        self._running.append(run)
        run.start(ended)

    async def close(self) -> None:
        """Wait for what still runs, each to the end of its own time; what is cancelled here is killed."""
        try:
            for run in self._running:
                await asyncio.to_thread(run.join)
        except asyncio.CancelledError:
            for run in self._running:
                run.kill()
            raise
        await asyncio.sleep(0)  # what they said to the loop is heard

    def _complain(self, problem: str, failed: Callable[[str], None]) -> None:
        if not self._complained:
            self._complained = True
            command = shlex.join(self._settings.command)
            failed(f"[notify] command {command}: {problem}; the study goes on, and no further failure of it is said")


class _Run:
    """One run of the command, in a thread of its own and in a session of its own, which no Ctrl-C in the terminal reaches."""

    def __init__(
        self, command: Sequence[str], line: str, root: Path, environment: Mapping[str, str], seconds: float
    ) -> None:
        self._command, self._line, self._root = command, line, root
        self._environment, self._seconds = environment, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._work, name="lorimer-notify", daemon=True)

    @property
    def goes_on(self) -> bool:
        return self._thread.is_alive()

    def start(self, ended: Callable[[str], None]) -> None:
        """`ended` is told, in another thread, why it failed; nothing where it did not."""
        self._ended = ended
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def kill(self) -> None:
        """Kill the command and its children."""
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _work(self) -> None:
        problem = self._problem()
        if problem:
            self._ended(problem)

    def _problem(self) -> str:
        """Why it failed; "" where it did not."""
        try:
            # A file, not a pipe: whoever it leaves behind may hold that open, and would be waited for.
            with tempfile.TemporaryFile() as errors:
                self._process = subprocess.Popen(
                    list(self._command),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    cwd=self._root,
                    env=dict(self._environment),
                    start_new_session=True,
                )
                try:
                    self._process.communicate(f"{self._line}\n".encode(errors="replace"), timeout=self._seconds)
                except subprocess.TimeoutExpired:
                    self.kill()
                    self._process.wait()
                    return f"it took longer than notify.seconds ({self._seconds:g}) and was killed"
                code = self._process.returncode
                if code == 0:
                    return ""
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - STDERR_BYTES))
                lines = errors.read().decode(errors="replace").strip().splitlines()
                said = f": {quoted(lines[-1][:SHOWN_CHARS])}" if lines else ""
                how = f"it ended with exit code {code}" if code > 0 else f"signal {-code} ended it"
                return how + said
        except (OSError, ValueError) as error:
            return f"it cannot be run: {getattr(error, 'strerror', None) or error}"
