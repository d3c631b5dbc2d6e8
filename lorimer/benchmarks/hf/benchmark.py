"""Any set that `datasets` can load, as tasks: each row by the mapping of `[benchmark.hf]`."""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lorimer.benchmarks.base import Suite, Task
from lorimer.benchmarks.choice import chosen
from lorimer.benchmarks.hf.mapping import RowMapping
from lorimer.benchmarks.hf.rows import DataRow, open_table
from lorimer.benchmarks.hf.values import Empty, canonical, text_of
from lorimer.benchmarks.split import rank
from lorimer.config.settings import BenchmarkSettings
from lorimer.errors import ConfigError, TaskError

MAX_TASKS = 10_000
"""Without a `limit`. Far past what a study can pay for, and each task is held in memory."""


class HfBenchmark:
    """The rows of a data set as tasks.

    Args:
        source: a name on the Hugging Face hub, or a path.
        base: where a relative path, `check_file` and `environment` start.
        settings: [benchmark]. Of `limit`, the sample is drawn while the rows pass by: no more than it are held.
        seed: of that sample.
    """

    def __init__(self, source: str, base: Path, settings: BenchmarkSettings, seed: int = 0) -> None:
        self._source, self._base, self._settings, self._seed = source, base, settings, seed

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those that match `only` (ids or shell-style patterns), or a sample of `limit`.

        The sample is what `split.select` would draw from all of them. Raises ConfigError for what is wrong with the data set
        as a whole or with the mapping, or when nothing matches one of `only`; PrerequisiteError where the hub is out of reach.
        """
        table = open_table(self._source, self._base, self._settings.hf)
        mapping = RowMapping(self._settings.hf, table.columns, self._base)
        patterns = only or self._settings.tasks
        exclude = () if only else self._settings.exclude
        wanted = None if patterns else self._settings.limit
        missing = set(only)
        stop_early = bool(only) and not any(re.search(r"[*?[]", name) for name in only)
        places: dict[str, int] = {}
        sample: list[tuple[str, Task]] = []
        problems: list[TaskError] = []
        for number, row in enumerate(table.rows, 1):
            try:
                id_ = _id(mapping, row, number)
                if id_ in places:
                    what = "has the id of" if mapping.id else "is the same as"
                    raise TaskError(id_, f"row {number}", f"{what} row {places[id_]}")
                places[id_] = number
                if (patterns and not _matches(id_, patterns)) or _matches(id_, exclude):
                    continue
                place = rank(self._seed, "sample", id_)
                if wanted is not None and len(sample) == wanted and place > sample[-1][0]:
                    continue
                bisect.insort(sample, (place, mapping.task(id_, row)), key=lambda pair: pair[0])
            except TaskError as problem:
                problems.append(problem)
                continue
            if wanted is not None:
                del sample[wanted:]
            elif len(sample) > MAX_TASKS:
                raise ConfigError(
                    f"hf:{self._source}: has more than {MAX_TASKS:,} rows; [benchmark] limit takes a sample of them"
                )
            missing.discard(id_)
            if stop_early and not missing:
                break
        if not places and not problems:
            raise ConfigError(f"hf:{self._source}: holds no row")
        chosen(sorted(places), only)
        return Suite(table.name, tuple(sorted((task for _, task in sample), key=lambda task: task.id)), tuple(problems))


def _matches(id_: str, patterns: Sequence[str]) -> bool:
    return any(id_ == pattern or fnmatchcase(id_, pattern) for pattern in patterns)


def _id(mapping: RowMapping, row: DataRow, number: int) -> str:
    """A row's id: the mapping's, in a task's letters, else from the whole row's content, so that it survives a new order."""
    if mapping.id is None:
        return "row-" + hashlib.sha256(canonical(row).encode("utf-8", "replace")).hexdigest()[:12]
    try:
        text = text_of(mapping.id.get(row)).strip()
    except Empty as problem:
        raise TaskError(f"row-{number}", mapping.id.key, str(problem)) from None
    id_ = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")
    if not id_:
        said = f"{text[:80]!r} holds no letter or digit that an id may have (a to z, A to Z, 0 to 9)"
        raise TaskError(f"row-{number}", mapping.id.key, said)
    # Of a long one the end is cut, which may be all that it differs in.
    return id_ if len(id_) <= 128 else f"{id_[:115]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
