"""What process 1 of a jail or of a sandbox does alike, having been forked into namespaces of its own."""

from __future__ import annotations

import _socket
import os
import sys

from .kernel import CLONE_NEWPID, MS_NODEV, MS_NOEXEC, MS_NOSUID, check, libc, mount

PTMX_MODE = "newinstance,ptmxmode=0666,mode=620"
"""Terminals of one's own, as bwrap makes them for a namespace."""
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class Births:
    """Forks process 1 of one namespace of processes after another, all below this process's own."""

    def __init__(self) -> None:
        self.own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Like os.fork, but that the child is a process 1. Raises OSError."""
        check(libc.unshare(CLONE_NEWPID), "unshare")
        child = -1
        try:
            child = os.fork()
        finally:
            if child != 0:
                # The next child begins another one, which the kernel allows only to whose children would be in its own.
                check(libc.setns(self.own, CLONE_NEWPID), "setns")
        return child


def mount_own(root: str = "") -> None:
    """Put processes and terminals of one's own in front of those of whom this was forked from.

    Args:
        root: the folder that is to be `/`.
    """
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, PTMX_MODE)


def loopback() -> None:
    """A network of one's own begins with all its devices down."""
    import fcntl

    device = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(device.fileno(), SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + IFF_UP.to_bytes(2, sys.byteorder) + bytes(22))
    device.close()


def announce(control: _socket.socket) -> None:
    """Tell lorimer that this process has begun, and give it what it is known by."""
    own = os.pidfd_open(1)
    control.sendmsg([b"begun"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, own.to_bytes(4, sys.byteorder))])
    os.close(own)
