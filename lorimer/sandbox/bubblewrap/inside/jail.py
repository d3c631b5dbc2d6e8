"""A jail's own process 1, and how its child becomes the program."""

from __future__ import annotations

import _socket
import os
import resource
import select
import sys

from .agent import become_agent
from .kernel import (
    CAP_KILL,
    CAP_SYS_PTRACE,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    PR_SET_DUMPABLE,
    check,
    close_all_but,
    exit_code,
    forget_children,
    keep_capabilities,
    libc,
    limit,
    mount,
    reap,
    reset_signals,
    wake_on_children,
)
from .namespaces import announce, loopback, mount_own
from .watchdog import WATCH_FAST, Watchdog

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from types import CodeType

JAIL_FILES = 1024
"""Open files of a process. Each takes kernel memory that no limit here counts."""


class JailOrder:
    """One jail to be made.

    Args:
        memory: bytes of each process.
        watch: bytes of all, which a watchdog holds; 0 where a control group does.
        scratch: bytes of /tmp, which holds so many `inodes`.
        argv: the program. Where its options are those that this Python runs with, it is run in this process.
    """

    def __init__(
        self, memory: int, watch: int, pids: int, host_id: int, scratch: int, inodes: int, argv: list[str]
    ) -> None:
        self.memory, self.watch, self.pids, self.host_id = memory, watch, pids, host_id
        self.scratch, self.inodes, self.argv = scratch, inodes, argv

    @classmethod
    def of(cls, words: list[str], host_id: int) -> JailOrder:
        """What lorimer asks for."""
        memory, watch, pids, scratch, inodes, *argv = words
        return cls(int(memory), int(watch), int(pids), host_id, int(scratch), int(inodes), argv)


def run_jail(words: list[str], control: int, host_id: int) -> CodeType:
    """Be process 1 of a jail: run its program, tell lorimer its exit code and whether it was killed for memory.

    Returns in the program's process alone, where the program is run in that.

    Args:
        words: `memory, watch, pids, scratch, inodes` and the program's command line; see `JailOrder`.
    """
    jail = JailOrder.of(words, host_id)
    _furnish(jail)
    socket = _socket.socket(fileno=control)
    announce(socket)
    children = wake_on_children()
    child = os.fork()
    if child == 0:
        socket.detach()
        return _become_program(jail)
    for fd in (0, 1, 2):
        os.close(fd)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    keep_capabilities(CAP_KILL, CAP_SYS_PTRACE)
    watchdog = Watchdog(jail.watch)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(children, select.POLLIN)
    wait = WATCH_FAST if jail.watch else -1
    while True:
        ready = [fd for fd, _ in poll.poll(wait)]
        if control in ready:
            os._exit(0)
        if children in ready:
            os.read(children, 4096)
            for pid, status in reap():
                if pid == child:
                    os.write(control, f"{exit_code(status)} {int(watchdog.fired)}\n".encode())
                    os._exit(0)
        wait = watchdog.look({1})


def _furnish(jail: JailOrder) -> None:
    """Put what is the jail's own in front of what all jails see."""
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount_own()
    size = f"size={jail.scratch},nr_inodes={jail.inodes},mode=1777"
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, size)  # noqa: S108
    loopback()


def _become_program(jail: JailOrder) -> CodeType:
    """Become the program. Returns only where that is run in this process."""
    options = jail.argv[1:-1]
    here = options == sys.orig_argv[1 : 1 + len(options)] and options[-1:] == ["-c"]
    os.setsid()
    os.chdir("/tmp")  # noqa: S108  (the jail's own)
    close_all_but(0, 1, 2)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_DATA, jail.memory)
    limit(resource.RLIMIT_NOFILE, JAIL_FILES)
    become_agent(jail.host_id, jail.pids)
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}  # noqa: S108
    if not here:
        reset_signals()
        os.execvpe(jail.argv[0], jail.argv, environ)  # noqa: S606
    forget_children()
    # As an exec would: the program may read of itself what /proc tells.
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl dumpable")
    os.environ.clear()
    os.environ.update(environ)
    return compile(jail.argv[-1], "<string>", "exec")
