"""A jail's control group: it holds what the harness starts, it is told when it was too small, and it goes with the jail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.sandbox.base import JailRequest, Owner
from lorimer.sandbox.bubblewrap.cgroup import PERIOD_MICROSECONDS, PREFIX, JailGroup, JailGroups
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider

OWNER = Owner("test", "cgroup")

HOARD = """
import os, socket
for n in range(12):
    if os.fork() == 0:
        held = []
        for i in range(480):
            held += socket.socketpair()
            for end in held[-2:]:
                end.setblocking(False)
                try:
                    while end.send(b"x" * 65536): pass
                except BlockingIOError: pass
        os._exit(0)
while True:
    os.wait()
"""
"""Over 2 GB in the buffers of sockets, which belong to no process: RLIMIT_DATA and the watchdog see none of it."""


@pytest.fixture
def groups() -> JailGroups:
    found = JailGroups.find()
    if found is None:
        pytest.skip("this process may make no control groups")
    return found


@pytest.fixture
async def provider(groups: JailGroups) -> AsyncIterator[BubblewrapProvider]:
    try:
        made = BubblewrapProvider()
        await made.probe()
    except PrerequisiteError as error:
        pytest.skip(str(error))
    yield made
    await made.close()


def own(groups: JailGroups) -> list[Path]:
    """Folders of this process's groups."""
    trees = {folder.parent for folder in _made(groups)}
    return [folder for tree in trees for folder in tree.glob(f"{PREFIX}{os.getpid()}-*")]


def _made(groups: JailGroups) -> tuple[Path, ...]:
    group = groups.make(64 << 20, 1.0)
    assert group.removed()
    return group.folders


@pytest.mark.bubblewrap
async def test_a_jail_is_in_its_group_which_goes_with_it(provider: BubblewrapProvider, groups: JailGroups) -> None:
    request = JailRequest(
        ["python3", "-I", "-u", "-c", "print(open('/proc/self/cgroup').read(), end=''); input()"], OWNER
    )
    jail = await provider.jail(request)
    told = await jail.receive()
    assert told is not None  # the program runs, so whatever it starts is inside
    held = own(groups)
    assert held
    assert all(len((folder / "cgroup.procs").read_text().split()) >= 2 for folder in held)
    await jail.close()
    assert own(groups) == []


@pytest.mark.bubblewrap
async def test_the_start_of_a_jail_that_is_cancelled_leaves_no_group(
    provider: BubblewrapProvider, groups: JailGroups
) -> None:
    request = JailRequest(["python3", "-I", "-c", "input()"], OWNER)
    for turns in range(1, 9):  # of the event loop, until it is cancelled
        start = asyncio.create_task(provider.jail(request))
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        with suppress(asyncio.CancelledError):
            await (await start).close()
    assert own(groups) == []


@pytest.mark.bubblewrap
async def test_what_the_kernel_holds_for_a_jail_counts_as_its_memory(provider: BubblewrapProvider) -> None:
    jail = await provider.jail(JailRequest(["python3", "-I", "-c", HOARD], OWNER, memory_mb=128))
    end = await jail.wait()
    assert end.out_of_memory, end
    await jail.close()


def test_the_limits_of_a_group_are_those_asked_for(groups: JailGroups) -> None:
    group = groups.make(64 << 20, 0.5)
    said = {
        file.name: file.read_text().strip() for folder in group.folders for file in folder.iterdir() if _limits(file)
    }
    assert group.removed()
    memory = {said.get("memory.max"), said.get("memory.limit_in_bytes")}
    cpu = {said.get("cpu.max"), said.get("cpu.cfs_quota_us")}
    assert str(64 << 20) in memory
    assert cpu & {"50000", "50000 100000"}


def _limits(file: Path) -> bool:
    return file.name in ("memory.max", "memory.limit_in_bytes", "cpu.max", "cpu.cfs_quota_us")


async def test_the_group_of_a_dead_process_is_reaped_and_no_other(groups: JailGroups) -> None:
    alive = groups.make(64 << 20, 1.0)
    dead = [folder.parent / f"{PREFIX}999999999-1-1" for folder in alive.folders]
    for folder in dead:
        folder.mkdir()
    assert groups.reap() >= 1
    assert not any(folder.exists() for folder in dead)
    assert all(folder.exists() for folder in alive.folders)
    await alive.remove()
    assert not any(folder.exists() for folder in alive.folders)


def described(folder: Path, cgroup: str, mountinfo: str) -> Path:
    """A process as /proc would describe it."""
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text(mountinfo)
    return folder


@pytest.mark.parametrize(
    ("cgroup", "mounted"),
    [
        ("0::/a\n", ""),  # no control groups are to be seen
        ("4:memory:/\n", "cgroup cgroup rw,memory"),  # CPU is not held
        ("0::/a/b\n", "cgroup2 cgroup2 rw"),  # nothing here says what a limit would be
    ],
)
def test_where_no_group_would_hold_a_jail_there_are_none(tmp_path: Path, cgroup: str, mounted: str) -> None:
    line = f"1 0 0:1 / {tmp_path}/nowhere rw - {mounted}\n" if mounted else ""
    assert JailGroups.find(described(tmp_path, cgroup, line)) is None


def test_version_2_has_its_groups_beside_lorimers_own(tmp_path: Path) -> None:
    """On folders that keep what is written: the names and values of version 2, which this machine need not have."""
    mine = tmp_path / "cgroups" / "user" / "mine"
    mine.mkdir(parents=True)
    proc = described(tmp_path, "0::/user/mine\n", f"1 0 0:1 / {tmp_path}/cgroups rw - cgroup2 cgroup2 rw\n")
    found = JailGroups.find(proc)
    assert found is not None
    (folder,) = found.make(64 << 20, 1.5).folders
    assert folder.parent == mine.parent
    assert (folder / "memory.max").read_text() == str(64 << 20)
    assert (folder / "cpu.max").read_text() == f"150000 {PERIOD_MICROSECONDS}"
    assert (mine.parent / "cgroup.subtree_control").read_text() == "+memory +cpu"


@pytest.mark.bubblewrap
async def test_a_group_that_cannot_be_entered_is_no_start_of_a_jail(
    provider: BubblewrapProvider, groups: JailGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = JailGroups.make

    def gone(self: JailGroups, memory: int, cpus: float) -> JailGroup:
        group = made(self, memory, cpus)
        assert group.removed()  # as somebody else may remove it
        return group

    await provider.bounds_jails()
    monkeypatch.setattr(JailGroups, "make", gone)
    with pytest.raises(SandboxError, match=r"a jail cannot enter its control group: .*No such file or directory"):
        await provider.jail(JailRequest(["python3", "-I", "-c", "input()"], OWNER))
