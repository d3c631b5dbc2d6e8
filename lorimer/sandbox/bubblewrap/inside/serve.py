"""PID 1 of a bubblewrap sandbox's life: runs commands and handles files for lorimer, as the agent's own user.

It has no more power than the agent, so a symlink that the agent planted leads it nowhere the agent could not go itself.
Like `main` it imports next to nothing.

A frame is a length (u32, big endian) and that many bytes: fields, each a length (u32) and its bytes. A request is
`id, operation, ...`; an answer is `id, "ok" | "file" | "error", ...`, where `file` carries what SandboxFileError will say.
"""

from __future__ import annotations

import errno
import os
import select
import time
from _collections import deque  # type: ignore[import-not-found]  # `collections`, whose import costs 3 ms

from .files import FileTrouble, own_files, put, read_file
from .kernel import IGNORED_BY_PYTHON, exit_code, kill, processes, reap, suppress, write_all

CHUNK = 1 << 16
LEAST_DATA = 128 << 20
"""Bytes of its own memory that this process needs: a file of 64 MB is read whole, and a list of files can take as much."""
LONGEST_WORD = 100_000
"""Bytes of a command that is given as an argument, of which the kernel allows 128 KiB."""
SCRIPT = 9
"""The descriptor of a longer command's file: the greatest that every shell can close by its number."""
SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh")


def pack(fields: list[bytes]) -> bytes:
    """Fields as a frame's body has them."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def unpack(body: bytes) -> list[bytes]:
    """The fields of a frame's body."""
    fields, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        fields.append(body[at + 4 : end])
        at = end
    return fields


class Capture:
    """One output stream: the first and the last half of `cap` bytes, and a count of what was between.

    It is read to its end even when the answer has been sent, so that a daemon is not killed by writing to it.
    """

    def __init__(self, fd: int, cap: int) -> None:
        self.fd = fd
        self.head_cap, self.tail_cap = (cap + 1) // 2, cap // 2
        self.head = bytearray()
        self.tail: deque[bytes] = deque()
        self.tail_size = self.total = 0
        self.keep = True

    def read(self) -> bool:
        """Take what is there; False at the end of the stream."""
        if self.fd < 0:
            return False
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return True
        if data and self.keep:
            self.total += len(data)
            room = self.head_cap - len(self.head)
            if room > 0:
                self.head += data[:room]
                data = data[room:]
            if data:
                self.tail.append(data)
                self.tail_size += len(data)
                while self.tail_size - len(self.tail[0]) >= self.tail_cap:
                    self.tail_size -= len(self.tail.popleft())
            return True
        return bool(data)

    def drain(self) -> None:
        """Take what is in the pipe now, at most its capacity: a daemon may never stop writing."""
        for _ in range(32):
            before = self.total
            if not self.read() or self.total == before:
                return

    def finish(self) -> tuple[bytes, int]:
        """The kept bytes and how many were dropped."""
        self.keep = False
        joined = b"".join(self.tail)
        kept = bytes(self.head) + joined[max(0, len(joined) - self.tail_cap) :]
        self.head, self.tail = bytearray(), deque()
        return kept, self.total - len(kept)


class RunningCommand:
    """A running command."""

    def __init__(self, request: bytes, pid: int, deadline: float, out: Capture, err: Capture) -> None:
        self.request, self.pid, self.deadline = request, pid, deadline
        self.started = time.monotonic()
        self.out, self.err = out, err
        self.timed_out = False


class Server:
    """Answers requests until lorimer hangs up.

    Args:
        channel: the socket to lorimer.
        children: readable when a child ends.
        begun: an eventfd, which hears of each command that is started.
    """

    def __init__(self, channel: int, children: int, begun: int) -> None:
        self.channel, self.children, self.begun = channel, children, begun
        self.poll = select.poll()
        self.commands: dict[int, RunningCommand] = {}
        self.captures: dict[int, Capture] = {}
        self.shell = next(shell for shell in SHELLS if os.path.exists(shell))  # noqa: PTH110

    def run(self) -> None:
        """The loop. It sleeps in `poll` until something happens or a deadline is due."""
        self.poll.register(self.channel, select.POLLIN)
        self.poll.register(self.children, select.POLLIN)
        self.answer([b"0", b"ok"])
        while True:
            due = min((command.deadline for command in self.commands.values()), default=None)
            wait = None if due is None else max(0, int((due - time.monotonic()) * 1000) + 1)
            for fd, _ in self.poll.poll(wait):
                if fd == self.channel:
                    size = int.from_bytes(self.read_exactly(4), "big")
                    self.request(unpack(self.read_exactly(size)))
                elif fd == self.children:
                    os.read(self.children, 4096)
                elif fd in self.captures and not self.captures[fd].read():
                    self.forget(fd)
            for pid, status in reap():
                command = self.commands.pop(pid, None)
                if command is not None:
                    self.report(command, status)
            now = time.monotonic()
            for command in self.commands.values():
                if now >= command.deadline:
                    command.timed_out = True
                    command.deadline = now + 1.0
                    kill_session(command.pid)

    def read_exactly(self, count: int) -> bytes:
        """Bytes from lorimer; ends the process when lorimer is gone."""
        parts = []
        while count:
            data = os.read(self.channel, min(count, 1 << 20))
            if not data:
                os._exit(0)
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def answer(self, fields: list[bytes], last: list[bytes] | None = None) -> None:
        """Send one frame.

        Args:
            last: the pieces of one more field, which may be large: they are copied no more.
        """
        body, pieces = pack(fields), last or []
        size = sum(map(len, pieces))
        if last is not None:
            body += size.to_bytes(4, "big")
        for piece in ((len(body) + size).to_bytes(4, "big") + body, *pieces):
            write_all(self.channel, piece)

    def forget(self, fd: int) -> None:
        """Close a finished stream."""
        self.poll.unregister(fd)
        self.captures.pop(fd).fd = -1
        os.close(fd)

    def request(self, fields: list[bytes]) -> None:
        """Do one thing."""
        request, operation, *rest = fields
        try:
            if operation == b"exec":
                self.start(request, rest)
            elif operation == b"kill":
                for command in self.commands.values():
                    if command.request == rest[0]:
                        command.deadline = 0.0
            elif operation == b"read":
                self.answer([request, b"ok"], last=read_file(os.fsdecode(rest[0]), int(rest[1])))
            elif operation == b"put":
                put(rest)
                self.answer([request, b"ok"])
            elif operation == b"list":
                self.answer([request, b"ok", *own_files(*map(int, rest))])
            else:
                self.answer([request, b"error", b"unknown operation"])
        except FileTrouble as trouble:
            self.answer([request, b"file", str(trouble).encode("utf-8", "replace")])
        except OSError as error:
            name = os.fsencode(error.filename or b"")
            # makedirs says EEXIST of a file where a folder is wanted
            reason = "not a directory" if error.errno == errno.EEXIST else (error.strerror or "cannot be used").lower()
            self.answer([request, b"file", name + b": " + reason.encode()])

    def start(self, request: bytes, fields: list[bytes]) -> None:
        """Start a command."""
        timeout, cap, cwd, command, *environ = fields
        readers, writers = zip(os.pipe(), os.pipe(), strict=True)
        try:
            pid = self.spawn(writers, cwd, command, environ)
        except (OSError, ValueError) as error:
            for fd in readers:
                os.close(fd)
            # A value: the agent used up its processes, say. A restart gives them back.
            said = f"lorimer: cannot start the command: {error}\n".encode()
            self.answer([request, b"ok", b"126", b"0", b"0", b"0", b"0", b"", said])
            return
        finally:
            for fd in writers:
                os.close(fd)
        os.eventfd_write(self.begun, 1)
        captures = [Capture(fd, int(cap)) for fd in readers]
        for capture in captures:
            os.set_blocking(capture.fd, False)
            self.captures[capture.fd] = capture
            self.poll.register(capture.fd, select.POLLIN)
        self.commands[pid] = RunningCommand(request, pid, time.monotonic() + float(timeout), *captures)

    def spawn(self, writers: tuple[int, ...], cwd: bytes, command: bytes, environ: list[bytes]) -> int:
        """The number of a command's process, in a session of its own.

        It inherits the limit of its memory, which is this process's, and the folder it begins in: a spawn can set neither, and a
        fork, which can, took 2 ms more of a processor for each command.

        Args:
            writers: its stdout and stderr.
        """
        actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, writer, fd) for fd, writer in enumerate(writers, start=1)]
        argv, script = [self.shell.encode(), b"-c", command], -1
        pairs = (pair.partition(b"=") for pair in environ)
        try:
            if len(command) > LONGEST_WORD:
                script = nameless(b"exec %d<&-; " % SCRIPT + command)
                actions.append((os.POSIX_SPAWN_DUP2, script, SCRIPT))
                argv = [argv[0], b"/proc/self/fd/%d" % SCRIPT]
            enter(cwd, writers[1])
            return os.posix_spawn(
                self.shell,
                argv,
                {name: value for name, _, value in pairs},
                file_actions=actions,
                setsid=True,
                setsigdef=IGNORED_BY_PYTHON,
            )
        finally:
            os.chdir("/")
            if script >= 0:
                os.close(script)

    def report(self, command: RunningCommand, status: int) -> None:
        """Answer for a command that has ended, whoever may still hold its output open."""
        if command.timed_out:
            kill_session(command.pid)
        fields = [command.request, b"ok", b"" if command.timed_out else str(exit_code(status)).encode()]
        outputs = []
        for capture in (command.out, command.err):
            capture.drain()
            outputs.append(capture.finish())
        duration = int((time.monotonic() - command.started) * 1e6)
        fields += [b"%d" % command.timed_out, b"%d" % outputs[0][1], b"%d" % outputs[1][1], b"%d" % duration]
        self.answer([*fields, outputs[0][0], outputs[1][0]])


def enter(cwd: bytes, errors: int) -> None:
    """Change to the folder; `?` before it marks the sandbox's own, which the agent may have deleted: `/` instead."""
    try:
        os.chdir(cwd.removeprefix(b"?"))
    except OSError as error:
        if not cwd.startswith(b"?"):
            raise
        os.chdir("/")
        os.write(
            errors, b"lorimer: the working directory %s is gone (%s)\n" % (cwd[1:], (error.strerror or "").encode())
        )


def nameless(text: bytes) -> int:
    """A file without a name, by which the shell gets what is too long for an argument.

    The shell opens it once more for itself, and its first words close the descriptor by which it found it.
    """
    fd = os.open("/", os.O_TMPFILE | os.O_RDWR, 0o600)
    write_all(fd, text)
    return fd


def kill_session(session: int) -> None:
    """Kill every process of a session.

    The group first, which is atomic against a fork bomb; then whatever had made a group of its own, until none is left.
    """
    for _ in range(100):
        with suppress(ProcessLookupError):
            os.killpg(session, 9)
        members = [pid for pid in processes() if session_of(pid) == session]
        if not members:
            return
        for pid in members:
            kill(pid)


def session_of(pid: int) -> int:
    """A living process's session, else 0."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
        state, session, threads = fields[0], int(fields[3]), int(fields[17])
    except (OSError, ValueError, IndexError):
        return 0
    # In state Z with several threads only its first one has ended.
    return 0 if state in (b"Z", b"X") and threads <= 1 else session
