"""Harbor-format task folders: `task.toml`, `instruction.md`, `environment/`, `tests/test.sh`, `solution/solve.sh`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorimer.benchmarks import _files
from lorimer.benchmarks.base import Suite, Task
from lorimer.benchmarks.choice import chosen
from lorimer.benchmarks.harbor import sets, toml
from lorimer.benchmarks.harbor.task import HarborTask
from lorimer.benchmarks.harbor.variables import HostVariables
from lorimer.errors import ConfigError, TaskError
from lorimer.sandbox.base import ImageSpec
from lorimer.wording import first_names

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAMED = 5
"""Tasks that a note names."""


class HarborBenchmark:
    """The tasks of a folder: one task, a data set of tasks, or data sets in folders, at any depth.

    Where a folder has a `dataset.toml` that lists tasks, those are the set: others in it are left alone.

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
        host: HostVariables | None = None,
    ) -> None:
        self._root = root
        self._name = name
        self._image = image
        self._workspace = workspace
        self._host = host or HostVariables.here()

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those that match `only` (ids or shell-style patterns).

        Raises ConfigError when there is no such folder, no task in it, or nothing that matches one of `only`.
        """
        found = self._found()
        folders = sorted(found.folders, key=lambda folder: (folder.name, str(folder)))
        wanted = chosen([*(folder.name for folder in folders), *(problem.task for problem in found.problems)], only)
        tasks: dict[str, Task] = {}
        problems = [problem for problem in found.problems if problem.task in wanted]
        for folder in folders:
            if folder.name not in wanted:
                continue
            try:
                if folder.name in tasks:
                    raise TaskError(folder.name, "folder name", f"another data set of {self._root} has this id too")
                tasks[folder.name] = self._task(folder)
            except TaskError as problem:
                problems.append(problem)
        name = self._name or found.name or self._root.resolve().name
        read = tuple(tasks[name] for name in sorted(tasks))
        return Suite(name, read, tuple(problems), _unsolved(folders, tasks))

    def _found(self) -> sets.Found:
        """Every folder that is or means to be a task, and what a dataset.toml lists in vain."""
        if not self._root.is_dir():
            raise ConfigError(f"{self._root}: no such folder; a Harbor data set is a folder of task folders")
        if (self._root / "task.toml").exists():
            # Under its real name, so that `.` is a task too.
            return sets.Found([self._root.resolve()])
        found = sets.find(self._root)
        if not found.folders and not found.problems:
            raise ConfigError(f"{self._root}: holds no task, that is, no folder with a task.toml")
        return found

    def _task(self, folder: Path) -> Task:
        id_ = folder.name
        if not _ID.fullmatch(id_):
            problem = "may hold letters, digits, '.', '_' and '-' only, at most 128, the first a letter or a digit"
            raise TaskError(ascii(id_), "folder name", problem)
        if folder.is_symlink() and not folder.resolve().is_relative_to(self._root.resolve()):
            raise TaskError(id_, "folder", "is a symlink that leaves the data set")
        entries = _files.walk(id_, folder)
        settings = toml.parse(id_, _files.read_text(id_, folder, "task.toml"))
        return HarborTask(id_, folder, settings, self._host, _files.ignored(id_, folder, entries)).read(
            entries, self._image, self._workspace
        )


def _unsolved(folders: Sequence[Path], tasks: Mapping[str, Task]) -> tuple[str, ...]:
    """A note on tasks that have something for a solution, and nothing of it that would be run."""
    found = [
        folder.name
        for folder in folders
        if folder.name in tasks and not tasks[folder.name].solution_runs and _holds_something(folder / "solution")
    ]
    if not found:
        return ()
    said = "has" if len(found) == 1 else "have"
    return (
        f"{first_names(found, _NAMED)} {said} a folder solution/ without a solve.sh, so no solution is run: of such a task "
        "only that doing nothing scores 0 is checked",
    )


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
