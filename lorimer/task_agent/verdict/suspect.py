"""What a passing agent changed that could have made its verifier pass: flags, never proof.

The file system outlives the agent (DESIGN 4.4), so a replaced interpreter, a preloaded library or a start-up file still runs
when the verifier does. `watched` decides which of the changed paths matter; what `packages` knows to have come by dpkg or pip
is no news. Tools of the sandbox are asked only once they are known to be unchanged or a package's. All this is
before the verifier runs (`look`), as what was planted can undo itself when it is run. What takes longer waits for a pass
(`suspicions`): byte code is compared with its source if it is still the same, and what is gone by then is flagged for that.

What this does not see: package databases forged together with the files, a package made to cheat and installed with pip, and
whatever lies in the work folder, which is the task's to judge.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lorimer.benchmarks.base import Task
from lorimer.sandbox.base import Changes, Sandbox, SandboxFileError
from lorimer.task_agent.verdict.flags import SUSPECT
from lorimer.task_agent.verdict.packages import DPKG, Packages, manifests
from lorimer.task_agent.verdict.watched import (
    CORE_PACKAGES,
    Candidates,
    candidates,
    holds_tools,
    is_library,
    is_startup,
)
from lorimer.wording import first_names

EXAMINE_SECONDS = 60.0
"""The time to hash some thousand files; a few hundred take a tenth of a second."""
EXAMINE_BYTES = 32 << 20
"""The most bytes of package lists; those of a thousand Debian packages are 10 MB."""
MAX_FILES = 20_000
"""Looked at one by one; a passing agent that changed more of what matters is flagged for that."""
SHOWN = 6
"""Paths named in a flag."""
REPLACED = "folders were replaced by links"


@dataclass(frozen=True)
class Before:
    """What was seen of an agent's changes before the verifier ran; `suspicions` says what speaks against a pass."""

    found: Candidates
    flags: tuple[str, ...]
    ended: bool = False
    """Nothing further can be examined."""
    bytecode: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each."""
    packaged: frozenset[str] = frozenset()
    """Modules that a package manager wrote: another version may take their place, with the byte code."""
    judges: bool = True
    """Python is as it was, so it can judge byte code."""


async def look(changes: Changes, place: Sandbox, task: Task) -> Before:
    """Look at what the agent changed, before the verifier or anything else of its making runs.

    Args:
        changes: those of the sandbox in which the agent acted, after its processes have died.
        place: the one in which the verifier is to run, whose files are looked at; it may be the same.

    Raises SandboxError.
    """
    changed = changes.paths
    places = [target for _, target in task.verifier.files()]
    # In a thread: there may be a great many.
    found = await asyncio.to_thread(
        candidates,
        changed,
        place.workdir,
        [place for place in places if place != "/"],
        place.entrypoint,
        changes.links,
        [
            *place.search_path,
            *(folder for env in (task.env, task.verifier.env) for folder in env.get("PATH", "").split(":")),
        ],
    )
    flags = [f"{SUSPECT}{path} was written: it loads a library into every program" for path in found.preload]
    if changes.cut:
        flags.append(f"{SUSPECT}more was changed, or in deeper folders, than is looked at")
    if unclear := [path for path in found.all() if not _is_clear(path)]:
        flags.append(_flag("what was changed has names that cannot be looked at", unclear))

    def end(*more: str) -> Before:
        return Before(found, (*flags, *more), ended=True)

    if changes.links is not None and (moved := [path for path in found.folders if holds_tools(path)]):
        # The examination's own tools may come from where it leads.
        return end(_flag(f"{REPLACED}, so the examination ends there", moved))
    odd = await _unknown_core(place, found, changed)
    if found.preload or odd:
        said = _flag("tools that the examination needs were replaced, not by a package manager, so it ends there", odd)
        return end(*([said] if odd else []))
    if max(map(len, (found.files(), found.links, found.bytecode, found.folders))) > MAX_FILES:
        return end(f"{SUSPECT}over {MAX_FILES} programs, modules and links were changed, too many to look at")
    seen = await _examine(place, found, changed)
    if seen is None:
        failed = _flags(found, set(found.files()), "and could not be examined")
        return end(*(failed or [f"{SUSPECT}links and byte code were changed, and could not be examined"]))
    odd_files = seen.odd(found)
    flags += _flags(found, odd_files, "not by a package manager")
    if replaced := seen.replaced(found):
        flags.append(_flag(f"{REPLACED}, not by a package manager", replaced))
    listed = [*found.files(), *found.bytecode, *found.folders]
    if gone := [p for p in listed if _is_clear(p) and p not in changes.removed and p not in seen.there]:
        flags.append(_flag("what the agent had changed was gone when it was looked at", gone))
    return Before(
        found,
        tuple(flags),
        bytecode={path: seen.sha256[path] for path in found.bytecode if path in seen.sha256},
        packaged=frozenset(set(found.modules) - odd_files),
        judges=not replaced and not any(_is_pythons(path, found) for path in odd_files),
    )


async def suspicions(before: Before, place: Sandbox, task: Task) -> tuple[str, ...]:
    """Flags for a trial that passed; empty where nothing is odd. Raises SandboxError."""
    found = before.found
    if before.ended or not (found.links or found.bytecode):
        return before.flags
    parts = [
        _LINKS,
        _each(found.links, _LEADS_TO),
        _SHA256,
        _fed(before.bytecode, "tr '\\n' '\\0' | xargs -0 sha256sum -- 2>/dev/null"),
    ]
    seen = await _ask(place, parts)
    if seen is None:
        return (*before.flags, f"{SUSPECT}links and byte code were changed, and could not be examined")
    flags = list(before.flags)
    places = [target for _, target in task.verifier.files() if target != "/"]
    inside = [
        path for path in found.links if any(_in(seen.leads_to.get(path, ""), p) for p in (*places, "/logs/verifier"))
    ]
    if inside:
        flags.append(_flag("symlinks lead into the verifier's files", inside))
    kept = [path for path, sum_ in before.bytecode.items() if seen.sha256.get(path) == sum_]
    lost = [path for path in before.bytecode.keys() - kept if _source(path) not in before.packaged]
    if lost:
        flags.append(_flag("byte code was written that was gone, or another, after the verifier had run", sorted(lost)))
    if kept and before.judges and (forged := await _forged(place, kept)):
        flags.append(_flag("byte code was written that does not come from its source", forged))
    return tuple(flags)


def _is_clear(path: str) -> bool:
    return path.splitlines() == [path] and "\ufffd" not in path


def _source(bytecode: str) -> str:
    """The module that byte code is of; empty for a name that Python would not take."""
    try:
        return importlib.util.source_from_cache(bytecode)
    except ValueError:
        return ""


def _is_pythons(path: str, found: Candidates) -> bool:
    return posixpath.basename(path).startswith("python") or (path in found.modules and is_library(path))


def _flags(found: Candidates, odd: Collection[str], how: str) -> list[str]:
    kinds = (
        ("programs that a verifier runs were replaced or added", found.tools),
        ("libraries that programs load were replaced or added", found.libraries),
        ("start-up files of Python were written", found.hooks),
        ("modules of Python were changed", found.modules),
        ("files that steer pytest were written outside the work folder", found.pytest),
        ("settings of the system or of tools were changed", found.settings),
        ("what the image's ENTRYPOINT runs was changed", found.starters),
    )
    return [
        _flag(f"{what}, {how}", paths)
        for what, all_ in kinds
        if (paths := [path for path in all_ if path in odd])
    ]  # fmt: skip


def _flag(what: str, paths: Sequence[str]) -> str:
    # As they stand in a terminal: an agent chose them.
    named = [path if path.isprintable() else path.encode("unicode_escape").decode() for path in paths]
    return f"{SUSPECT}{what}: {first_names(named, SHOWN)}"


async def _unknown_core(place: Sandbox, found: Candidates, changed: Sequence[str]) -> list[str]:
    """The tools that the examination would run and that no package explains; found out without running any."""
    core = found.core()
    if not core:
        return []
    lists = [
        path
        for path in changed
if path.startswith(DPKG) and CORE_PACKAGES.match(path, len(DPKG))
    ]  # fmt: skip
    known = Packages()
    for path in lists:
        if path.endswith((".md5sums", ".list")):
            known.add(path, (await _bytes(place, path)).decode("utf-8", "replace"))
    known.seal(changed)
    odd = []
    for path in core:
        data = await _bytes(place, path)
        if data and not known.has(path, hashlib.md5(data, usedforsecurity=False).hexdigest(), ""):
            odd.append(path)
    return odd


async def _bytes(place: Sandbox, path: str) -> bytes:
    """Empty where it is gone, a folder, or larger than any tool."""
    try:
        return await place.read(path, max_bytes=64 << 20)
    except SandboxFileError:
        return b""


@dataclass
class _Seen:
    """What the examination printed."""

    packages: Packages = field(default_factory=Packages)
    md5: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    """What there is of what was asked for."""
    leads_to: dict[str, str] = field(default_factory=dict)
    """The file at the end of each symlink."""
    changed: frozenset[str] = frozenset()

    def odd(self, found: Candidates) -> set[str]:
        return {path for path in found.files() if path in self.there and not self._explained(path)}

    def replaced(self, found: Candidates) -> list[str]:
        """Folders that are symlinks now."""
        return [path for path in found.folders if path in self.leads_to and not self.packages.lists(path)]

    def _explained(self, path: str) -> bool:
        target = self.leads_to.get(path)
        if target is None:
            return self._managed(path)
        if self.packages.lists(path):
            return True
        stem = re.match(r"[a-z+]*", posixpath.basename(path))
        alike = stem is not None and stem[0] != "" and posixpath.basename(target).startswith(stem[0])
        return alike and (target not in self.changed or self._managed(target))

    def _managed(self, path: str) -> bool:
        return self.packages.has(path, self.md5.get(path, ""), "" if is_startup(path) else self.sha256.get(path, ""))


def _in(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


_LINKS, _SHA256 = "printf '\\n@@:link\\n'", "printf '\\n@@:sha256\\n'"
_LEADS_TO = '[ -L "$p" ] && printf "%s\\t%s\\n" "$(readlink -f -- "$p")" "$p"'


async def _examine(place: Sandbox, found: Candidates, changed: Sequence[str]) -> _Seen | None:
    """Ask the sandbox's own tools, now known to be its image's or a package's. `None` where they do not answer."""
    files, folders, bytecode = found.files(), list(found.folders), list(found.bytecode)
    if not (files or folders or bytecode):
        return _Seen()
    lists = manifests(changed) if files or folders else []
    parts = [
        _each(lists, 'printf "\\n@@%s\\n" "$p"; cat -- "$p" 2>/dev/null'),
        "printf '\\n@@:there\\n'",
        _each([*files, *bytecode, *folders], '{ [ -e "$p" ] || [ -L "$p" ]; } && printf "%s\\n" "$p"'),
        _LINKS,
        _each([*files, *folders], _LEADS_TO),
        "printf '\\n@@:md5\\n'",
        _fed(
            files,
            'while IFS= read -r p; do [ -L "$p" ] && readlink -f -- "$p"; printf "%s\\n" "$p"; done | sort -u | '
            "tr '\\n' '\\0' | xargs -0 md5sum -- 2>/dev/null",
        ),
        _SHA256,
        _fed([*files, *bytecode], "tr '\\n' '\\0' | xargs -0 sha256sum -- 2>/dev/null"),
    ]
    return await _ask(place, parts, changed)


async def _ask(place: Sandbox, parts: Sequence[str], changed: Sequence[str] = ()) -> _Seen | None:
    script = "\n".join([*parts, "printf '\\n@@:end\\n'"])
    ran = await place.exec(script, timeout=EXAMINE_SECONDS, cwd="/", user="0", output_limit=EXAMINE_BYTES)
    text = ran.stdout.decode("utf-8", "surrogateescape")
    if ran.timed_out or ran.stdout_dropped or "\n@@:end\n" not in text:
        return None
    return _read(text, changed)


def _fed(paths: Iterable[str], command: str) -> str:
    """A command that reads the paths, one in a line; one with a line break in its name is left out: it is flagged for that."""
    kept = [path for path in paths if path.splitlines() == [path]]
    # The braces hold the command together where it is a pipeline: its first part reads the list, and nobody else.
    return f"{{ {command}\n}} <<'@@'\n" + "".join(f"{path}\n" for path in kept) + "@@" if kept else ":"


def _each(paths: Sequence[str], body: str) -> str:
    return _fed(paths, f"while IFS= read -r p; do {body}; done")


def _read(text: str, changed: Sequence[str]) -> _Seen:
    seen = _Seen(changed=frozenset(changed))
    for section in text.split("\n@@")[1:]:
        name, _, body = section.partition("\n")
        if name == ":there":
            seen.there = set(body.splitlines())
        elif name == ":link":
            pairs = (line.partition("\t") for line in body.splitlines())
            seen.leads_to = {path: target for target, tab, path in pairs if tab}
        elif name in (":md5", ":sha256"):
            hashes = seen.md5 if name == ":md5" else seen.sha256
            hashes.update(
                (line[line.find("  ") + 2 :], line[: line.find("  ")]) for line in body.splitlines() if "  " in line
            )
        elif not name.startswith(":"):
            seen.packages.add(name, body)
    seen.packages.seal(changed)
    return seen


_BYTECODE = r"""
import importlib.util, marshal, os, sys
for path in sys.stdin.read().splitlines():
    try:
        with open(path, "rb") as file:
            data = file.read()
        source = importlib.util.source_from_cache(path)
        found = os.stat(source)
        with open(source, "rb") as file:
            text = file.read()
    except (OSError, ValueError):
        continue
    if data[:4] != importlib.util.MAGIC_NUMBER:
        continue
    flags = int.from_bytes(data[4:8], "little")
    stamp = (int(found.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (found.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    if flags == 0 and data[8:16] != stamp:
        continue
    if flags == 3 and data[8:16] != importlib.util.source_hash(text):
        continue
    level = path.rpartition(".opt-")[2][:1] if ".opt-" in path else "0"
    code = marshal.loads(data[16:])
    if code != compile(text, code.co_filename, "exec", dont_inherit=True, optimize=int(level)):
        print(path)
print("@@end")
"""
"""Compiles each source again and compares. Byte code that Python would not take (another version, older than its source) is
passed over. It runs without the caches that it judges."""


async def _forged(place: Sandbox, bytecode: Sequence[str]) -> list[str]:
    """Byte code that its source does not give. Empty where there is no Python."""
    python = "$(command -v python3 || command -v python || echo :)"
    compare = f"{python} -I -S -B -X pycache_prefix=/nonexistent/lorimer -c {shlex.quote(_BYTECODE)}"
    ran = await place.exec(_fed(bytecode, compare), timeout=EXAMINE_SECONDS, cwd="/", user="0", output_limit=1 << 20)
    lines = ran.stdout.decode("utf-8", "surrogateescape").splitlines()
    if ran.exit_code == 0 and not lines:
        return []
    return lines[:-1] if lines[-1:] == ["@@end"] else ["(it could not be examined)"]
