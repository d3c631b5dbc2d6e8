"""Reads and writes files for lorimer, with no more power than the agent has."""

from __future__ import annotations

import errno
import os
import stat

from .kernel import write_all

TYPE_CHECKING = False  # `typing` costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable


class FileTrouble(Exception):
    """An expected file failure."""


def read_file(path: str, cap: int) -> list[bytes]:
    """A regular file's bytes, in pieces. O_NONBLOCK: a FIFO must not hold this process up."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        check_regular(fd, path)
        size = os.fstat(fd).st_size
        if size > cap:
            raise FileTrouble(f"{path}: {size} bytes, over the limit of {cap}")
        parts: list[bytes] = []
        left = cap + 1
        while left > 0:
            data = os.read(fd, min(left, 1 << 20))
            if not data:
                break
            parts.append(data)
            left -= len(data)
    finally:
        os.close(fd)
    if left <= 0:
        raise FileTrouble(f"{path}: over the limit of {cap} bytes")
    return parts


def check_regular(fd: int, path: str) -> None:
    """Refuse folders, devices, pipes and sockets."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise FileTrouble(f"{path}: is a directory")
    if not stat.S_ISREG(mode):
        raise FileTrouble(f"{path}: not a regular file")


def put(fields: list[bytes]) -> None:
    """Make folders, files, parts of files and links: kind, path, octal mode, data or target, over and over.

    `tree` and `new` are `dir` and `file` that replace whatever else is there: the agent may have planted it.
    """
    for at in range(0, len(fields), 4):
        kind, path, mode, data = fields[at : at + 4]
        name = os.fsdecode(path)
        if kind == b"new":
            clear(name, stat.S_ISREG)
        if kind == b"tree":
            clear(name, stat.S_ISDIR)
        if kind in (b"dir", b"tree"):
            os.makedirs(name, exist_ok=True)  # noqa: PTH103
            os.chmod(name, int(mode, 8))  # noqa: PTH101
            continue
        os.makedirs(os.path.dirname(name) or "/", exist_ok=True)  # noqa: PTH103, PTH120
        if kind == b"link":
            clear(name, lambda _: False)
            os.symlink(os.fsdecode(data), name)  # noqa: PTH211
            continue
        fd = open_for_writing(name, os.O_APPEND if kind == b"more" else os.O_CREAT)
        try:
            check_regular(fd, name)
            if kind != b"more":
                os.ftruncate(fd, 0)
            write_all(fd, data)
            os.fchmod(fd, int(mode, 8))
        except OSError as error:
            error.filename = name
            raise
        finally:
            os.close(fd)


def open_for_writing(name: str, flags: int) -> int:
    """Open, even where the agent left a file of its own that is write-protected."""
    flags |= os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return os.open(name, flags, 0o600)
    except FileNotFoundError:  # a link into a folder that is not there
        os.makedirs(os.path.dirname(os.path.realpath(name)), exist_ok=True)  # noqa: PTH103, PTH120
        return os.open(name, flags, 0o600)
    except PermissionError:
        os.chmod(name, 0o600)  # noqa: PTH101
        return os.open(name, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a FIFO that nobody reads
            raise
        raise FileTrouble(f"{name}: not a regular file") from None


def clear(name: str, keep: Callable[[int], bool]) -> None:
    """Remove what is at `name`, itself if it is a link, unless `keep` wants a file of its mode."""
    try:
        mode = os.lstat(name).st_mode
    except FileNotFoundError:
        return
    if keep(mode):
        return
    if stat.S_ISDIR(mode):
        for folder, folders, files in os.walk(name, topdown=False):
            for path in [os.path.join(folder, entry) for entry in [*folders, *files]]:  # noqa: PTH118
                os.rmdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink(path)  # noqa: PTH106, PTH108
        os.rmdir(name)  # noqa: PTH106
    else:
        os.unlink(name)  # noqa: PTH108


def own_files(most: int, deepest: int, most_bytes: int) -> list[bytes]:
    """Every path on the sandbox's own file system behind a letter, `l` for a symlink and `f` for all else.

    A `c` alone stands for what is left out: beyond `most` paths or `most_bytes` of them, under `deepest` folders, or in a folder
    that cannot be listed.
    """
    device = os.lstat("/").st_dev
    found, size = [], 0
    waiting = [(b"/", 1)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder and entry.stat(follow_symlinks=False).st_dev != device:
                        continue
                    found.append((b"l" if entry.is_symlink() else b"f") + entry.path)
                    size += len(entry.path)
                    if len(found) > most or size > most_bytes:
                        return [*found[:most], b"c"]
                    if is_folder and depth < deepest:
                        waiting.append((entry.path, depth + 1))
                    elif is_folder:
                        found.append(b"c")
        except OSError:
            found.append(b"c")
    return found
