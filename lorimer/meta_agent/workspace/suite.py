"""The tasks that a study's settings name, as its benchmark has them now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lorimer.benchmarks.base import Suite
from lorimer.benchmarks.buildable import buildable
from lorimer.benchmarks.registry import open_benchmark
from lorimer.benchmarks.split import select
from lorimer.benchmarks.unread import nothing_in
from lorimer.config.settings import Config
from lorimer.errors import ConfigError
from lorimer.keys import Keys
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.scale import Scale


def read_suite(root: Path, config: Config, only: tuple[str, ...] = ()) -> Suite:
    """The configured benchmark, narrowed by [benchmark] and by `only`; there may be no task in it that can be read, but reasons.

    Raises ConfigError where there is neither.
    """
    names = config.verifier.pass_env
    keys = Keys.open(root) if names else None
    passed = {name: keys is not None and keys.source(name) is not None for name in names}
    suite = open_benchmark(config.benchmark.source, root, config.benchmark, config.study.seed, passed).load(only)
    if config.sandbox.provider != "bubblewrap":
        suite = buildable(suite, BuildKit.here)
    if not suite.tasks and not suite.problems:
        raise ConfigError(nothing_in(config.benchmark.source, ()))
    if not suite.tasks:
        return suite
    if not only:
        _refuse_unreadable(suite, config.benchmark.tasks)
    tasks = suite.tasks if only else select(suite.tasks, config.benchmark, config.study.seed)
    tasks = tuple(task.rewarded_by(config.verifier.reward_key) for task in tasks)
    if config.verifier.scale is not None:
        scale = Scale.of(config.verifier.scale)
        tasks = tuple(task.scaled(scale) for task in tasks)
    isolation = config.benchmark.isolation
    if isolation == "same" and (keyed := next((task for task in tasks if task.takes_keys), None)) is not None:
        raise ConfigError(
            f"benchmark.isolation: under 'same' the verifier of task {keyed.id} would hold a key of [verifier] pass_env beside "
            "what an agent left running; leave it at 'task', or leave the task out"
        )
    if isolation != "task":
        tasks = tuple(dataclasses.replace(task, isolation=isolation, isolation_set=True) for task in tasks)
    return dataclasses.replace(suite, tasks=tuple(tasks))


def load_suite(root: Path, config: Config, only: tuple[str, ...] = ()) -> Suite:
    """The same. Raises ConfigError when no task is left, with the reasons."""
    suite = read_suite(root, config, only)
    if not suite.tasks:
        raise ConfigError(nothing_in(config.benchmark.source, suite.problems))
    return suite


def _refuse_unreadable(suite: Suite, patterns: Sequence[str]) -> None:
    """Raises ConfigError where a pattern names nothing but tasks that cannot be read, with why."""
    for pattern in patterns:
        bad = [problem for problem in suite.problems if fnmatchcase(problem.task, pattern)]
        if bad and not any(fnmatchcase(task.id, pattern) for task in suite.tasks):
            raise ConfigError(f"benchmark.tasks: what '{pattern}' names cannot be read: {bad[0]}")
