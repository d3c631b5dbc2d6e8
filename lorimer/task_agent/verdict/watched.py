"""Which changed paths could decide what a verifier says. Pure: names alone are judged here, `suspect` looks at the files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_TOOLS = re.compile(
    r"(sh|bash|dash|ash|zsh|busybox|env|sudo|su|python[\d.]*|pypy[\d.]*|pip[\d.]*|pytest|py\.test|uv|uvx|node|nodejs|npm|npx|perl|"
    r"ruby|java|javac|go|cargo|rustc|gcc|g\+\+|cc|c\+\+|clang|ld|make|cmake|git|curl|wget|jq|sqlite3|soffice|libreoffice|apt|"
    r"apt-get|dpkg|cat|echo|printf|test|\[|true|false|grep|egrep|fgrep|diff|cmp|comm|awk|gawk|mawk|sed|find|xargs|sort|uniq|"
    r"head|tail|cut|tr|wc|ls|cp|mv|rm|mkdir|ln|chmod|chown|touch|date|sleep|timeout|tee|stat|readlink|realpath|md5sum|"
    r"sha256sum|base64|bc|expr|seq|id|ps|kill|tar|gzip|unzip)"
)
"""Programs that verifiers run."""
_CORE = frozenset(("sh", "bash", "dash", "busybox", "coreutils", "cat", "stat", "readlink", "md5sum", "sha256sum"))
"""Programs that the examination itself runs."""
CORE_PACKAGES = re.compile(r"(bash|dash|busybox|coreutils|libc|libgcc|libstdc|libssl|zlib|libsqlite|python|libpython)")
"""Debian packages that hold those and the libraries below."""
_FOLDERS = re.compile(r"(/usr(/local)?)?/s?bin|(/root|/home/[^/]+)/\.(local|cargo)/bin")
_LIBRARIES = re.compile(
    r"(/usr(/local)?)?/lib(32|64)?(/[^/]+-linux-[^/]+)?/"
    r"(ld-|ld\.so|libc[.-]|libm[.-]|libdl[.-]|libpthread[.-]|librt[.-]|libpython|libstdc|libgcc|libcrypto|libssl|libz\.|libsqlite3)"
    r"[^/]*"
)
_SETTINGS = re.compile(
    r"/etc/(ld\.so\.conf|ld\.so\.conf\.d/.+|environment|hosts|nsswitch\.conf|profile|bash\.bashrc|pip\.conf|uv/.+|"
    r"apt/sources\.list|apt/apt\.conf(\.d/.+)?)|(/root|/home/[^/]+)/(\.curlrc|\.wgetrc|\.netrc|\.pip/pip\.conf|"
    r"\.config/(pip/pip\.conf|uv/uv\.toml)|\.bash_env|\.ssh/rc)"
)
_HOME = re.compile(r"(/root|/home/[^/]+)/\.")
"""What shells and tools read of a user, also where the home folder is the work folder."""
_SITE = re.compile(r"/(site|dist)-packages/")
_STDLIB = re.compile(r"/lib(64)?/python3(\.\d+)?/")
_HOOKS = re.compile(r"(site|user)customize(\.pyc?|(\.[^/]+)?\.so)?")
"""Source, byte code without source, a compiled module, and a folder or a link of that name."""
_ZIP = re.compile(r"/lib(64)?/python3\d*\.zip")
"""Where Python looks for its modules first of all; no installation has one."""
_VENV = re.compile(r"(/usr(/local)?)?(/s?bin)?/pyvenv\.cfg")
"""The file by which a Python beside it takes its library from elsewhere."""
_HOLDERS = re.compile(
    r"(/usr(/local)?|/opt(/(conda|miniconda3?|venv|python))?)(/s?bin|/lib)?|/s?bin|(/usr)?/lib(64)?(/[^/]+-linux-[^/]+)?|"
    r"/etc(/(ld\.so\.conf\.d|uv|apt|apt/apt\.conf\.d))?|"
    r"(/root|/home(/[^/]+)?)(/\.(local|cargo)(/(bin|lib))?|/\.config(/(pip|uv))?|/\.(pip|ssh))?"
)
"""Folders that hold what is looked at, and those above: by a link in the place of one it all comes from elsewhere."""
_PYTEST_SETTINGS = ("pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml")


@dataclass(frozen=True)
class Candidates:
    """Changed paths that could decide what a verifier says, by what they are."""

    preload: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    bytecode: tuple[str, ...] = ()
    pytest: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    starters: tuple[str, ...] = ()
    """Files that the image's ENTRYPOINT names: they run again when the sandbox is started again for the verifier."""
    links: tuple[str, ...] = ()
    """Symlinks anywhere, or paths in the work folder that may be, which are looked at for leading into the verifier's place."""
    folders: tuple[str, ...] = ()
    """Symlinks, or what may be, where a folder is to be that holds any of these or the work folder."""

    def files(self) -> list[str]:
        """All but byte code, links and folders."""
        found = (self.tools, self.libraries, self.hooks, self.modules, self.pytest, self.settings, self.starters)
        return [path for paths in found for path in paths]

    def core(self) -> list[str]:
        """What the examination itself would run."""
        return [path for path in self.tools if posixpath.basename(path) in _CORE] + list(self.libraries)

    def all(self) -> list[str]:
        """Every path, each once."""
        return list(dict.fromkeys([*self.files(), *self.bytecode, *self.links, *self.folders]))


def candidates(
    changed: Iterable[str],
    workdir: str,
    places: Collection[str],
    entrypoint: Collection[str] = (),
    links: Collection[str] | None = None,
    search_path: Collection[str] = (),
) -> Candidates:
    """Those of the changed paths that matter. Pure.

    Args:
        workdir: the agent's own folder, whose files are the task's to judge.
        places: where the verifier's files lie; nothing in them is older than the verifier.
        entrypoint: the words of the image's ENTRYPOINT.
        links: those of the changed paths that are symlinks; `None` where nobody knows.
        search_path: where commands look for programs, such as in a virtual environment of the image's.
    """
    found: dict[str, list[str]] = {name: [] for name in Candidates.__dataclass_fields__}
    own = "" if workdir in ("", "/") else workdir.rstrip("/") + "/"
    above = {parent for place in places for parent in _parents(place)}
    tools = {
        folder.rstrip("/") for folder in search_path if folder.startswith("/") and not (own and folder.startswith(own))
    }
    inside = tuple(place.rstrip("/") + "/" for place in places)
    for path in changed:
        folder, name = posixpath.split(path)
        if (path + "/").startswith(inside):
            continue
        if (links is None or path in links) and (_holds(path, (own, *tools)) or _is_folder(path, name)):
            found["folders"].append(path)
        if own and path.startswith(own) and not _HOME.match(path):
            if links is None or path in links:
                found["links"].append(path)
            continue
        if links is not None and path in links:
            found["links"].append(path)
        kind = _kind(path, folder, name, above, tools) or ("starters" if path in entrypoint else "")
        if kind:
            found[kind].append(path)
    return Candidates(**{name: tuple(paths) for name, paths in found.items()})


def holds_tools(path: str) -> bool:
    """Whether programs, libraries or settings of the system lie at this path or below."""
    return _HOLDERS.fullmatch(path) is not None


def is_startup(path: str) -> bool:
    """Whether Python runs this module whenever it starts."""
    return _HOOKS.fullmatch(posixpath.basename(path)) is not None


def is_library(path: str) -> bool:
    """Whether a module is Python's own, no package's."""
    return _SITE.search(path) is None


def _is_folder(path: str, name: str) -> bool:
    """Whether a folder is to be here that holds what is looked at."""
    if name.endswith((".py", ".so", ".pyc", ".pth")):
        return False
    return holds_tools(path) or bool(_SITE.search(path + "/") or _STDLIB.search(path + "/"))


def _holds(path: str, places: Collection[str]) -> bool:
    """Whether one of these places is at this path or below."""
    return any((place + "/").startswith(path + "/") for place in places)


def _kind(path: str, folder: str, name: str, above: Collection[str], tools: Collection[str]) -> str:
    if path == "/etc/ld.so.preload":
        return "preload"
    if name == "pyvenv.cfg" and (folder in tools or f"{folder}/bin" in tools):
        return "hooks"
    if _HOOKS.fullmatch(name) or _VENV.fullmatch(path) or (name.endswith(".pth") and _SITE.search(path)):
        return "hooks"
    if name.endswith(".pyc") and posixpath.basename(folder) == "__pycache__":
        return "bytecode"
    if _ZIP.search(path):
        return "modules"
    if _SITE.search(path) or _STDLIB.search(path):
        return "modules" if name.endswith((".py", ".so", ".pyc")) else ""
    if name == "conftest.py" or (name in _PYTEST_SETTINGS and folder in above):
        return "pytest"
    if (folder in tools or _FOLDERS.fullmatch(folder)) and _TOOLS.fullmatch(name):
        return "tools"
    if _LIBRARIES.fullmatch(path):
        return "libraries"
    return "settings" if _SETTINGS.fullmatch(path) else ""


def _parents(place: str) -> list[str]:
    found = []
    while place not in ("/", ""):
        place = posixpath.dirname(place)
        found.append(place)
    return found
