"""Harbor-format task folders: `task.toml`, `instruction.md`, `environment/`, `tests/test.sh`, `solution/solve.sh`."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lorimer.benchmarks import _files, harbor_toml
from lorimer.benchmarks.base import Healthcheck, Script, Suite, Task
from lorimer.errors import ConfigError, TaskError
from lorimer.sandbox.base import BuiltImage, ImageSpec, PulledImage, SandboxLimits

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CANARY = re.compile(r"(<!--.*canary.*-->|#.*canary.*)", re.IGNORECASE)
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
        self._host = os.environ if host is None else host

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
        instruction = _without_canary(_files.read_text(id_, folder, "instruction.md"))
        if not instruction.strip():
            raise TaskError(id_, "instruction.md", "is empty")
        if not (folder / "tests" / "test.sh").is_file():
            raise TaskError(id_, "tests/test.sh", "is missing")
        ignored = next((entry.path for entry in entries if entry.path.rpartition("/")[2] == ".harborignore"), None)
        if ignored is not None:
            raise TaskError(id_, ignored, "lists of files to leave out are not supported")
        if (folder / "trajectory.json").exists():
            raise TaskError(id_, "trajectory.json", "prior conversations are not supported")
        environment, verifier = settings.environment, settings.verifier
        limits = SandboxLimits(
            cpus=environment.cpus,
            memory_mb=environment.memory_mb or environment.memory,
            storage_mb=environment.storage_mb or environment.storage,
            network=environment.network,
        )
        return Task(
            id=id_,
            instruction=instruction,
            image=self._image or _image(id_, folder, settings),
            verifier=Script(
                source=folder / "tests",
                target="/tests",
                command="bash /tests/test.sh",
                timeout=verifier.timeout_sec,
                env=harbor_toml.resolve_env(id_, "verifier.env", verifier.env, self._host, agent=False),
                user=_user(verifier.user),
            ),
            solution=self._solution(id_, folder, settings),
            limits=limits,
            agent_timeout=Task.agent_timeout if settings.agent.timeout_sec is None else settings.agent.timeout_sec,
            workdir=environment.workdir,
            env=harbor_toml.resolve_env(id_, "environment.env", environment.env, self._host, agent=True),
            user=_user(settings.agent.user),
            healthcheck=_healthcheck(environment.healthcheck),
            workspace=self._loose(id_, folder, settings),
            difficulty=_word(settings.metadata.get("difficulty")),
            category=_word(settings.metadata.get("category")),
            source_id=_word(settings.metadata.get("source_id")),
            digest=_files.digest(id_, folder, entries),
        )

    def _solution(self, id_: str, folder: Path, settings: harbor_toml.TaskToml) -> Script | None:
        if not (folder / "solution" / "solve.sh").is_file():
            return None
        return Script(
            source=folder / "solution",
            target="/solution",
            command="bash /solution/solve.sh",
            # Harbor gives the oracle the agent's time.
            timeout=settings.agent.timeout_sec or Task.agent_timeout,
            env=harbor_toml.resolve_env(id_, "solution.env", settings.solution.env, self._host, agent=False),
        )

    def _loose(self, id_: str, folder: Path, settings: harbor_toml.TaskToml) -> tuple[tuple[Path, str], ...]:
        if self._workspace is None:
            # Beside a prebuilt image, what lies in environment/ goes where commands start, as in Harbor.
            files = folder / "environment"
            if settings.environment.docker_image is None or (files / "Dockerfile").exists() or not files.is_dir():
                return ()
            return ((files, settings.environment.workdir or "."),) if any(files.iterdir()) else ()
        source, target = self._workspace
        if not (folder / source).is_dir():
            raise TaskError(id_, source, "is missing")
        return ((folder / source, target),)


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


def _image(id_: str, folder: Path, settings: harbor_toml.TaskToml) -> ImageSpec:
    context = folder / "environment"
    for compose in ("docker-compose.yaml", "docker-compose.yml"):
        if (context / compose).exists():
            raise TaskError(id_, f"environment/{compose}", "compose files are not supported")
    if settings.environment.docker_image is not None:
        return PulledImage(settings.environment.docker_image)
    if not (context / "Dockerfile").is_file():
        raise TaskError(id_, "environment/Dockerfile", "is missing, and [environment] docker_image is not set")
    return BuiltImage(context, build_timeout=settings.environment.build_timeout_sec)


def _user(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _healthcheck(table: harbor_toml.HealthcheckTable | None) -> Healthcheck | None:
    if table is None:
        return None
    return Healthcheck(
        table.command,
        interval=table.interval_sec,
        timeout=table.timeout_sec,
        start_period=table.start_period_sec,
        start_interval=table.start_interval_sec,
        retries=table.retries,
    )


def _without_canary(text: str) -> str:
    """Without the marker lines at the top that keep a suite out of training corpora; Harbor hides them from agents too."""
    lines = text.split("\n")
    while lines and _CANARY.fullmatch(lines[0].strip()):
        lines.pop(0)
        while lines and not lines[0].strip():
            lines.pop(0)
    return "\n".join(lines)


def _word(value: object) -> str:
    """Free metadata where it is a word or a number; anything else says nothing."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
