"""Where a trace store lies: whether that place can be written, is a network drive, and keeps SQLite's locks."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lorimer.errors import ConfigError, LorimerError, UserError

MOUNTS = Path("/proc/self/mountinfo")
"""What Linux says of every mount. Where there is none (macOS), no file system is named."""

NETWORK = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "cifs": "SMB",
    "smb3": "SMB",
    "smbfs": "SMB",
    "9p": "9p, another system's files (in WSL, a drive of Windows)",
    "drvfs": "a drive of Windows in WSL",
    "virtiofs": "virtiofs, the host's files in a virtual machine",
    "vboxsf": "a shared folder of VirtualBox",
    "vmhgfs": "a shared folder of VMware",
    "prl_fs": "a shared folder of Parallels",
    "fakeowner": "the host's files in Docker Desktop",
    "lustre": "Lustre",
    "ceph": "Ceph",
    "gpfs": "GPFS",
    "beegfs": "BeeGFS",
    "pvfs2": "OrangeFS",
    "gfs2": "GFS2",
    "ocfs2": "OCFS2",
    "afs": "AFS",
    "coda": "Coda",
}
"""File systems whose files another machine or system serves, in the kernel's words and in people's."""

LOCAL_FUSE = {"fuseblk", "fuse.ntfs-3g", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs", "fuse.gocryptfs"}
"""What is served by a process, and yet lies on a disk of this machine. All other FUSE file systems count as networks."""

NO_LOCKS, NO_MEMORY = "it does not keep locks", "it has no memory that processes share"
"""What SQLite's write-ahead log needs and some network drives do not have."""


def store_path(path_or_url: str | Path) -> Path:
    """The file that a path or a `sqlite:///` URL names. Raises ConfigError for another kind of database."""
    text = str(path_or_url)
    if "://" in text:
        scheme, rest = text.split("://", 1)
        if scheme != "sqlite" or not rest.startswith("/") or len(rest) < 2:
            raise ConfigError(
                f"{text}: traces are kept in SQLite or PostgreSQL; give a file, sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
            )
        text = rest[1:]
    return Path(text).absolute()


def damaged(name: str | Path, words: str) -> LorimerError:
    """A file that holds what no transaction wrote: a disk that lost what it had said was stored."""
    said = " ".join(words.split()).removeprefix("*** in database main *** ")
    return LorimerError(
        f"the trace store {name} is damaged: {said}; restore a copy of it, or move it away and start anew "
        f"(`sqlite3 {name} .recover` shows what can be saved)"
    )


@dataclass(frozen=True)
class Mount:
    """One mounted file system: where, of which kind in the kernel's words, and from what."""

    point: str
    kind: str
    source: str

    @property
    def network(self) -> str:
        """What it is called where another machine or system serves its files; "" where they are this machine's own."""
        if self.kind in NETWORK:
            return NETWORK[self.kind]
        if (self.kind == "fuse" or self.kind.startswith("fuse.")) and self.kind not in LOCAL_FUSE:
            return self.kind.partition(".")[2] or "FUSE"
        return ""


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The mounts that a `mountinfo` file lists, in its order; lines of another form are passed over."""
    found = []
    for line in text.splitlines():
        head, dash, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if dash and len(fields) >= 6 and len(rest) >= 2:
            found.append(Mount(_unescaped(fields[4]), rest[0], _unescaped(rest[1])))
    return tuple(found)


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that holds an absolute path without links: the deepest, of several at one place the last."""
    best = None
    for mount in mounts:
        inside = mount.point == "/" or path == mount.point or path.startswith(f"{mount.point}/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounted_at(folder: Path) -> Mount | None:
    """The mount that holds a folder of this machine, or would; `None` where the system does not say."""
    try:
        text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return mount_of(os.path.realpath(folder), parse_mounts(text))


def network(folder: Path) -> str:
    """`NFS (server:/export at /home)`, where another machine or system serves the folder's files; else ""."""
    mount = mounted_at(folder)
    return f"{mount.network} ({mount.source} at {mount.point})" if mount is not None and mount.network else ""


def advice(folder: Path) -> str:
    """What to do about a workspace whose folder of traces is on a drive that does not serve SQLite."""
    return f"keep the workspace on a local disk, or put a link to a folder of one in the place of {folder}"


def remark(folder: Path) -> str:
    """A line for who starts something on a network drive that works so far; "" elsewhere."""
    found = network(folder)
    return (
        f"warning: the traces in {folder} lie on {found}: a second machine that writes there, or a lost connection, can "
        f"damage them; {advice(folder)}"
        if found
        else ""
    )


def unusable(folder: Path) -> str:
    """What a folder's file system lacks for SQLite to keep a store there; "" where it can.

    Tried with a file that is removed again. Whatever else fails, a full disk say, is not for this to tell.
    """
    file = folder / f"lorimer.db-trial-{os.getpid()}"
    try:
        with closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                return NO_MEMORY
            connection.execute("CREATE TABLE trial (x)")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO trial VALUES (1)")
            connection.execute("COMMIT")
            connection.execute("SELECT x FROM trial").fetchall()
    except sqlite3.Error as error:
        name = error.sqlite_errorname
        if name.startswith(("SQLITE_BUSY", "SQLITE_PROTOCOL")) or name.endswith("LOCK"):
            return NO_LOCKS
        if "SHM" in name:
            return NO_MEMORY
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                Path(f"{file}{end}").unlink()
    return ""


def file_system(folder: Path) -> str:
    """What the folder's file system is called: a network drive by its name, another by the kernel's."""
    mount = mounted_at(folder)
    return network(folder) or (f"{mount.kind} at {mount.point}" if mount is not None else "its file system")


def blamed(path: Path) -> str:
    """What to do about a store that SQLite could not write, where its place is to blame; "" where it is not."""
    if not os.path.exists(path):  # noqa: PTH110 - a path on a lost drive raises errors that Path.exists passes on
        return "its file is gone: a drive was unmounted, or lost its connection; mount it again"
    found = network(path.parent)
    if found:
        return f"it lies on {found}, a network drive; {advice(path.parent)}"
    why = unusable(path.parent)
    return f"{file_system(path.parent)} does not serve SQLite ({why}); {advice(path.parent)}" if why else ""


def writable(path: Path) -> bool:
    """Whether a store's file, where there is one, and its folder may be written: on a read-only mount, not even by root."""
    real = Path(os.path.realpath(path))
    return os.access(real.parent, os.W_OK) and (not real.exists() or os.access(real, os.W_OK))


def check(path: Path) -> None:
    """Raises UserError where a store cannot be kept at `path`, whose folder may still have to be made."""
    there = next((folder for folder in path.parents if folder.exists()), Path())
    if not writable(there / path.name):
        raise UserError(
            f"the trace store {path} cannot be written: its place is read-only, or not yours",
            "copy the workspace to where you may write, and go on there (reading works here too)",
        )
    why = unusable(there)
    if why:
        raise UserError(
            f"{path.parent} cannot hold the traces: they are kept in SQLite, and {file_system(there)} does not serve that "
            f"({why})",
            advice(path.parent),
        )


def address(path: Path) -> str:
    """SQLite's URI of a store that is only read, by statements of which none can write, whatever the user types.

    Beside a writer, readers share the log and its index with it, and make these where they are missing. Where nobody here may
    make them, and there is no log, the file is read as one that never changes.

    Raises LorimerError where a log stands beside the file that only someone who may write there can read.
    """
    real = Path(os.path.realpath(path))
    uri = f"file:{quote(str(real))}?mode=ro"
    if os.access(real.parent, os.W_OK):
        return uri
    log, index = Path(f"{real}-wal"), Path(f"{real}-shm")
    try:
        length = log.stat().st_size if log.exists() else 0
    except OSError:
        return uri
    if not length:
        return f"{uri}&immutable=1"
    if not index.exists():
        raise LorimerError(
            f"cannot read the traces at {path}: {log.name} beside it holds what is not in it yet, and its place is read-only; "
            "copy the workspace to where you may write (`cp -r`), and read it there"
        )
    return uri


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
