"""Process 1 of the namespace that jails, or sandboxes, are forked from.

It has started Python and imported what they need, and runs nothing of anybody's. A bwrap for each took 35 ms of a processor, its
Python 15, and what a harness imports 60; all of a jail takes 25 from here.

Each has namespaces of its own in front of whatever it could change or be seen by: processes, mounts, IPC, network, terminals
and files. What it shares with others cannot be written: the mounts that bwrap made, and a copy of this process's memory, where
nothing is but Python.
"""

from __future__ import annotations

import _socket
import os
import select

from .kernel import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    check,
    close_all_but,
    forget_children,
    libc,
    reap,
    suppress,
    wake_on_children,
    write_text,
)
from .namespaces import Births

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

MOST_SAID = 256 << 10
"""Bytes of a request, more than the kernel takes of one message."""
MOST_DESCRIPTORS = 8
"""A control socket, what becomes stdin and stdout, stderr, and a control group's doors, of which there are two at most."""


def serve(control: int, run: Callable[[list[str], int], CodeType]) -> CodeType:
    """Fork until lorimer closes the control socket. Returns in the process of a jail's program alone: what it is to run.

    Args:
        run: what a forked process 1 does with the words of a request, which have NUL between, and with its control socket.
    """
    socket = _socket.socket(fileno=control)
    children, births = wake_on_children(), Births()
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
            try:
                forked = births.fork()
            except OSError as error:  # too many processes: the others live on
                forked = -1
                with suppress(OSError):  # nobody waits for it any more
                    os.write(given[2], _failure(error))
            if forked == 0:
                socket.detach()
                return _become(run, said.decode("utf-8", "surrogateescape").split("\0"), *given)
            for descriptor in given:
                os.close(descriptor)
        if children in ready:
            os.read(children, 4096)
            reap()


def _become(
    run: Callable[[list[str], int], CodeType], words: list[str], control: int, wire: int, errors: int, *doors: int
) -> CodeType:
    """Become what was asked for. Returns in a jail's program alone.

    Args:
        doors: the files of control groups that take in whoever writes to them.
    """
    try:
        for target, source in ((0, wire), (1, wire), (2, errors)):
            os.dup2(source, target)
        write_text("/proc/self/oom_score_adj", "1000")  # under pressure the kernel takes this, not lorimer
        for door in doors:
            os.write(door, b"0")
        forget_children()
        close_all_but(0, 1, 2, control)
        libc.unshare(CLONE_NEWCGROUP)  # a kernel that has it shows each its own group as the top
        check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET), "unshare")
        return run(words, control)
    except BaseException as error:  # noqa: BLE001  (whatever it was, this process must not go on as process 1's)
        os.write(2, _failure(error))
        os._exit(126)


def _failure(error: BaseException) -> bytes:
    return f"lorimer: {type(error).__name__}: {error}\n".encode()
