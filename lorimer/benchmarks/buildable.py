"""Tasks whose Dockerfiles nothing on this machine can build are left out by name, before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from lorimer.benchmarks.base import Suite, Task
from lorimer.errors import TaskError
from lorimer.sandbox.base import BuiltImage
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.sandbox.docker.image.dockerfile import buildkit_needs


def buildable(suite: Suite, here: Callable[[], BuildKit]) -> Suite:
    """The suite without tasks that need what is not here of BuildKit; why, is among its problems.

    Args:
        here: finds out what this machine has; asked only where a Dockerfile needs BuildKit.
    """
    found: list[BuildKit] = []
    kept: list[Task] = []
    problems: list[TaskError] = []
    for task in suite.tasks:
        problem = None
        for image in task.images():
            path = image.context / image.dockerfile if isinstance(image, BuiltImage) else None
            needs = () if path is None or not path.is_file() else buildkit_needs(path.read_text("utf-8", "replace"))
            if path is None or not needs:
                continue
            if not found:
                found.append(here())
            lack = found[0].lacks(needs)
            if lack is not None and problem is None:
                parts = path.parts
                below = len(parts) - parts[::-1].index(task.id) if task.id in parts else -2
                name = "/".join(parts[below:])
                problem = TaskError(task.id, f"{name} line {lack[0].line}", f"{lack[0].what} {lack[1]}")
        if problem is None:
            kept.append(task)
        else:
            problems.append(problem)
    return dataclasses.replace(suite, tasks=tuple(kept), problems=(*suite.problems, *problems))
