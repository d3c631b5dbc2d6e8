"""What an agent left, as a tar that is safe to hand on: pure functions of a stream that cannot be trusted.

An agent chooses the names, links and modes of its files. So nothing of them is ever laid out on the host: a tar that comes out
of one sandbox is rewritten entry by entry into one that goes into another. Only folders, regular files, hard links among
these, and symlinks that lead to a place inside the artifact are kept.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import IO, Any

from lorimer.sandbox.base import Packed, SandboxFileError

MAX_ENTRIES = 200_000
"""Files, folders and links of one artifact: a large `node_modules` has 100,000. Each costs memory here while it is packed."""

MAX_HOPS = 40
"""Links followed for one path, as in Linux."""

_ENTRY_BYTES = 512
"""What an entry takes in a tar beside its content; counted, so that a million empty files are over a limit too."""

_TOLD = 5
"""Names of left-out entries that are told."""


def rewrite(stream: Any, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str] = ()) -> Packed:
    """Rewrite a tar of what lies at `path`, as a sandbox's engine gives it, into `archive`, to be unpacked at `/`.

    Args:
        stream: readable bytes of a tar whose first entry is what lies at `path`, under its last name; the others lie below it.
        path: absolute; where the entries of `archive` will lie.
        archive: written from where it stands.
        max_bytes: of all content.
        exclude: shell-style patterns of names or of paths below `path`, as GNU tar's `--exclude` reads them.

    Raises SandboxFileError over a limit, or where it is neither a file nor a folder.
    """
    prefix = posixpath.normpath(path).lstrip("/")
    links: dict[str, str] = {}
    kept: set[str] = set()
    left_out: list[str] = []
    files = size = entries = 0
    is_folder = False
    # Names that are no UTF-8 come and go as they are.
    with (
        tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as given,
        tarfile.open(fileobj=archive, mode="w|", format=tarfile.PAX_FORMAT) as taken,
    ):
        top = ""
        for member in given:
            if not entries:
                top = member.name
                is_folder = member.isdir()
                if not is_folder and not member.isreg():
                    raise SandboxFileError(f"{path}: neither a file nor a folder")
            entries += 1
            size += _ENTRY_BYTES + (member.size if member.isreg() else 0)
            if size > max_bytes or entries > MAX_ENTRIES:
                raise SandboxFileError(f"{path}: over the limit of {max_bytes} bytes or {MAX_ENTRIES} files")
            name = _below(member.name, top)
            if name is None or (name and excluded(name, exclude)):
                continue
            target = posixpath.join(prefix, name) if name else prefix
            if member.issym():
                links[name] = member.linkname
            elif member.isdir():
                taken.addfile(_entry(target, tarfile.DIRTYPE, member))
            elif member.isreg():
                entry = _entry(target, tarfile.REGTYPE, member)
                entry.size = member.size
                taken.addfile(entry, given.extractfile(member))
                kept.add(name)
                files += 1
            elif member.islnk() and (first := _below(member.linkname, top)) in kept:
                entry = _entry(target, tarfile.LNKTYPE, member)
                entry.linkname = posixpath.join(prefix, first)
                taken.addfile(entry)
                files += 1
            else:
                left_out.append(name)
        for name, link in links.items():  # last, so that nothing is ever unpacked through one of them
            if stays_inside(name, links):
                entry = tarfile.TarInfo(posixpath.join(prefix, name))
                entry.type, entry.linkname = tarfile.SYMTYPE, link
                taken.addfile(entry)
            else:
                left_out.append(name)
    return Packed("/" + prefix, is_folder, files, size, len(left_out), tuple(left_out[:_TOLD]))


def rewritten(stream: Any, path: str, archive: IO[bytes], *, max_bytes: int, exclude: Sequence[str]) -> Packed:
    """`rewrite`, with what tarfile says of a broken stream made the failure of a file. Raises SandboxFileError."""
    try:
        return rewrite(stream, path, archive, max_bytes=max_bytes, exclude=exclude)
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise SandboxFileError(f"{path}: cannot be packed: {error}") from None


def excluded(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches `name`, a folder above it, or the end of either after a `/`."""
    parts = name.split("/")
    for pattern in patterns:
        wanted = pattern.removeprefix("./").rstrip("/")
        for end in range(1, len(parts) + 1):
            if any(fnmatchcase("/".join(parts[start:end]), wanted) for start in range(end)):
                return True
    return False


def stays_inside(name: str, links: Mapping[str, str]) -> bool:
    """Whether a symlink, followed through all others, ends at or below the artifact's own folder."""
    hops = 0
    at: list[str] = []
    waiting = list(reversed(name.split("/")))
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                return False
            at.pop()
            continue
        link = links.get("/".join([*at, part]))
        if link is None:
            at.append(part)
            continue
        hops += 1
        if hops > MAX_HOPS or link.startswith("/"):
            return False
        waiting.extend(reversed(link.split("/")))
    return True


def _below(name: str, top: str) -> str | None:
    """A member's name below the first one's; `""` for that itself, `None` for a name that lies elsewhere."""
    name, top = name.rstrip("/"), top.rstrip("/")
    if name == top:
        return ""
    rest = name.removeprefix(f"{top}/")
    return rest if rest != name and not {"", ".", ".."} & set(rest.split("/")) else None


def _entry(name: str, kind: bytes, member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by root, without setuid, setgid or sticky bits."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, member.mode & 0o777, int(member.mtime)
    return entry
