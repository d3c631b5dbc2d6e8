"""Process 1 of the namespace that jails are forked from.

It has started Python and imported what a harness needs, and runs nothing of anybody's. A bwrap for each jail took 35 ms of a
processor, its Python 15, and the imports of a harness 60; all of a jail takes 25 from here.

A jail has namespaces of its own in front of whatever it could change or be seen by: processes, mounts, IPC, network, terminals
and `/tmp`. What it shares with others cannot be written: the mounts that bwrap made, and a copy of this process's memory, where
nothing is but Python.
"""

from __future__ import annotations

import _socket
import os
import select

from .jail import JailOrder, run_jail
from .kernel import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    check,
    libc,
    reap,
    suppress,
    wake_on_children,
    write_text,
)

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from types import CodeType

MOST_SAID = 256 << 10
"""Bytes of a request, more than the kernel takes of one message."""
MOST_DESCRIPTORS = 8
"""The jail's control socket, its wire, its stderr, and a control group's doors, of which there are two at most."""


def serve(control: int, host_id: int, modules: list[str]) -> CodeType:
    """Fork jails until lorimer closes the control socket. Returns in the process of a jail's program alone: what it is to run.

    A request is `memory, watch, pids, scratch, inodes` and the program's command line, with NUL between; see `JailOrder`.

    Args:
        modules: what is imported before the first jail.
    """
    for name in modules:
        __import__(name)
    socket = _socket.socket(fileno=control)
    children = wake_on_children()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(children, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if control in ready:
            said, ancillary, _, _ = socket.recvmsg(
                MOST_SAID, _socket.CMSG_SPACE(4 * MOST_DESCRIPTORS), _socket.MSG_CMSG_CLOEXEC
            )
            if not said:
                os._exit(0)
            given = memoryview(ancillary[0][2]).cast("i").tolist()
            jail = JailOrder.of(said, host_id)
            try:
                forked = os.fork()
            except OSError as error:  # too many processes: the others live on
                forked = -1
                with suppress(OSError):  # nobody waits for it any more
                    os.write(given[2], _failure(error))
            if forked == 0:
                os.close(socket.detach())
                return _become(jail, *given)
            for descriptor in given:
                os.close(descriptor)
        if children in ready:
            os.read(children, 4096)
            reap()


def _become(jail: JailOrder, control: int, wire: int, errors: int, *doors: int) -> CodeType:
    """Become the program of a jail, by way of the jail's own process 1. Returns in the program alone.

    Args:
        doors: the files of control groups that take in whoever writes to them.
    """
    try:
        for target, source in ((0, wire), (1, wire), (2, errors)):
            os.dup2(source, target)
        os.close(wire)
        os.close(errors)
        write_text("/proc/self/oom_score_adj", "1000")  # under pressure the kernel takes the jail, not lorimer
        for door in doors:
            os.write(door, b"0")
            os.close(door)
        libc.unshare(CLONE_NEWCGROUP)  # a kernel that has it shows the jail its own group as the top
        check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET), "unshare")
        if os.fork() != 0:  # only a child is in the new namespace of processes
            os._exit(0)
        return run_jail(jail, control)
    except BaseException as error:  # noqa: BLE001  (whatever it was, this process must not go on as process 1's)
        os.write(2, _failure(error))
        os._exit(126)


def _failure(error: BaseException) -> bytes:
    return f"lorimer: the jail could not start: {type(error).__name__}: {error}\n".encode()
