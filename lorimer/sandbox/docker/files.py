"""Files in and out of a container by the engine's archive calls: one tar each way, resolved in the container's root."""

from __future__ import annotations

import base64
import io
import json
import os
import stat as stat_module
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lorimer.sandbox.base import DEEPEST_CHANGE, MOST_CHANGES, Changes, SandboxFileError

# Bits of Go's os.FileMode, in which the engine reports modes.
_GO_DIR, _GO_SYMLINK = 1 << 31, 1 << 27
_GO_NOT_REGULAR = _GO_DIR | _GO_SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19

_REFUSALS = (
    "no such file",
    "not a directory",
    "is a directory",
    "file exists",  # where a folder is wanted, as under a link into /proc, which the engine does not see
    "cannot overwrite",
    "file name too long",
    "too many levels of symbolic links",
    "too many links",
    "permission denied",
    "read-only file system",
    "operation not permitted",
    "no space left",
    "invalid argument",
)
"""What the engine says when the container's file system, not the engine, is the reason."""

_CHUNK = 2 << 20
"""Bytes of an archive that are taken from its connection at once, at most."""


def written_in(layer: str, most: int = MOST_CHANGES) -> Changes | None:
    """What is in a container's own layer of an overlay file system: absolute paths, removed ones too, and which are symlinks.

    `None` where it cannot be read here. For the same answer the engine compares whole file systems: 0.3 s of a processor for a
    small image.
    """
    found: list[str] = []
    links: set[str] = set()
    removed: set[str] = set()
    cut = False

    def stop(error: OSError) -> None:
        raise error

    try:
        for folder, folders, files, place in os.fwalk(layer, onerror=stop):
            inside = folder.removeprefix(layer)
            if inside.count("/") == DEEPEST_CHANGE - 1 and folders:
                cut = True
            if len(found) + len(folders) + len(files) > most:
                cut = True
                break
            for name in (*folders, *files):
                # A name that is no UTF-8 looks as the engine gives it.
                path = os.fsencode(f"{inside}/{name}").decode("utf-8", "replace")
                found.append(path)
                entry = os.lstat(name, dir_fd=place)
                if stat_module.S_ISLNK(entry.st_mode):
                    links.add(path)
                elif stat_module.S_ISCHR(entry.st_mode) and entry.st_rdev == 0:
                    removed.add(path)  # overlay's sign for a path of a lower layer that is gone
            if inside.count("/") >= DEEPEST_CHANGE - 1:
                folders.clear()  # `os.fwalk` calls itself, and holds a descriptor, for each folder of a path
    except OSError:  # another machine's engine, another user's, or files that are being removed
        return None
    return Changes(tuple(sorted(found)), frozenset(links), frozenset(removed), cut)


@dataclass(frozen=True)
class PathStat:
    """What the engine says about a path in a container."""

    size: int
    mode: int
    link_target: str

    @property
    def is_symlink(self) -> bool:
        return bool(self.mode & _GO_SYMLINK)

    @property
    def is_dir(self) -> bool:
        return bool(self.mode & _GO_DIR)

    @property
    def is_file(self) -> bool:
        return not self.mode & _GO_NOT_REGULAR


def refusal(explanation: str, status: int | None) -> str:
    """What the file system says in an engine error about a path, in plain words: the engine's own name folders of the
    host. Empty where it is not the file system but the engine that failed."""
    text = explanation.lower().replace("could not find the file", "no such file")
    return next((words for words in _REFUSALS if words in text), "") if status is not None else ""


def _archive_url(client: Any, container: str) -> str:
    """The address of the archive call; the SDK's own methods lack the stat alone, `noOverwriteDirNonDir` and an end."""
    return f"{client.base_url}/v{client.api_version}/containers/{container}/archive"


@contextmanager
def archive_of(client: Any, container: str, path: str) -> Iterator[Iterator[bytes]]:
    """What is at `path` in a container: the chunks of a tar. Raises the SDK's APIError.

    The connection is cut at the end, however much was read. Until then the engine keeps the container locked, and answers no
    other question about it. The SDK leaves the cut to the garbage collector, and an error that is kept keeps it from it.
    """
    answer = client.get(
        _archive_url(client, container),
        params={"path": path},
        headers={"Accept-Encoding": "identity"},
        stream=True,
        timeout=client.timeout,
    )
    with closing(answer):
        _raise_for_status(answer)
        yield answer.iter_content(_CHUNK)


def put_archive(client: Any, container: str, archive: Any, *, keep_folders: bool) -> None:
    """Unpack a tar at the root of a container. Raises the SDK's APIError.

    Args:
        keep_folders: refuse a file where there is a folder.
    """
    answer = client.put(
        _archive_url(client, container),
        params={"path": "/", "noOverwriteDirNonDir": "1" if keep_folders else "0"},
        data=archive,
        timeout=client.timeout,
    )
    _raise_for_status(answer)


def _raise_for_status(answer: Any) -> None:
    from docker.errors import create_api_error_from_http_exception
    from requests import HTTPError

    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)


def stat_of(client: Any, container: str, path: str) -> PathStat | None:
    """Stat without following a link in the last part of `path`; `None` where there is nothing."""
    answer = client.head(_archive_url(client, container), params={"path": path}, timeout=client.timeout)
    encoded = answer.headers.get("X-Docker-Container-Path-Stat")
    if encoded:
        found = json.loads(base64.b64decode(encoded))
        return PathStat(int(found["size"]), int(found["mode"]), str(found.get("linkTarget") or ""))
    if answer.status_code == 404:
        # A HEAD has no body to tell a missing file from a missing container.
        client.inspect_container(container)
        return None
    # Nor has it one to say what is wrong; the same question as a GET has, and raises it.
    with archive_of(client, container, path):
        return None


def read_single(client: Any, container: str, path: str, max_bytes: int) -> bytes:
    """The bytes of the regular file at `path`, at most `max_bytes`. Raises SandboxFileError."""
    with archive_of(client, container, path) as chunks:
        try:
            return _single(chunks, path, max_bytes)
        except tarfile.TarError as error:
            # Where a file shrinks as the engine reads it, the engine breaks its archive off.
            raise SandboxFileError(f"{path}: cannot be read, or was changed as it was: {error}") from None


def _single(chunks: Iterator[bytes], path: str, max_bytes: int) -> bytes:
    with tarfile.open(fileobj=Chunks(chunks), mode="r|", bufsize=1 << 20) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isreg() else None
        if member is None or content is None:
            raise SandboxFileError(f"{path}: not a regular file")
        if member.size > max_bytes:  # it grew since its stat
            raise SandboxFileError(f"{path}: {member.size} bytes, over the limit of {max_bytes}")
        return content.read()


class Chunks(io.RawIOBase):
    """An archive's chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._held += chunk
        size = len(self._held) if size < 0 else size
        data, self._held = self._held[:size], self._held[size:]
        return data


def one_file_tar(path: str, data: bytes, *, mode: int, ids: tuple[int, int]) -> bytes:
    """A tar, to be unpacked at `/`, of one file; the engine makes missing parent folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(data), mode
        entry.uid, entry.gid = ids
        entry.mtime = int(time.time())
        archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def tree_tar(source: Path, target: str, into: IO[bytes]) -> None:
    """Write a tar, to be unpacked at `/`, of the content of `source` under `target`, owned by root. Raises SandboxFileError."""
    if not source.is_dir():
        raise SandboxFileError(f"{source}: not a folder")
    root = source.resolve()
    prefix = target.strip("/")
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entries = sorted(root.rglob("*"))
        if not entries and prefix:
            folder = tarfile.TarInfo(prefix)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for path in entries:
            _add(archive, path, root, prefix)


def _add(archive: tarfile.TarFile, path: Path, root: Path, prefix: str) -> None:
    found = path.lstat()
    entry = tarfile.TarInfo("/".join(part for part in (prefix, path.relative_to(root).as_posix()) if part))
    entry.mode = stat_module.S_IMODE(found.st_mode)
    entry.mtime = int(found.st_mtime)
    if path.is_symlink():
        link = str(path.readlink())
        if Path(link).is_absolute() or not (path.parent / link).resolve().is_relative_to(root):
            raise SandboxFileError(f"{path}: a symlink that leaves the folder ({link})")
        entry.type, entry.linkname = tarfile.SYMTYPE, link
        archive.addfile(entry)
    elif path.is_dir():
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    elif path.is_file():
        entry.size = found.st_size
        with path.open("rb") as content:
            archive.addfile(entry, content)
    else:
        raise SandboxFileError(f"{path}: neither file, folder nor symlink")
