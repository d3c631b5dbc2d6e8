"""Where the tasks of a Harbor folder lie: data sets in data sets, and what `dataset.toml` says of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorimer.benchmarks import _files
from lorimer.errors import ConfigError, TaskError

MANIFEST = "dataset.toml"
_MARKS = ("task.toml", "instruction.md", "tests/test.sh")
_DEPTH = 8
"""The search goes so many folders deep; whoever points at `/` is told soon."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListedTask(_Table):
    """One of `[[tasks]]`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")
    """`org/name`."""
    digest: str = ""
    """Harbor's own, of the published package. Not compared: lorimer keeps its own digest of every task."""


class Dataset(_Table):
    """[dataset]"""

    name: str
    version: str | None = None
    description: str = ""
    authors: list[Any] = []
    keywords: list[str] = []


class Manifest(_Table):
    """A whole dataset.toml."""

    schema_version: str = "1.0"
    dataset: Dataset
    metadata: dict[str, Any] = {}
    tasks: list[ListedTask] = []
    files: list[dict[str, Any]] = []


@dataclass
class Found:
    """Folders that are or mean to be tasks."""

    folders: list[Path] = field(default_factory=list)
    problems: list[TaskError] = field(default_factory=list)
    """Tasks that a manifest lists and that are not there."""
    name: str = ""
    """The name of the outermost data set, where its manifest says it."""


def find(root: Path) -> Found:
    """All tasks below a folder. Raises ConfigError for a dataset.toml that cannot be read."""
    found = Found()
    manifest = read_manifest(root)
    if manifest is not None:
        found.name = manifest.dataset.name.rpartition("/")[2]
    _descend(root, manifest, found, _DEPTH)
    return found


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's dataset.toml; `None` where there is none. Raises ConfigError, one line, with the key at fault."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return Manifest.model_validate(tomllib.loads(_files.read_text("", folder, MANIFEST)))
    except TaskError as error:
        raise ConfigError(f"{path}: {error.problem}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = "no such key in a dataset.toml" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{path}: {key}: {problem}") from None


def _descend(folder: Path, manifest: Manifest | None, found: Found, depth: int) -> None:
    here = Found()
    for child in _children(folder):
        if any((child / mark).exists() for mark in _MARKS if depth == _DEPTH or mark == "task.toml"):
            here.folders.append(child)
        elif depth > 0:
            _descend(child, read_manifest(child), here, depth - 1)
    if manifest is not None and manifest.tasks:
        listed = {task.name.partition("/")[2]: task.name for task in manifest.tasks}
        there = {child.name for child in here.folders}
        here.folders = [child for child in here.folders if child.name in listed]
        here.problems = [problem for problem in here.problems if problem.task not in listed]
        for name in sorted(listed.keys() - there):
            problem = f"lists {listed[name]}, and there is no such task in {folder}"
            here.problems.append(TaskError(name, MANIFEST, problem))
    found.folders += here.folders
    found.problems += here.problems


def _children(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}") from None
    for child in children:
        # A linked task is looked at, and refused if it leaves the set; a linked folder of folders may lead in a circle.
        if (
            not child.name.startswith(".")
            and child.is_dir()
            and (not child.is_symlink() or (child / "task.toml").exists())
        ):
            yield child
