"""Why tasks of a benchmark cannot be read, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from lorimer.errors import TaskError

MOST_REASONS = 3
"""The different reasons that stand in one line; every task's own is what `lorimer benchmarks ls` is for."""


def nothing_in(source: str, problems: Sequence[TaskError]) -> str:
    """What to say of a benchmark without a task that can be read.

    Tasks that are refused for one reason are told together: whole suites fail for one key.
    """
    if not problems:
        return f"benchmark.source: {source} holds no task"
    if len(problems) == 1:
        return f"benchmark.source: {source}: its only task cannot be read: {problems[0]}"
    return f"benchmark.source: {source}: none of its {len(problems)} tasks can be read: {reasons(problems, source)}"


def reasons(problems: Sequence[TaskError], source: str) -> str:
    """The different reasons, those of most tasks first, each with a task that it holds for."""
    alike: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        alike.setdefault((problem.key, problem.problem), []).append(problem.task)
    ordered = sorted(alike.items(), key=lambda item: -len(item[1]))
    said = []
    for (key, why), tasks in ordered[:MOST_REASONS]:
        others = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
        said.append(f"task {tasks[0]}{others}: {key}: {why}")
    left = len(ordered) - len(said)
    if left:
        said.append(f"{left} other reason{'s' * (left > 1)}: `lorimer benchmarks ls {source}` says each")
    return "; ".join(said)
