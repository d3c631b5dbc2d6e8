"""PID 1 of a jail."""

from __future__ import annotations

import os
import resource
import select

from .agent import become_agent
from .kernel import (
    MS_NODEV,
    MS_NOSUID,
    MS_REMOUNT,
    PR_SET_DUMPABLE,
    exit_code,
    libc,
    limit,
    mount,
    reap,
    reset_signals,
    wake_on_children,
)
from .watchdog import WATCH_FAST, Watchdog

JAIL_FILES = 1024
"""Open files of a process. Each takes kernel memory that no limit here counts."""


def run_jail(control: int, memory: int, watch: int, pids: int, host_id: int, inodes: int, argv: list[str]) -> None:
    """Run one program; tell lorimer its exit code and whether it was killed for memory."""
    # bwrap sets a tmpfs's size, not how many files it holds.
    mount("tmpfs", "/tmp", "", MS_REMOUNT | MS_NOSUID | MS_NODEV, f"nr_inodes={inodes}")  # noqa: S108
    children = wake_on_children()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            reset_signals()
            os.chdir("/tmp")  # noqa: S108  (the jail's own)
            limit(resource.RLIMIT_CORE, 0)
            limit(resource.RLIMIT_DATA, memory)
            limit(resource.RLIMIT_NOFILE, JAIL_FILES)
            become_agent(host_id, pids)
            environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}  # noqa: S108
            os.execvpe(argv[0], argv, environ)  # noqa: S606
        except BaseException as error:  # noqa: BLE001  (whatever it was, this process must not go on as lorimer's)
            os.write(2, f"lorimer: the jail could not start: {error}\n".encode())
        finally:
            os._exit(126)
    for fd in (0, 1, 2):
        os.close(fd)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    watchdog = Watchdog(watch)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(children, select.POLLIN)
    wait = WATCH_FAST if watch else -1
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
