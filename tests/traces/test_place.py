"""Where a store lies: read-only places are read, network drives are named, and what cannot keep a store is refused."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lorimer.errors import LorimerError, UserError
from lorimer.traces import place
from lorimer.traces.databases.sqlite import Sqlite
from lorimer.traces.place import Mount, mount_of, parse_mounts
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from lorimer.traces.writing.writer import explain

from . import support as make

MOUNTINFO = r"""
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 23 0:27 / /home rw,nosuid shared:7 master:2 - nfs4 files.example:/export/home rw,vers=4.2,hard
32 31 0:28 / /home/me/local rw - xfs /dev/vdb rw
33 23 0:29 / /mnt/a\040b rw - cifs //server/a\040share rw
34 23 0:30 / /mnt/c rw,noatime - 9p C:\134 rw,aname=drvfs
35 23 0:31 / /bucket rw - fuse.gcsfuse my-bucket rw
36 23 8:1 / /windows rw - fuseblk /dev/sda1 rw
37 23 0:32 / /over rw - fuse.fuse-overlayfs fuse-overlayfs rw
38 35 8:2 / /bucket rw - btrfs /dev/sda2 rw
39 23 0:33 / /lost+found ro
a line of another kind
"""


def test_the_mounts_are_read_as_the_kernel_writes_them() -> None:
    mounts = parse_mounts(MOUNTINFO)
    assert len(mounts) == 9
    assert mounts[1] == Mount("/home", "nfs4", "files.example:/export/home")
    assert (mounts[3].point, mounts[3].source) == ("/mnt/a b", "//server/a share")
    assert mounts[4].source == "C:\\"


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/home/me/work", "NFS"),
        ("/home", "NFS"),
        ("/homes", ""),
        ("/home/me/local/x", ""),
        ("/mnt/a b/work", "SMB"),
        ("/mnt/c/Users/me", "9p, another system's files (in WSL, a drive of Windows)"),
        ("/bucket/x", ""),  # another file system was mounted over it
        ("/windows/x", ""),
        ("/over/x", ""),
        ("/srv", ""),
    ],
)
def test_the_deepest_and_last_mount_counts(path: str, network: str) -> None:
    found = mount_of(path, parse_mounts(MOUNTINFO))
    assert found is not None
    assert found.network == network


def test_every_file_system_of_a_process_counts_as_a_network_but_those_on_a_disk() -> None:
    assert Mount("/x", "fuse.sshfs", "host:").network == "sshfs"
    assert Mount("/x", "fuse", "something").network == "FUSE"
    assert mount_of("/x", ()) is None


def test_this_machines_own_disk_serves_a_store_and_the_trial_leaves_nothing(tmp_path: Path) -> None:
    assert place.unusable(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert place.mounted_at(tmp_path) is not None
    (tmp_path / "lorimer.db").touch()
    assert place.blamed(tmp_path / "lorimer.db") == place.remark(tmp_path) == ""


def test_a_drive_that_went_away_is_told_from_a_full_disk(tmp_path: Path) -> None:
    lost, there = tmp_path / "lost" / "lorimer.db", tmp_path / "lorimer.db"
    there.touch()
    with Store.open(lost) as store:
        reader = StoreReader(store)
    lost.unlink()
    with pytest.raises(LorimerError, match=r"cannot read the traces at .*; its file is gone: a drive was"):
        reader.studies()
    said = str(explain(sqlite3.OperationalError("disk I/O error"), Sqlite(lost)))
    assert said == (
        f"the trace store {lost} cannot be written: disk I/O error; its file is gone: a drive was unmounted, or lost its "
        "connection; mount it again"
    )
    assert str(explain(sqlite3.OperationalError("disk I/O error"), Sqlite(there))).endswith("; free space on its disk")


# A network drive as SQLite meets it: its system calls answer for one folder as such a drive does.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static int there(int fd, const char *lacks) {
  char name[64], path[PATH_MAX];
  if (strcmp(getenv("LACKS"), lacks)) return 0;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strstr(path, "/drive/") != NULL;
}
static int locks(int fd, int command, void *argument, const char *name) {
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
  if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && there(fd, "locks")) { errno = ENOLCK; return -1; }
  return real(fd, command, argument);
}
int fcntl(int fd, int command, ...) {
  va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
  return locks(fd, command, argument, "fcntl");
}
int fcntl64(int fd, int command, ...) {
  va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest);
  return locks(fd, command, argument, "fcntl64");
}
static void *maps(void *at, size_t length, int how, int flags, int fd, off_t offset, const char *name) {
  void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
  if (fd >= 0 && (flags & MAP_SHARED) && there(fd, "memory")) { errno = ENODEV; return MAP_FAILED; }
  return real(at, length, how, flags, fd, offset);
}
void *mmap(void *a, size_t l, int p, int f, int fd, off_t o) { return maps(a, l, p, f, fd, o, "mmap"); }
void *mmap64(void *a, size_t l, int p, int f, int fd, off_t o) { return maps(a, l, p, f, fd, o, "mmap64"); }
"""


@pytest.mark.parametrize(
    ("lacks", "words"), [("locks", "it does not keep locks"), ("memory", "it has no memory that processes share")]
)
def test_a_drive_that_does_not_serve_sqlite_is_refused_and_doctor_says_so(
    tmp_path: Path, lacks: str, words: str
) -> None:
    from tests.cli.support import process

    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler to make such a drive with")
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    root = tmp_path / "drive" / "work"
    assert process("init", root).code == 0
    environment = {"LD_PRELOAD": str(shim), "LACKS": lacks}
    refused = process("run", "-C", root, "--set", 'sandbox.provider="bubblewrap"', environment=environment)
    if refused.code == 3:
        pytest.skip("bubblewrap does not work on this machine")
    assert refused.code == 2
    assert refused.err.startswith(f"lorimer: {root}/.lorimer cannot hold the traces: they are kept in SQLite, and ")
    assert f" does not serve that ({words}); keep the workspace on a local disk, or put a link to a " in refused.err
    assert refused.err.count("\n") == 1
    found = {each["what"]: each for each in process("doctor", "-C", root, "--json", environment=environment).json()}
    assert found["disk"]["level"] == "missing"
    assert words in found["disk"]["said"]
    # The advice works.
    (root / ".lorimer").rmdir()
    (tmp_path / "local").mkdir()
    (root / ".lorimer").symlink_to(tmp_path / "local")
    found = {each["what"]: each for each in process("doctor", "-C", root, "--json", environment=environment).json()}
    assert found["disk"]["level"] == "ok"


def test_doctor_warns_of_traces_on_a_network_drive(tmp_path: Path) -> None:
    """The kernel's list of mounts is another one for this process alone: no drive is there to be mounted."""
    from tests.cli.support import LORIMER, process

    root, mounts = tmp_path / "far away" / "work", tmp_path / "mounts"
    assert process("init", root).code == 0
    drive = str(tmp_path / "far away").replace(" ", r"\040")
    mounts.write_text(
        f"23 1 254:0 / / rw - ext4 /dev/vda rw\n40 23 0:33 / {drive} rw - nfs4 files.example:/export rw\n"
    )
    inside = f'mount --bind {shlex.quote(str(mounts))} /proc/$$/mountinfo && exec "$@"'
    apart = ["unshare", "--mount", "sh", "-c", inside, "sh"]
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine does not let us mount: {tried.stderr.strip()}")
    asked = [*apart, *LORIMER, "doctor", "--offline", "--json", "-C", str(root)]
    done = subprocess.run(asked, capture_output=True, text=True)
    found = {each["what"]: each for each in json.loads(done.stdout)}["disk"]
    folder = root / ".lorimer"
    assert (found["level"], found["said"]) == (
        "warning",
        f"the traces in {folder} lie on NFS (files.example:/export at {tmp_path / 'far away'}); a second machine or a lost "
        "connection can damage them",
    )
    advice, _, command = found["fix"].rpartition(": ")
    assert advice == (f"keep the workspace on a local disk, or put a link to a folder of one in the place of {folder}")
    local = tmp_path / "local"
    local.mkdir()
    assert subprocess.run(command.replace("DIR", str(local)), shell=True).returncode == 0
    assert folder.resolve() == local


# ---- read-only places ------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store in a folder that anyone may look into."""
    folder = Path(tempfile.mkdtemp(prefix="lorimer-test-place-"))
    folder.chmod(0o755)
    yield folder / "work" / "lorimer.db"
    shutil.rmtree(folder)


def filled(path: Path) -> None:
    async def fill() -> None:
        with Store.open(path) as store:
            await store.create_study(make.study(), [make.task("b")], "text")

    asyncio.run(fill())


def left_by_a_killed_writer(path: Path) -> None:
    """Put a change into the log beside the store, and leave both there."""
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA wal_autocheckpoint=0')\n"
        "c.execute(\"UPDATE study SET state_reason = 'in the log'\")\n"
        "os._exit(0)\n"
    )
    subprocess.run(["python3", "-c", code, path], check=True)
    assert Path(f"{path}-wal").stat().st_size > 0


class ReadOnly:
    """The folder of a store on a read-only mount, which not even root may write to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for how in (["--bind", folder, folder], ["-o", "remount,ro,bind", folder]):
            done = subprocess.run(["mount", *map(str, how)], capture_output=True, text=True)
            if done.returncode:
                self.close()
                pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")

    def close(self) -> None:
        subprocess.run(["umount", str(self._folder)], capture_output=True)

    def __enter__(self) -> None:
        assert not os.access(self._folder, os.W_OK)

    def __exit__(self, *_: object) -> None:
        self.close()


def as_nobody(act: Callable[[], str]) -> str:
    """What `act` says in a process of a user without rights."""
    if os.geteuid() != 0:
        return act()
    end, start = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = act()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(start, said.encode())
        os._exit(0)
    os.close(start)
    with os.fdopen(end, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_a_store_on_a_read_only_mount_is_read_and_not_written(store: Path) -> None:
    filled(store)
    for name in ("lorimer.db-wal", "lorimer.db-shm"):
        (store.parent / name).unlink(missing_ok=True)
    with ReadOnly(store.parent):
        with StoreReader(store) as reader:
            assert [study.id for study in reader.studies()] == ["s"]
            assert reader.sql("SELECT id FROM task").rows == (("b",),)
            with pytest.raises(UserError, match="only reads"):
                reader.sql("DELETE FROM task")
        with pytest.raises(
            UserError, match=r"cannot be written: its place is read-only, or not yours; copy the workspace"
        ):
            Store.open(store)
        with pytest.raises(UserError, match=r"cannot make the folder .*: Read-only file system"):
            Store.open(store.parent / "new" / "lorimer.db")


def test_what_a_killed_writer_left_in_the_log_is_read_too_or_it_is_said(store: Path) -> None:
    filled(store)
    left_by_a_killed_writer(store)
    with ReadOnly(store.parent):
        assert StoreReader(store).study("s").state_reason == "in the log"
    Path(f"{store}-shm").unlink()
    with ReadOnly(store.parent), pytest.raises(LorimerError) as refused:
        StoreReader(store)
    assert str(refused.value) == (
        f"cannot read the traces at {store}: lorimer.db-wal beside it holds what is not in it yet, and its place is "
        "read-only; copy the workspace to where you may write (`cp -r`), and read it there"
    )
    assert StoreReader(store).study("s").state_reason == "in the log"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only reads and ends
def test_a_folder_of_somebody_else_is_read_and_not_written(store: Path) -> None:
    filled(store)
    for name in ("lorimer.db-wal", "lorimer.db-shm"):
        (store.parent / name).unlink(missing_ok=True)
    store.parent.chmod(0o555)
    store.chmod(0o444)
    try:
        assert as_nobody(lambda: StoreReader(store).study("s").id) == "s"
        refused = as_nobody(lambda: str(Store.open(store)))
    finally:
        store.parent.chmod(0o755)
    assert refused.endswith("; copy the workspace to where you may write, and go on there (reading works here too)")
    assert sorted(path.name for path in store.parent.iterdir()) == ["lorimer.db"]


def test_doctor_says_that_a_read_only_place_keeps_no_traces(tmp_path: Path) -> None:
    from tests.cli.support import process

    root, copied = tmp_path / "work", tmp_path / "copied"
    assert process("init", root).code == 0
    with ReadOnly(root):
        found = {each["what"]: each for each in process("doctor", "--offline", "--json", "-C", root).json()}["disk"]
    store = root / ".lorimer" / "lorimer.db"
    assert (found["level"], found["said"]) == (
        "missing",
        f"the trace store {store} cannot be written: its place is read-only, or not yours",
    )
    copying = f": cp -a {root} DIR, and there: lorimer doctor"
    assert found["fix"].startswith("copy the workspace to where you may write")
    assert found["fix"].endswith(copying)
    # The advice works.
    shutil.copytree(root, copied)
    found = {each["what"]: each for each in process("doctor", "--offline", "--json", "-C", copied).json()}["disk"]
    assert found["level"] in ("ok", "warning"), found


def test_an_older_store_on_a_read_only_place_says_where_it_can_be_upgraded(store: Path) -> None:
    filled(store)
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    with ReadOnly(store.parent), pytest.raises(UserError) as refused:
        StoreReader(store)
    assert str(refused.value).endswith(
        "; `lorimer resume` or `lorimer run` upgrades it, in a copy of the workspace where you may write: its place is read-only"
    )
