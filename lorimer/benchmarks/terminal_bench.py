"""Terminal-Bench 1 task folders: `task.yaml`, a Dockerfile or compose file, `run-tests.sh`, `tests/`, a solution."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lorimer.benchmarks import _files, _yaml
from lorimer.benchmarks.base import MarkedVerdict, PytestSummary, Script, Suite, Task
from lorimer.benchmarks.choice import chosen
from lorimer.benchmarks.compose.reader import LOGS, Compose, read_compose
from lorimer.benchmarks.compose.values import Rules
from lorimer.errors import ConfigError, TaskError
from lorimer.sandbox.base import BuiltImage, ImageSpec, SandboxLimits

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
_SOLUTION = "/oracle"
TEST_DIR = "/tests"
"""Where run-tests.sh and the content of tests/ go."""
_LOCAL = "lorimer-client"
_RULES = Rules(
    main="client",
    variables={
        "T_BENCH_TEST_DIR": TEST_DIR,
        "T_BENCH_CONTAINER_LOGS_PATH": "/logs",
        "T_BENCH_CONTAINER_AGENT_LOGS_PATH": "/agent-logs",
        "T_BENCH_TASK_LOGS_PATH": f"{LOGS}task",
        "T_BENCH_TASK_AGENT_LOGS_PATH": f"{LOGS}agent",
        "T_BENCH_TASK_DOCKER_CLIENT_CONTAINER_NAME": "client",
        "T_BENCH_TASK_DOCKER_NAME_PREFIX": "task",
        "T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME": _LOCAL,
    },
    who="Terminal-Bench",
    local_images=frozenset({_LOCAL}),
    hidden=("tests", "run-tests.sh", "solution.sh", "solution.yaml"),
)

REWARDS: dict[str, PytestSummary | MarkedVerdict] = {
    "pytest": PytestSummary(),
    "swebench": MarkedVerdict("SWEBench", "PASSED"),
    "sweperf": MarkedVerdict("SWE-Perf", "PASSED"),
    "mlebench": MarkedVerdict("MLEBench", "ALL TESTS PASSED"),
}
"""How the reward is read, by `parser_name`. SWE-Lancer's words may stand anywhere in the output, also in an agent's."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskYaml(_Table):
    """A whole task.yaml. Notes that it does not know are passed over, as in Terminal-Bench; `extra_notes` names them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instruction: str
    author_name: str = "unknown"
    author_email: str = "unknown"
    difficulty: str
    category: str = "software_engineering"
    tags: list[str] = []
    parser_name: Literal["pytest", "swebench", "swelancer", "mlebench", "sweperf"] = "pytest"
    max_agent_timeout_sec: Seconds = 360.0
    max_test_timeout_sec: Seconds = 60.0
    run_tests_in_same_shell: bool = False
    disable_asciinema: bool = False
    estimated_duration_sec: float | None = None
    expert_time_estimate_min: float | None = None
    junior_time_estimate_min: float | None = None


class Keystrokes(_Table):
    """One entry of solution.yaml: what is typed into the terminal."""

    command: str
    min_timeout_sec: float = 0.0
    max_timeout_sec: float = 180.0
    block: bool = False
    append_enter: bool = True


class TerminalBenchmark:
    """The tasks of a folder: one task, or a folder of them.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those that match `only` (ids or shell-style patterns).

        Raises ConfigError when there is no such folder, no task in it, or nothing that matches one of `only`.
        """
        folders = self._folders()
        wanted = chosen([folder.name for folder in folders], only)
        tasks: list[Task] = []
        problems: list[TaskError] = []
        notes: Counter[str] = Counter()
        for folder in folders:
            if folder.name not in wanted:
                continue
            try:
                tasks.append(self._task(folder, notes))
            except TaskError as problem:
                problems.append(problem)
        said = ", ".join(f"{note} ({count} tasks)" if count > 1 else note for note, count in sorted(notes.items()))
        passed_over = (
            (f"notes in task.yaml that Terminal-Bench does not know are passed over: {said}",) if notes else ()
        )
        return Suite(self._root.resolve().name, tuple(tasks), tuple(problems), passed_over)

    def _folders(self) -> list[Path]:
        """Every folder that is or means to be a task, in order of name."""
        root = self._root
        if not root.is_dir():
            raise ConfigError(f"{root}: no such folder; a Terminal-Bench data set is a folder of task folders")
        if (root / "task.yaml").exists():
            return [root.resolve()]
        marks = ("task.yaml", "run-tests.sh")
        found = [child for child in root.iterdir() if any((child / mark).exists() for mark in marks)]
        if not found:
            raise ConfigError(f"{root}: holds no task, that is, no folder with a task.yaml")
        return sorted(found, key=lambda folder: folder.name)

    def _task(self, folder: Path, notes: Counter[str]) -> Task:
        """One task; the names of notes that are passed over are counted in `notes`. Raises TaskError."""
        id_ = folder.name
        if not _ID.fullmatch(id_):
            problem = "may hold letters, digits, '.', '_' and '-' only, at most 128, the first a letter or a digit"
            raise TaskError(ascii(id_), "folder name", problem)
        if folder.is_symlink() and not folder.resolve().is_relative_to(self._root.resolve()):
            raise TaskError(id_, "folder", "is a symlink that leaves the data set")
        entries = _files.walk(id_, folder)
        given = _yaml.mapping(id_, "task.yaml", _files.read_text(id_, folder, "task.yaml"))
        settings = parse(id_, given)
        notes.update(extra_notes(given))
        if not (folder / "run-tests.sh").is_file():
            raise TaskError(id_, "run-tests.sh", _files.missing(folder, "run-tests.sh"))
        for script in ("run-tests.sh", "solution.sh"):
            _files.runnable(id_, folder, script)
        compose = _compose(id_, folder)
        return Task(
            id=id_,
            instruction=settings.instruction,
            image=compose.image or _image(id_, folder),
            verifier=dataclasses.replace(_verifier(folder, settings), user=compose.user),
            solution=_solution(id_, folder, settings),
            limits=compose.limits(SandboxLimits(network=True)),
            agent_timeout=settings.max_agent_timeout_sec,
            workdir=compose.workdir,
            start=compose.start,
            group=compose.group,
            env={"TEST_DIR": TEST_DIR, **compose.env},
            user=compose.user,
            reward=REWARDS[settings.parser_name],
            # The same shell cannot be had, as each of an agent's commands has its own; that its processes live on, can.
            isolation="same" if settings.run_tests_in_same_shell else "restart",
            difficulty=settings.difficulty,
            category=settings.category,
            digest=_files.digest(id_, folder, entries),
        )


def parse(task: str, given: Mapping[str, object]) -> TaskYaml:
    """Read what a task.yaml holds. Raises TaskError with the first key at fault."""
    try:
        settings = TaskYaml.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TaskError(task, key, first["msg"]) from None
    if not settings.instruction.strip():
        raise TaskError(task, "instruction", "is empty")
    if settings.parser_name not in REWARDS:
        known = ", ".join(REWARDS)
        raise TaskError(task, "parser_name", f"'{settings.parser_name}' is not supported; lorimer reads {known}")
    return settings


def extra_notes(given: Mapping[str, object]) -> set[str]:
    """Names in a task.yaml that are no settings."""
    return set(given) - set(TaskYaml.model_fields)


def _compose(task: str, folder: Path) -> Compose:
    for name in _COMPOSE:
        if (folder / name).exists():
            return read_compose(task, folder, name, _files.read_text(task, folder, name), _RULES)
    return Compose(None)


def _image(task: str, folder: Path) -> ImageSpec:
    if not (folder / "Dockerfile").is_file():
        raise TaskError(task, "Dockerfile", "is missing")
    return BuiltImage(folder)


def _verifier(folder: Path, settings: TaskYaml) -> Script:
    runner = (folder / "run-tests.sh", f"{TEST_DIR}/run-tests.sh")
    with_tests = (folder / "tests").is_dir()
    return Script(
        source=folder / "tests" if with_tests else runner[0],
        target=TEST_DIR if with_tests else runner[1],
        # One stream, as on the terminal that the original reads: what pip says on stderr comes before the summary.
        command=f"bash {TEST_DIR}/run-tests.sh 2>&1",
        timeout=settings.max_test_timeout_sec,
        # Without a compose file too, as the scripts rely on it.
        env={"TEST_DIR": TEST_DIR},
        extra=(runner,) if with_tests else (),
    )


def _solution(task: str, folder: Path, settings: TaskYaml) -> Script | None:
    """The reference solution; `None` where there is none, or it can only be typed into a full-screen program."""
    if (folder / "solution.sh").is_file():
        return Script(
            folder / "solution.sh",
            f"{_SOLUTION}/solution.sh",
            f"bash {_SOLUTION}/solution.sh",
            settings.max_agent_timeout_sec,
        )
    if not (folder / "solution.yaml").is_file():
        return None
    name = "solution.yaml"
    try:
        typed = TypeAdapter(list[Keystrokes]).validate_python(
            _yaml.load(task, name, _files.read_text(task, folder, name))
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(task, f"{name}: {'.'.join(map(str, first['loc']))}", first["msg"]) from None
    if not typed or not all(entry.append_enter for entry in typed):
        return None
    # Lines that are each ended by Enter do the same in a script.
    command = "\n".join(entry.command for entry in typed)
    return Script(folder / name, f"{_SOLUTION}/{name}", command, settings.max_agent_timeout_sec)
