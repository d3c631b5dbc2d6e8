"""Holds a namespace's memory under its limit where no cgroup does."""

from __future__ import annotations

from .kernel import kill, processes

WATCH_FAST, WATCH_SLOW = 100, 500
"""Milliseconds between looks at memory: fast from a quarter of the limit on. Two cores fault in at most about 0.5 GB
in 100 ms, and each process is bounded by RLIMIT_DATA anyway."""


def memory_of(pid: str) -> int:
    """Bytes of anonymous and shared memory that are resident in a process; 0 if it is gone."""
    total = 0
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123  (no pathlib in here: its import costs 8 ms)
            for line in file:
                if line.startswith((b"RssAnon:", b"RssShmem:")):
                    total += int(line.split()[1]) << 10
    except (OSError, ValueError):
        return 0
    return total


def proportional(pid: str, fallback: int) -> int:
    """Like `memory_of`, with shared pages divided among those who share them; slower, and not always readable."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            fields = {line.split()[0]: int(line.split()[1]) << 10 for line in file if line.endswith(b"kB\n")}
    except (OSError, ValueError):
        return fallback
    return fields.get(b"Pss_Anon:", fallback) + fields.get(b"Pss_Shmem:", 0)


class Watchdog:
    """Keeps the sum of the namespace's memory under a limit, where no cgroup does, by killing the largest process.

    Args:
        limit: bytes; 0 watches nothing.
        spare: PIDs that are never killed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.fired = False

    def look(self, spare: set[int]) -> int:
        """Kill what is too much; milliseconds until the next look, -1 for none, where there is nothing to watch."""
        if not self.limit:
            return -1
        sizes = {str(pid): memory_of(str(pid)) for pid in processes() if pid not in spare}
        if sum(sizes.values()) > self.limit:
            sizes = {pid: proportional(pid, size) for pid, size in sizes.items() if size}
        total = sum(sizes.values())
        if total > self.limit:
            self.fired = True
            for pid in sorted(sizes, key=lambda pid: -sizes[pid]):
                kill(int(pid))
                total -= sizes[pid]
                if total <= self.limit:
                    break
        if not sizes:
            return -1
        return WATCH_FAST if total > self.limit // 4 else WATCH_SLOW
