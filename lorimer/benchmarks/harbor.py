"""Harbor-format task folders: `task.toml`, `instruction.md`, `environment/`, `tests/test.sh`, `solution/solve.sh`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lorimer.benchmarks import _files, harbor_toml
from lorimer.benchmarks.base import Suite, Task
from lorimer.benchmarks.harbor_task import HarborTask
from lorimer.errors import ConfigError, TaskError
from lorimer.keys import child_environment
from lorimer.sandbox.base import ImageSpec

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MARKS = ("task.toml", "instruction.md")


class HarborBenchmark:
    """The tasks of a folder: one task, a data set of tasks, or a folder of data sets.

    Args:
        root: the folder.
        name: of the suite; the folder's own where not given.
        image: what every task runs on, instead of its own Dockerfile or image (the starter benchmark's way).
        workspace: a folder of the task and where its files go before the agent starts, with such an image.
        host: variables that `${VAR}` takes its values from; this process's where not given.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str = "",
        image: ImageSpec | None = None,
        workspace: tuple[str, str] | None = None,
        host: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._name = name or root.resolve().name
        self._image = image
        self._workspace = workspace
        self._host = child_environment() if host is None else host

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those that match `only` (ids or shell-style patterns).

        Raises ConfigError when there is no such folder, no task in it, or nothing that matches one of `only`.
        """
        folders = self._folders()
        wanted = chosen([folder.name for folder in folders], only)
        tasks: dict[str, Task] = {}
        problems: list[TaskError] = []
        for folder in folders:
            if folder.name not in wanted:
                continue
            try:
                if folder.name in tasks:
                    raise TaskError(folder.name, "folder name", f"another data set of {self._root} has this id too")
                tasks[folder.name] = self._task(folder)
            except TaskError as problem:
                problems.append(problem)
        return Suite(self._name, tuple(tasks[name] for name in sorted(tasks)), tuple(problems))

    def _folders(self) -> list[Path]:
        """Every folder that is or means to be a task, in order of name."""
        if not self._root.is_dir():
            raise ConfigError(f"{self._root}: no such folder; a Harbor data set is a folder of task folders")
        if (self._root / "task.toml").exists():
            # Under its real name, so that `.` is a task too.
            return [self._root.resolve()]
        found = [folder for child in _children(self._root) for folder in _tasks_of(child)]
        if not found:
            raise ConfigError(f"{self._root}: holds no task, that is, no folder with a task.toml")
        return sorted(found, key=lambda folder: (folder.name, str(folder)))

    def _task(self, folder: Path) -> Task:
        id_ = folder.name
        if not _ID.fullmatch(id_):
            problem = "may hold letters, digits, '.', '_' and '-' only, at most 128, the first a letter or a digit"
            raise TaskError(ascii(id_), "folder name", problem)
        if folder.is_symlink() and not folder.resolve().is_relative_to(self._root.resolve()):
            raise TaskError(id_, "folder", "is a symlink that leaves the data set")
        entries = _files.walk(id_, folder)
        settings = harbor_toml.parse(id_, _files.read_text(id_, folder, "task.toml"))
        return HarborTask(id_, folder, settings, self._host, _files.ignored(id_, folder, entries)).read(
            entries, self._image, self._workspace
        )


def chosen(ids: Sequence[str], only: Sequence[str]) -> set[str]:
    """Those of `ids` that match one of `only`, or all. Raises ConfigError, with the nearest name, where one matches none."""
    if not only:
        return set(ids)
    result: set[str] = set()
    for pattern in only:
        matched = {id_ for id_ in ids if id_ == pattern or fnmatchcase(id_, pattern)}
        if not matched:
            near = difflib.get_close_matches(pattern, ids, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"no task matches '{pattern}'{hint}")
        result |= matched
    return result


def _children(folder: Path) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        if not child.name.startswith(".") and child.is_dir():
            yield child


def _tasks_of(folder: Path) -> list[Path]:
    """The folder itself where it is a task, whole or broken; else the tasks right inside it, as a nested data set."""
    if any((folder / mark).exists() for mark in _MARKS) or (folder / "tests" / "test.sh").exists():
        return [folder]
    return [child for child in _children(folder) if (child / "task.toml").exists()]
