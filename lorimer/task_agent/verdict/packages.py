"""What package managers say they wrote: dpkg's lists of MD5 sums and the RECORD files of Python packages."""

from __future__ import annotations

import base64
import csv
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

DPKG = "/var/lib/dpkg/info/"
STATUS = "/var/lib/dpkg/status"
_RECORD = re.compile(r".*/[^/]+\.dist-info/RECORD")


def manifests(changed: Iterable[str]) -> list[str]:
    """The changed paths that say what a package manager wrote."""
    return [
        path
        for path in changed
        if (path.startswith(DPKG) and path.endswith((".md5sums", ".list"))) or path == STATUS or _RECORD.fullmatch(path)
    ]


class Packages:
    """Files with their sums, by the package managers that wrote them. `seal` before asking."""

    def __init__(self) -> None:
        self._md5: dict[str, dict[str, str]] = {}
        self._sha256: dict[str, dict[str, str]] = {}
        self._lists: dict[str, frozenset[str]] = {}
        self._conffiles: dict[str, str] = {}

    def add(self, manifest: str, text: str) -> None:
        """Read one of `manifests`."""
        if manifest == STATUS:
            for path, md5 in re.findall(r"^ (/\S+) ([0-9a-f]{32})", text, re.MULTILINE):
                self._conffiles[path] = md5
        elif manifest.endswith(".list"):
            self._lists[manifest] = frozenset(text.splitlines())
        elif manifest.endswith(".md5sums"):
            pairs = (line.partition("  ") for line in text.splitlines())
            self._md5[manifest] = {"/" + path: md5 for md5, gap, path in pairs if gap}
        else:
            self._sha256[manifest] = dict(_recorded(manifest, text))

    def seal(self, changed: Collection[str]) -> None:
        """Drop manifests that were changed alone: an installation writes its other files and the database as well."""
        there = set(changed)
        installed = STATUS in there
        self._md5 = {
            name: sums
            for name, sums in self._md5.items()
            if installed and name.removesuffix(".md5sums") + ".list" in there
        }
        self._lists = {name: paths for name, paths in self._lists.items() if installed}
        self._sha256 = {
            name: sums
            for name, sums in self._sha256.items()
            if any(posixpath.join(posixpath.dirname(name), other) in there for other in ("METADATA", "WHEEL"))
        }

    def has(self, path: str, md5: str, sha256: str) -> bool:
        """Whether some package says that it wrote this path with these bytes; an empty sum is not known."""
        names = {path, _merged(path)}
        if md5 and any(sums.get(name) == md5 for sums in self._md5.values() for name in names):
            return True
        if md5 and self._conffiles.get(path) == md5:
            return True
        return bool(sha256) and any(sums.get(path) == sha256 for sums in self._sha256.values())

    def lists(self, path: str) -> bool:
        """Whether some package says that it made this path, a symlink: sums have no entry for one."""
        names = {path, _merged(path)}
        return any(name in paths for paths in self._lists.values() for name in names)


def _merged(path: str) -> str:
    """The same file on a system whose /bin and /lib are links into /usr, where packages still say /bin."""
    return path.removeprefix("/usr") if path.startswith(("/usr/bin/", "/usr/sbin/", "/usr/lib")) else "/usr" + path


def _recorded(manifest: str, text: str) -> Iterable[tuple[str, str]]:
    root = posixpath.dirname(posixpath.dirname(manifest))
    try:
        rows: Sequence[list[str]] = list(csv.reader(text.splitlines()))
    except csv.Error:
        return
    for row in rows:
        kind, equals, value = (row[1] if len(row) > 1 else "").partition("=")
        if kind != "sha256" or not equals:
            continue
        try:
            sum_ = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
        except ValueError:
            continue
        yield posixpath.normpath(posixpath.join(root, row[0])), sum_
