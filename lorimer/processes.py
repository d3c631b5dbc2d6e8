"""Processes of this machine by their numbers, and what this one may use. The standard library alone: every room may import it.

A number alone does not name a process, as it is used again; number and start together do, until the machine is booted anew.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def exists(pid: int) -> bool:
    """Whether a process of this number is there now, whoever owns it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # someone else's
    return True


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot; empty where there is none, or no /proc that says it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        # Field 22. The second is a name in parentheses that may itself hold spaces and parentheses.
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process was suspended (Ctrl-Z, SIGSTOP) and does nothing until it is continued; `False` without a /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["T"]


def open_files(wanted: int) -> int:
    """Let this process have `wanted` files, pipes and connections open at once, as far as its hard limit goes.

    What it may have from now on, which is never less than before. Most systems begin with 1,024, and let a process ask for more.
    """
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in _open_files())
    allowed = max(soft, min(wanted, hard))
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, _open_files()[1]))
    return allowed


def _open_files() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
