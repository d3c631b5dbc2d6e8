"""A task's folder as files: what may lie in it, and its digest."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import TaskError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".harborignore"

MAX_TASK_BYTES = 1 << 30
"""All files of a task together may have so many bytes. The largest task of the suites checked has 0.1 GB; more is nearly
always a stray data set, and it would be hashed and sent to the engine."""

MAX_TEXT_BYTES = 1 << 20
"""task.toml and instruction.md may have so many bytes each. A model reads the instruction: a megabyte is past every context
window."""


@dataclass(frozen=True)
class TaskFile:
    """One file or symlink of a task; folders count by what they hold."""

    path: str
    """Relative to the task, with `/`."""
    size: int
    executable: bool
    link: str | None = None
    """Where a symlink points, as written; `None` for a file."""


def walk(task: str, root: Path) -> list[TaskFile]:
    """All files of a task, in order of path.

    Raises TaskError for anything that would mean different things on another machine, or reach out of the task: symlinks
    that leave it, sockets and devices, names that are not UTF-8 or hold control characters, more than MAX_TASK_BYTES.
    """
    entries: list[TaskFile] = []
    home = root.resolve()
    folders = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as found:
                items = list(found)
        except OSError as error:
            raise TaskError(task, prefix or ".", f"cannot be read: {error.strerror}") from None
        for item in items:
            path = prefix + item.name
            if not item.name.isprintable():
                # Bytes that are not UTF-8 arrive as lone surrogates, which are not printable either.
                raise TaskError(task, ascii(path), "file names must be UTF-8 without control characters")
            if item.is_symlink():
                entries.append(_link(task, path, item.path, home))
            elif item.is_dir():
                folders.append((item.path, path + "/"))
            else:
                info = item.stat()
                if not stat.S_ISREG(info.st_mode):
                    raise TaskError(task, path, "is not a file, a folder or a symlink")
                entries.append(TaskFile(path, info.st_size, bool(info.st_mode & 0o100)))
    total = sum(entry.size for entry in entries)
    if total > MAX_TASK_BYTES:
        largest = max(entries, key=lambda entry: entry.size)
        problem = f"has {largest.size:,} of the task's {total:,} bytes; a task may hold {MAX_TASK_BYTES:,}"
        raise TaskError(task, largest.path, problem)
    return sorted(entries, key=lambda entry: entry.path)


def _link(task: str, path: str, full: str, home: Path) -> TaskFile:
    target = str(Path(full).readlink())
    # Not Path.resolve: what it makes of a loop differs between Python's versions.
    try:
        Path(full).stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise TaskError(task, path, "is a symlink that leads to itself") from None
    inside = Path(os.path.realpath(full)).is_relative_to(home)
    # An absolute target stays inside on this machine only.
    if not inside or target.startswith("/"):
        raise TaskError(task, path, "is a symlink that leaves the task's folder")
    return TaskFile(path, 0, False, target)


def digest(task: str, root: Path, entries: list[TaskFile]) -> str:
    """SHA-256 over paths, executable bits and bytes; the bytes are streamed. Raises TaskError."""
    total = hashlib.sha256()
    for entry in entries:
        if entry.link is None:
            try:
                with (root / entry.path).open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise TaskError(task, entry.path, f"cannot be read: {error.strerror}") from None
            kind = "x" if entry.executable else "f"
        else:
            content, kind = hashlib.sha256(os.fsencode(entry.link)).hexdigest(), "l"
        # NUL cannot occur in a path, so no two trees give the same stream.
        total.update(f"{kind}\0{entry.path}\0{content}\0".encode())
    return total.hexdigest()


_IGNORABLE = re.compile(r"(environment|tests|solution|steps/[^/]+/(tests|solution|workdir))/.")


def ignored(task: str, root: Path, entries: list[TaskFile]) -> frozenset[str]:
    """Paths that `.harborignore` files leave out, and these files themselves.

    They have `.gitignore`'s syntax; one in a folder speaks of what is below it, the deepest one last. What says what a task is
    (task.toml, instructions) is never left out. Raises TaskError for a pattern that cannot be read.
    """
    sources = {entry.path.rpartition("/")[0]: entry.path for entry in entries if _name(entry) == IGNORE_FILE}
    if not sources:
        return frozenset()
    from pathspec import GitIgnoreSpec

    specs = {}
    for folder, path in sources.items():
        try:
            specs[folder] = GitIgnoreSpec.from_lines(read_text(task, root, path).splitlines())
        except ValueError as error:
            raise TaskError(task, path, f"cannot be read: {error}") from None
    known: dict[str, bool] = {"": False}

    def left_out(path: str, *, folder: bool) -> bool:
        if path not in known:
            above = path.rpartition("/")[0]
            known[path] = left_out(above, folder=True) or _decided(specs, path + "/" if folder else path)
        return known[path]

    return frozenset(
        entry.path
        for entry in entries
        if _name(entry) == IGNORE_FILE or (_IGNORABLE.match(entry.path) and left_out(entry.path, folder=False))
    )


def _decided(specs: Mapping[str, GitIgnoreSpec], path: str) -> bool:
    """What the deepest file that speaks of a path says of it."""
    verdict = False
    for folder in sorted(specs, key=len):
        below = path.removeprefix(f"{folder}/") if folder else path
        if below == path and folder:
            continue
        found = specs[folder].check_file(below)
        verdict = verdict if found.include is None else found.include
    return verdict


def _name(entry: TaskFile) -> str:
    return entry.path.rpartition("/")[2]


def missing(root: Path, name: str) -> str:
    """What to say of a file that is not there, with the one that is there under a name in other letters."""
    there = in_other_letters(root, name)
    return (
        f"is missing; there is {there}: rename it, as Linux tells capitals from small letters"
        if there
        else "is missing"
    )


def in_other_letters(root: Path, name: str) -> str:
    """The file that `name` is but for capitals; "" where there is none."""
    found = list[str]()
    for part in name.split("/"):
        try:
            names = sorted(each.name for each in root.joinpath(*found).iterdir())
        except OSError:
            return ""
        alike = [each for each in (part, *names) if each in names and each.lower() == part.lower()]
        if not alike:
            return ""
        found.append(alike[0])
    there = "/".join(found)
    return "" if there == name else there


def read_text(task: str, root: Path, name: str) -> str:
    """A task's text file. Raises TaskError where it is missing, too long, not UTF-8, or holds NUL bytes."""
    try:
        with (root / name).open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        raise TaskError(task, name, missing(root, name)) from None
    except OSError as error:
        raise TaskError(task, name, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_TEXT_BYTES:
        raise TaskError(task, name, f"is longer than {MAX_TEXT_BYTES:,} bytes")
    if b"\0" in data:
        raise TaskError(task, name, f"holds a NUL byte at offset {data.index(0):,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError(task, name, f"is not UTF-8 at byte {error.start:,}") from None


def runnable(task: str, root: Path, name: str) -> None:
    """Raises TaskError for a script, where it is there, that no Linux machine can start, or that would fail at every line."""
    path = root / name
    if not path.is_file():
        return
    with path.open("rb") as file:
        lines = file.read(MAX_TEXT_BYTES).splitlines(keepends=True)
    of_shell = bool(lines) and (not lines[0].startswith(b"#!") or b"sh" in lines[0])
    ends = [line.endswith(b"\r\n") for line in lines]
    # Half of a shell's script are no here-document of such lines: bash writes to `reward.txt\r`, and says nothing.
    if lines and (ends[0] or (of_shell and 2 * sum(ends) >= len(lines))):
        problem = "has Windows line ends (CRLF), with which it cannot run on Linux; `dos2unix` takes them away"
        raise TaskError(task, name, problem)
