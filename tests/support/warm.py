"""Commands in processes of their own that are spared their imports: one process has made these, and forks for each command.

What a short command does takes a tenth of what it imports first, and the suite starts some hundreds. A forked one has its own
pid, session, files, environment and folder, can be killed, and ends as an interpreter does. What it lacks is an interpreter's
start: tests of that run `LORIMER`. Two such processes take turns, each with hashes of its own, so that no order of a set stays
the same from a command to the one after it, such as a resume.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import itertools
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any, TypeAlias

IMPORTED = (
    "lorimer.benchmarks.starter",
    "lorimer.doctor.examine",
    "lorimer.meta_agent.forecast.known",
    "lorimer.meta_agent.forecast.panel",
    "lorimer.meta_agent.ledger.bounds",
    "lorimer.meta_agent.proposer.propose",
    "lorimer.meta_agent.reports.audit",
    "lorimer.meta_agent.study.campaign",
    "lorimer.models.simulated.proposer",
    "lorimer.sandbox.bubblewrap.provider",
    "lorimer.sandbox.docker.provider",
    "lorimer.terminal.live",
    "lorimer.terminal.listing",
    "lorimer.terminal.opening",
    "lorimer.terminal.outlook",
    "numpy",
    "keyring.backends.SecretService",
    "openai.resources.chat.completions",
)
"""These bring most of what commands import: another module costs whoever needs it what it costs a user."""
AT_ITS_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_")
"""How the variables begin that an interpreter reads when it starts, and never again."""
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Where these are ignored, whatever is started ignores them too."""

_PROGRAM = "from tests.support.warm import serve; serve(); from lorimer.cli import main; main()"
_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = dict(os.environ)
"""Before any test has changed it."""
_ITS_OWN = {"OPENBLAS_NUM_THREADS": "1"}
"""As `lorimer.cli` has it before numpy is imported. Threads, besides, are lost to what is forked."""
_TURNS = itertools.count()
_NUMBER = struct.Struct("i")


class Forked:
    """A command under way: as much of `subprocess.Popen` as tests of commands ask of one."""

    def __init__(self, pid: int, said: IO[str], complained: IO[str], end: socket.socket) -> None:
        self.pid = pid
        self.stdout = said
        self.stderr = complained
        self.returncode: int | Any = None
        self._end = end
        self._reading: list[Thread] = []
        self._read_of: dict[IO[str], str] = {}
        self._asking = Lock()

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; `None` while it runs."""
        with self._asking:
            if self.returncode is None and select.select([self._end], [], [], 0)[0]:
                self.returncode = os.waitstatus_to_exitcode(_number(self._end))
                self._end.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        code = self.poll()
        while code is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("lorimer", timeout or 0.0)
            code = self.poll()
        return code

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """All that it says up to its end. It can be asked for again, as after a kill.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        until = None if timeout is None else time.monotonic() + timeout
        if not self._reading:
            self._reading = [
                Thread(target=self._read, args=(file,), daemon=True) for file in (self.stdout, self.stderr)
            ]
            for thread in self._reading:
                thread.start()
        for thread in self._reading:
            thread.join(None if until is None else max(until - time.monotonic(), 0.0))
            if thread.is_alive():
                raise subprocess.TimeoutExpired("lorimer", timeout or 0.0)
        self.wait(None if until is None else max(until - time.monotonic(), 0.0))
        return self._read_of[self.stdout], self._read_of[self.stderr]

    def _read(self, file: IO[str]) -> None:
        with file:
            self._read_of[file] = file.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Running: TypeAlias = Forked | subprocess.Popen[str]
"""A command under way, however it was begun."""


def starts_alike(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter would start in this environment as the two did that fork for commands."""
    return sys.platform == "linux" and _read_at_its_start(environment) == _read_at_its_start(_ENVIRONMENT)


def _read_at_its_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_ITS_START)}


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
    """Run a command in a session of its own, with our standard input."""
    said, saying = os.pipe()
    complained, complaining = os.pipe()
    try:
        pid, end = _asked_for(arguments, environment, (0, saying, complaining))
    finally:
        for ours in (saying, complaining):
            os.close(ours)
    return Forked(pid, os.fdopen(said, encoding="utf-8"), os.fdopen(complained, encoding="utf-8"), end)


def run_in_terminal(arguments: Sequence[str], environment: Mapping[str, str], inside: int) -> Forked:
    """Run a command as the leader of a session whose terminal this is; what it says is read there."""
    pid, end = _asked_for(arguments, environment, (inside, inside, inside))
    return Forked(pid, io.StringIO(), io.StringIO(), end)


def _asked_for(
    arguments: Sequence[str], environment: Mapping[str, str], files: tuple[int, int, int]
) -> tuple[int, socket.socket]:
    """The process of a command that has these files, and where its end is told."""
    end, ending = socket.socketpair()
    ignored = [number for number in PASSED_ON if signal.getsignal(number) is signal.SIG_IGN]
    asked = json.dumps([list(arguments), dict(environment), str(Path.cwd()), ignored]).encode()
    with ending:
        socket.send_fds(_warm(next(_TURNS) % 2), [asked], [*files, ending.fileno()])
    return _number(end), end


def _number(end: socket.socket) -> int:
    told = end.recv(_NUMBER.size)
    assert told, "the process that forks for commands is gone"
    (number,) = _NUMBER.unpack(told)
    return int(number)


@cache
def _warm(number: int) -> socket.socket:
    """Where one of the two takes commands. It ends when this process closes its end, or is gone."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    running = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=its.fileno(),
        stdout=subprocess.PIPE,  # as a command has one; nothing is written there
        cwd=_ROOT,
        env=_ENVIRONMENT | _ITS_OWN,
        start_new_session=True,
    )
    its.close()

    def leave() -> None:
        ours.close()
        running.communicate()

    atexit.register(leave)
    return ours


# ---- the process that forks


@dataclass(frozen=True)
class _Asked:
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    ignored: list[int]
    files: list[int]

    def begin(self) -> None:
        """Become the command's process."""
        os.setsid()
        *standard, ending = self.files
        for number, file in enumerate(standard):
            os.dup2(file, number)
        if os.isatty(1):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            assert isinstance(sys.stdout, io.TextIOWrapper)
            sys.stdout.reconfigure(line_buffering=True)  # as an interpreter has it that starts there
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        for signaled in PASSED_ON:
            usual = signal.default_int_handler if signaled == signal.SIGINT else signal.SIG_DFL
            signal.signal(signaled, signal.SIG_IGN if signaled in self.ignored else usual)
        sys.argv = ["-c", *self.arguments]
        os.write(ending, _NUMBER.pack(os.getpid()))
        for file in self.files:
            os.close(file)


def serve() -> None:
    """Fork for every command that is asked for. Returns in the processes of commands alone."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # to walk what all of them share would copy it for each
    asking = socket.socket(fileno=os.dup(0))
    endings: dict[int, tuple[int, int]] = {}  # a pidfd -> the pid, and where its end is told
    selector = selectors.DefaultSelector()
    selector.register(asking, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not asking:
                pid, ending = endings.pop(key.fd)
                _, status = os.waitpid(pid, 0)
                selector.unregister(key.fd)
                os.close(key.fd)
                with socket.socket(fileno=ending) as told, suppress(OSError):  # nobody may be left to hear it
                    told.send(_NUMBER.pack(status))
                continue
            said, files, _, _ = socket.recv_fds(asking, 1 << 20, 4)
            if not said:
                os._exit(0)
            arguments, environment, folder, ignored = json.loads(said)
            asked = _Asked(arguments, environment, folder, ignored, files)
            if (pid := os.fork()) == 0:
                selector.close()
                asking.close()
                for watched, (_, other) in endings.items():
                    os.close(watched)
                    os.close(other)
                return asked.begin()
            for file in files[:3]:
                os.close(file)
            watched = os.pidfd_open(pid)
            endings[watched] = pid, files[3]
            selector.register(watched, selectors.EVENT_READ)
