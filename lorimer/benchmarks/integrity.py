"""Whether a benchmark's files are as they were: a look at sizes and times, cheap enough for before every stage."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lorimer.benchmarks.base import Task
from lorimer.sandbox.base import BuiltImage

Signature = dict[str, tuple[int, int, int, int]]
"""Path -> size, modification and change time in nanoseconds, inode."""


def sources(task: Task) -> set[Path]:
    """The host's files and folders that a trial of the task uses."""
    found: set[Path] = set()
    for each in (task, *(part.task for part in task.parts)):
        scripts = [each.verifier, *([each.solution] if each.solution else [])]
        pairs = [pair for script in scripts for pair in script.files()] + list(each.workspace)
        found |= {source for source, _ in pairs if isinstance(source, Path)}
        found |= {spec.context for spec in each.images() if isinstance(spec, BuiltImage)}
    return found


def signature(tasks: Iterable[Task]) -> Signature:
    """What the file system says of all their files. Milliseconds for a hundred tasks."""
    seen: Signature = {}
    for source in {path for task in tasks for path in sources(task)}:
        _look(seen, str(source))
        for folder, _, files in os.walk(source):
            for name in files:
                _look(seen, f"{folder}/{name}")
    return seen


def changed(before: Signature, now: Signature) -> list[str]:
    """Paths that are new, gone or not as they were."""
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


def _look(seen: Signature, path: str) -> None:
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not os.path.isdir(path):  # noqa: PTH112  a folder's times change with what is in it, which is looked at by itself
        seen[path] = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
