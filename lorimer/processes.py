"""Processes of this machine by their numbers, and what this one may use. The standard library alone: every room may import it.

A number alone does not name a process, as it is used again; number and start together do, until the machine is booted anew.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path


def exists(pid: int) -> bool:
    """Whether a process of this number is there now, whoever owns it; one that has ended and was not waited for is not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # someone else's
    return not _ended(_stat(pid))


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot; empty where there is none, or no /proc that says it."""
    stat = _stat(pid)
    return "" if _ended(stat) or len(stat) < 20 else stat[19]


def is_stopped(pid: int) -> bool:
    """Whether a process was suspended (Ctrl-Z, SIGSTOP) and does nothing until it is continued; `False` without a /proc."""
    return _stat(pid)[:1] == ["T"]


def _stat(pid: int) -> list[str]:
    """What the kernel says of a process, from the third field on, which is its state; nothing without a /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    # The second field is a name in parentheses that may itself hold spaces and parentheses.
    return stat.rpartition(")")[2].split()


def _ended(stat: Sequence[str]) -> bool:
    """Whether a process runs nothing any more. Its number stays until its parent waits for it, and the first process of many
    containers (`sleep infinity`) never does."""
    return stat[:1] in (["Z"], ["X"])


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
