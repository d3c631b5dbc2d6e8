"""What people are told of the requests that a process may have in flight."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

from lorimer.models.flow import places
from lorimer.models.flow.control import Flow


def limits(holder: str, now: float) -> list[str]:
    """What holds back the requests of a process, a line for each provider: `local: at most 6 at once since 14:03 UTC, …`.

    Args:
        holder: `HOST:PID:START`, as the store names the process that runs a study.
        now: seconds of the wall clock.
    """
    _, pid, start = holder.rsplit(":", 2)
    process = f"{pid}:{'' if start == '0' else start}:"
    found = set[str]()
    with suppress(OSError, RuntimeError):
        for path in places.folder().glob("*.json"):
            found |= _of(places.read(path.read_bytes()), process, now)
    return sorted(found)


def held_up(flow: Flow, name: str, provider: str) -> str:
    """Which other processes have the requests that may be in flight while a client waits; empty where that is not why. Pure."""
    process, _, _ = name.rpartition(":")
    held = Counter[str]()
    for other, user in flow.users.items():
        if user.flying and other.rpartition(":")[0] != process:
            held[other.partition(":")[0]] += user.flying
    if not held or flow.allowed is None or flow.flying < flow.allowed:
        return ""
    most = f"{flow.allowed} request{'' if flow.allowed == 1 else 's'}"
    have = ", ".join(f"process {pid} has {count}" for pid, count in held.most_common())
    return f"for a turn: {provider} may have {most} in flight at once, and {have}"


def _of(flow: Flow, process: str, now: float) -> set[str]:
    own = [user for name, user in flow.users.items() if name.startswith(process)]
    if flow.limit is None or not any(user.bound is None or flow.limit < user.bound for user in own):
        return set()
    since = datetime.fromtimestamp(flow.cut, UTC).strftime("%H:%M")
    more = f"; it asked for {flow.until - now:.0f} s without any" if flow.until > now else ""
    most = max(1, int(flow.limit))
    return {
        f"{user.provider}: at most {most} at once, as it had too much to do at {since} UTC{more}" for user in own[:1]
    }
