"""Which process runs a study, and whether it still does."""

from __future__ import annotations

import os
import socket

from lorimer.processes import exists, started


def this_process() -> str:
    """This process as the holder of a study: `host:pid:start`, where `start` tells a reused pid apart."""
    return f"{socket.gethostname()}:{os.getpid()}:{started(os.getpid()) or '0'}"


def alive(holder: str) -> bool:
    """Whether a holder may still run. One on another host counts as alive: nobody here can tell."""
    _, pid, start = holder.rsplit(":", 2)
    if elsewhere(holder):
        return True
    # A start of 0: the system did not say it. An empty one: it does not say it now.
    return exists(int(pid)) and (start == "0" or started(int(pid)) in (start, ""))


def elsewhere(holder: str) -> bool:
    """Whether a holder ran on a machine of another name. That is this one too, where it was renamed since."""
    return holder.rsplit(":", 2)[0] != socket.gethostname()


def pid_of(holder: str) -> int:
    """The number of a holder's process, on its own host."""
    return int(holder.rsplit(":", 2)[1])


def described(holder: str, since: str = "") -> str:
    """A holder for people: `process 17 on this machine since 2026-01-01 08:00:00 UTC`."""
    host, pid, _ = holder.rsplit(":", 2)
    where = "this machine" if host == socket.gethostname() else f"the machine {host}"
    return f"process {pid} on {where}" + (f" since {since[:19].replace('T', ' ')} UTC" if since else "")
