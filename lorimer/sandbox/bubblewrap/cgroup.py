"""A control group for each jail, where this process may make some: what holds its memory as a whole, and its CPU.

RLIMIT_DATA and the watchdog see the pages of processes. What the kernel holds for sockets and pipes is counted by a control group
alone: without one, a jail of 512 MB that fills the buffers of sockets takes what the machine has (seen: 2 GB from 12 processes).

Version 1 has a tree for each controller, in which a jail's group lies below lorimer's own. In version 2 a group with processes
may have no groups below it that are limited, so a jail's lies beside lorimer's own, or at the top. What is written is read back,
and a process is moved in once before any group counts as one that holds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lorimer.errors import SandboxError
from lorimer.processes import started

PREFIX = "lorimer-jail-"

PERIOD_MICROSECONDS = 100_000
"""The kernel's default: within so much time a jail gets its share of CPU."""

_ENTER = """import os, sys
for door in sys.argv[1:]:
    os.write(int(door), str(os.getpid()).encode())
print("in", flush=True)
input()"""
"""A program that enters by the doors whose numbers are its arguments, and stays until it has a line."""

REMOVAL_TRIES, REMOVAL_PAUSE = 20, 0.05
"""The kernel lets a group be removed a moment after its last process has been waited for; one that stays is reaped later."""

_PROBE_SECONDS = 10.0
_PROBE_MEMORY, _PROBE_CPUS = 64 << 20, 0.5


@dataclass(frozen=True)
class _Tree:
    """Where groups can be made that hold one controller or both."""

    folder: Path
    memory: bool
    cpu: bool
    unified: bool
    """Version 2."""

    def limits(self, memory: int, cpus: float) -> Iterator[tuple[str, str, bool]]:
        """File, value, and whether it must be there: a kernel without accounting of swap has no limit for it."""
        quota = max(int(cpus * PERIOD_MICROSECONDS), 1000)
        if self.memory and self.unified:
            yield "memory.max", str(memory), True
            yield "memory.swap.max", "0", False
        elif self.memory:
            yield "memory.limit_in_bytes", str(memory), True
            yield "memory.memsw.limit_in_bytes", str(memory), False
        if self.cpu and self.unified:
            yield "cpu.max", f"{quota} {PERIOD_MICROSECONDS}", True
        elif self.cpu:
            yield "cpu.cfs_period_us", str(PERIOD_MICROSECONDS), True
            yield "cpu.cfs_quota_us", str(quota), True


class JailGroup:
    """The control group of one jail: a folder in each tree."""

    def __init__(self, folders: tuple[Path, ...], events: Path) -> None:
        self.folders = folders
        self._events = events

    @contextmanager
    def doors(self) -> Iterator[list[int]]:
        """Descriptors that take in whoever writes `0`, or its own number, to them. Raises SandboxError.

        A jail's first process does so before it starts any: moved later, it would leave those behind.
        """
        with ExitStack() as opened:
            try:
                doors = [opened.enter_context((folder / "cgroup.procs").open("wb")) for folder in self.folders]
            except OSError as error:
                raise SandboxError(f"a jail cannot enter its control group: {error}") from error
            yield [door.fileno() for door in doors]

    def out_of_memory(self) -> bool:
        """Whether the kernel killed a process in it for memory."""
        with suppress(OSError, ValueError):
            for line in self._events.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count) > 0
        return False

    async def remove(self) -> None:
        """Remove it once its processes are gone."""
        for _ in range(REMOVAL_TRIES):
            if self.removed():
                return
            await asyncio.sleep(REMOVAL_PAUSE)

    def removed(self) -> bool:
        """Try to remove it; whether nothing of it is left."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders)


class JailGroups:
    """Makes control groups for jails."""

    def __init__(self, trees: tuple[_Tree, ...]) -> None:
        self._trees = trees
        pid = os.getpid()
        self._name = f"{PREFIX}{pid}-{started(pid)}-"
        self._numbers = itertools.count(1)

    @classmethod
    def find(cls, proc: Path = Path("/proc/self")) -> JailGroups | None:
        """Those of this machine, seen to hold a process; `None` where this process may make none. Blocks for milliseconds.

        Args:
            proc: this process as the kernel describes it.
        """
        for trees in _candidates(proc):
            found = cls(trees)
            try:
                group = found.make(_PROBE_MEMORY, _PROBE_CPUS)
            except OSError:
                continue
            try:
                if _holds(group):
                    return found
            except SandboxError:
                continue
            finally:
                group.removed()
        return None

    def make(self, memory: int, cpus: float) -> JailGroup:
        """A new group with these limits, in bytes and processors. Raises OSError."""
        name = f"{self._name}{next(self._numbers)}"
        group = JailGroup(
            tuple(tree.folder / name for tree in self._trees),
            next(
                tree.folder / name / ("memory.events" if tree.unified else "memory.oom_control")
                for tree in self._trees
                if tree.memory
            ),
        )
        try:
            for tree in self._trees:
                place = tree.folder / name
                place.mkdir()
                for file, value, needed in tree.limits(memory, cpus):
                    if needed or (place / file).exists():
                        _write(place / file, value)
        except OSError:
            group.removed()
            raise
        return group

    def reap(self) -> int:
        """Remove the groups of lorimer processes that are gone. Returns how many."""
        names = set()
        for tree in self._trees:
            for folder in tree.folder.glob(f"{PREFIX}*"):
                pid, _, rest = folder.name.removeprefix(PREFIX).partition("-")
                if pid.isdigit() and started(int(pid)) != rest.partition("-")[0]:
                    with suppress(OSError):
                        folder.rmdir()
                        names.add(folder.name)
        return len(names)


def _write(file: Path, value: str) -> None:
    """Set a limit and see that it is set: the kernel rounds memory down to pages. Raises OSError."""
    file.write_text(value)
    said = file.read_text().strip()
    if said != value and not (
        said.isdigit() and value.isdigit() and 0 <= int(value) - int(said) < os.sysconf("SC_PAGESIZE")
    ):
        raise OSError(f"{file}: {value} was written, and it says {said}")


def _holds(group: JailGroup) -> bool:
    """Whether a process that is started in it is in it: it waits for a word while the kernel is asked."""
    with (
        group.doors() as doors,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _ENTER, *map(str, doors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=doors,
            env={},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            inside = process.stdout.readline() == b"in\n" and all(
                str(process.pid) in (folder / "cgroup.procs").read_text().split() for folder in group.folders
            )
            process.communicate(b"\n", timeout=_PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            return False
    return inside


def _candidates(proc: Path) -> Iterator[tuple[_Tree, ...]]:
    """Sets of trees that together hold memory and CPU, the nearest first."""
    try:
        own = [line.split(":", 2)[1:] for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return
    places: dict[str, Path] = {}
    unified: tuple[Path, Path] | None = None
    for fields in mounts:
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = fields[3], Path(fields[4])
        for controllers, path in own:
            below = os.path.relpath(path, root)
            if below.startswith(".."):
                continue
            if kind == "cgroup2" and not controllers:
                unified = (point, point / below)
            for controller in set(controllers.split(",")) & {"memory", "cpu"} & set(options):
                if kind == "cgroup":
                    places[controller] = point / below
    if places.keys() == {"memory", "cpu"}:
        yield tuple(
            _Tree(folder, memory=folder == places["memory"], cpu=folder == places["cpu"], unified=False)
            for folder in dict.fromkeys(places.values())
        )
    elif unified is not None:
        top, mine = unified
        for folder in dict.fromkeys((mine.parent if mine != top else top, top)):
            with suppress(OSError):  # they may be there already; if not, the limits' files are missing
                (folder / "cgroup.subtree_control").write_text("+memory +cpu")
            yield (_Tree(folder, memory=True, cpu=True, unified=True),)
