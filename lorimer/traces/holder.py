"""Which process runs a study, and whether it still does."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """This process as the holder of a study: `host:pid:start`, where `start` tells a reused pid apart."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def alive(holder: str) -> bool:
    """Whether a holder may still run. One on another host counts as alive: nobody here can tell."""
    host, pid, start = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return start == "0" or _started(int(pid)) in (start, "0")


def described(holder: str, since: str = "") -> str:
    """A holder for people: `process 17 on this machine since 2026-01-01 08:00:00 UTC`."""
    host, pid, _ = holder.rsplit(":", 2)
    where = "this machine" if host == socket.gethostname() else f"the machine {host}"
    return f"process {pid} on {where}" + (f" since {since[:19].replace('T', ' ')} UTC" if since else "")


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot; `0` where the system does not say (no /proc)."""
    try:
        # Field 22, counted after the command's name, which is in brackets and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return "0"
