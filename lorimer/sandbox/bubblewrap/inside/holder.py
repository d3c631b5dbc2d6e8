"""PID 1 of a sandbox, whose mount namespace holds its files while the lives of its processes come and go."""

from __future__ import annotations

import _socket
import os
import resource
import select
import sys
import time

from .agent import become_agent
from .kernel import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_KILL,
    CAP_SETFCAP,
    CAP_SETGID,
    CAP_SETUID,
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    CLONE_NEWIPC,
    CLONE_NEWNS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    check,
    keep_capabilities,
    kill,
    libc,
    limit,
    mount,
    reap,
    wake_on_children,
)
from .namespaces import Births, announce, loopback
from .root import Root
from .serve import LEAST_DATA, Server
from .watchdog import WATCH_SLOW, Watchdog

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import NoReturn

SHM_BYTES = 64 << 20
"""Docker's size of /dev/shm."""
HOLDER_NEEDS = (CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SYS_PTRACE)
"""Capabilities that it keeps: for namespaces and mounts, for becoming the agent in each life, for links that it puts back where
the agent's files are, and for the watchdog."""
SANDBOX_FILES = 4096
"""Open files of a process. Each takes kernel memory that no limit here counts; builds and databases ask for 1,024 to 4,096."""


class Holder:
    """PID 1 of a sandbox: owns the file system, starts and ends lives.

    Args:
        root: what it puts back into the file system.
        memory: bytes, of each process and of all together.
        pids: processes of a life.
        host_id: see `become_agent`.
    """

    def __init__(self, control: _socket.socket, root: Root, memory: int, pids: int, host_id: int) -> None:
        self.control, self.root = control, root
        self.limits = (memory, pids, host_id)
        self.watchdog, self.births = Watchdog(memory), Births()
        self.begun = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Written to by a life as it starts a command: where nothing of the agent's runs, nothing is watched."""
        self.life = 0

    def run(self) -> NoReturn:
        """Serve lorimer until it closes the control socket."""
        children = wake_on_children()
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.register(children, select.POLLIN)
        poll.register(self.begun, select.POLLIN)
        due: float | None = None  # the next look at memory
        while True:
            ready = [fd for fd, _ in poll.poll(None if due is None else max(0.0, due - _milliseconds()))]
            if self.control.fileno() in ready:
                # Close-on-exec: no command of the agent's may inherit the life's socket, on which it could answer for its PID 1.
                _, ancillary, _, _ = self.control.recvmsg(16, 64, _socket.MSG_CMSG_CLOEXEC)
                if not ancillary:
                    os._exit(0)
                self.new_life(int.from_bytes(ancillary[0][2][:4], sys.byteorder))
            if children in ready:
                os.read(children, 4096)
                if self.life in [pid for pid, _ in reap()]:
                    self.life = 0
            if self.begun in ready:
                os.eventfd_read(self.begun)
                due = _milliseconds() + WATCH_SLOW if due is None else due
            if due is not None and due <= _milliseconds():
                wait = self.watchdog.look({1, self.life})
                due = None if wait < 0 else _milliseconds() + wait

    def new_life(self, channel: int) -> None:
        """End the present life with all its processes and start one that serves `channel`."""
        if self.life:
            kill(self.life)
            os.waitpid(self.life, 0)
            self.life = 0
        self.root.repair()
        try:
            self.life = self.births.fork()
        except OSError as error:
            os.write(2, f"lorimer: no new life: {error}\n".encode())
        else:
            if self.life == 0:
                self.control.close()
                os.close(self.births.own)
                self.live(channel)
        os.close(channel)

    def live(self, channel: int) -> None:
        """PID 1 of a life. Never returns."""
        try:
            memory, pids, host_id = self.limits
            check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare")
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"size={SHM_BYTES},nr_inodes=4096,mode=1777")  # noqa: S108
            os.setsid()
            limit(resource.RLIMIT_CORE, 0)
            limit(resource.RLIMIT_NOFILE, SANDBOX_FILES)
            become_agent(host_id, pids)
            limit(resource.RLIMIT_DATA, max(memory, LEAST_DATA))  # of each command, which inherits it
            Server(channel, wake_on_children(), self.begun).run()
        except BaseException as error:  # noqa: BLE001
            os.write(2, f"lorimer: the sandbox ended: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(1)


def _milliseconds() -> float:
    return time.monotonic() * 1000


def run_sandbox(words: list[str], control: int, host_id: int, root: Root) -> NoReturn:
    """Be process 1 of a sandbox.

    Args:
        words: bytes of memory, processes, bytes of storage, and how many files and folders that may hold.
    """
    memory, pids, storage, inodes = map(int, words)
    root.make(storage, inodes, host_id or -1)
    loopback()
    # Where this is no root on the host it maps a namespace's root, which takes SETFCAP since Linux 5.12.
    keep_capabilities(*HOLDER_NEEDS, *(() if host_id else (CAP_SETFCAP,)))
    sys.meta_path.clear()  # all that is needed was imported: what lies at those paths from here on is the agent's
    socket = _socket.socket(fileno=control)
    announce(socket)
    Holder(socket, root, memory, pids, host_id).run()
