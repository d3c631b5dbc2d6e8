"""Which tasks a study uses, and which of them are sealed. Pure functions of the tasks, the settings and the seed."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lorimer.benchmarks.base import Task
from lorimer.benchmarks.choice import chosen
from lorimer.config.settings import BenchmarkSettings, SplitSettings
from lorimer.errors import ConfigError
from lorimer.wording import first_names

SHINGLE = 3
"""Words in a row that are compared. Three keep word order and survive a changed word every so often."""

NEAR = 0.5
"""Jaccard similarity of shingles from which two instructions count as near-equal: about one changed word in nine. Of 217
tasks in four public suites it joins none, of 1,319 grade-school sums one pair: one story with its numbers shuffled."""

SHARED = 0.5
"""A shingle in more than this share of the tasks is the suite's boilerplate and tells nothing about likeness."""

TOLD = 5
"""Names of tasks and patterns in an error message."""

SMALLEST = 4
"""A suite of fewer tasks seals nothing: a holdout of one in three decides nothing and costs a third of the evidence."""


LARGE = 60
"""Tasks from which a suite keeps a test side unasked."""

SIDES = ("train", "holdout", "test")


@dataclass(frozen=True)
class Split:
    """Task ids by side, each in order of id. Tasks on no side take no part."""

    train: tuple[str, ...]
    holdout: tuple[str, ...]
    test: tuple[str, ...] = ()


def select(tasks: Sequence[Task], settings: BenchmarkSettings, seed: int) -> tuple[Task, ...]:
    """The tasks that `[benchmark]` asks for, in order of id; `limit` takes a sample that depends on seed and ids alone.

    Raises ConfigError when a pattern matches no task, or nothing is left.
    """
    wanted = chosen([task.id for task in tasks], settings.tasks, "benchmark.tasks: ")
    kept = [task for task in tasks if task.id in wanted and not any(fnmatchcase(task.id, p) for p in settings.exclude)]
    if not kept:
        named = "" if not settings.tasks else " that benchmark.tasks names"
        every = "the only task" if len(wanted) == 1 else f"all {len(wanted)} tasks"
        raise ConfigError(f"benchmark.exclude: {first_names(settings.exclude, TOLD)}: leaves out {every}{named}")
    if settings.limit is not None:
        kept = sorted(kept, key=lambda task: rank(seed, "sample", task.id))[: settings.limit]
    return tuple(sorted(kept, key=lambda task: task.id))


def split(tasks: Sequence[Task], settings: SplitSettings, seed: int, *, base: Path | None = None) -> Split:
    """Seal a share of the tasks for the holdout and another for the test, or those that files name.

    Near-equal instructions, and tasks of one source, stay on one side. Every category, and within it every difficulty,
    gives its share, within one group. What is drawn depends on seed and tasks, not on their order. With 4 tasks or more both
    sides have at least one. What a file names is where it says, near-equal or not.

    Args:
        base: where relative files start; the current folder where not given.

    Raises ConfigError where a file cannot be read, names a task that is not there or that another file names, or where
    nothing is left to train on.
    """
    named = _named(tasks, settings, base or Path())
    train, holdout, test = (named.get(side) for side in SIDES)
    pool = [task for task in tasks if not any(task.id in ids for ids in named.values())]
    if train is not None:
        # Who names what to train on, and what is sealed, has left out the rest.
        holdout = {task.id for task in pool} if holdout is None else holdout
        pool = []
    sealed, kept = shares(settings, len(tasks))
    if test is None:
        test = _draw(pool, kept, seed, "test ")
        pool = [task for task in pool if task.id not in test]
    if holdout is None:
        # Of all tasks, whatever the test side has taken.
        share = sealed if named else sealed / (1 - kept)
        holdout = _draw(pool, share, seed, "")
    train = {task.id for task in pool} - holdout if train is None else train
    if not train:
        raise ConfigError(
            f"split.holdout = {sealed:g}, split.test = {kept:g}: they seal all {len(tasks)} tasks; "
            "nothing is left to train on"
        )
    return Split(tuple(sorted(train)), tuple(sorted(holdout)), tuple(sorted(test)))


def grown(
    tasks: Sequence[Task], settings: SplitSettings, seed: int, kept: Mapping[str, str], *, base: Path | None = None
) -> Split:
    """The split of a suite of which an earlier study has used some tasks: each of these stays on its side, so that nothing that
    was read is sealed and nothing that is sealed was read. New ones that are near-equal to one of them go to its side; the
    others are drawn as `split` draws them.

    Args:
        kept: the sides of the tasks that the earlier study used.

    Raises ConfigError as `split` does, and where a file puts one of these tasks on another side.
    """
    known = {task.id: kept[task.id] for task in tasks if task.id in kept}
    if settings.train_file or settings.holdout_file or settings.test_file:
        found = split(tasks, settings, seed, base=base)
        sides = {"train": found.train, "holdout": found.holdout, "test": found.test}
        moved = sorted(id_ for side, ids in sides.items() for id_ in ids if known.get(id_, side) != side)
        if moved:
            first = f"{first_names(moved, TOLD)}: on another side than in the study that this one continues"
            raise ConfigError(f"split: {first}; what was read once cannot be sealed")
        return found
    sources = {task.id: task.source_id for task in tasks if task.source_id}
    for group in near_equal({task.id: task.instruction for task in tasks}, sources):
        named = {known[id_] for id_ in group if id_ in known}
        if named:  # where a group is on two sides already, a new task of it has been read in a way
            known = {**dict.fromkeys(group, "train" if "train" in named else min(named)), **known}
    new = [task for task in tasks if task.id not in known]
    drawn = split(new, settings, seed) if new else Split((), ())
    if not drawn.train and "train" not in known.values():
        raise ConfigError("split: no task that the earlier study trained on is left, and there is no new one")

    def side(name: str, ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({*ids, *(id_ for id_, at in known.items() if at == name)}))

    return Split(side("train", drawn.train), side("holdout", drawn.holdout), side("test", drawn.test))


def _draw(tasks: Sequence[Task], share: float, seed: int, purpose: str) -> set[str]:
    """Ids of a share of the tasks, whole groups from every stratum."""
    if share == 0 or len(tasks) < SMALLEST:
        return set()
    by_id = {task.id: task for task in tasks}
    sources = {task.id: task.source_id for task in tasks if task.source_id}
    groups = near_equal({task.id: task.instruction for task in tasks}, sources)
    if len(groups) == 1:
        groups = [(id_,) for id_ in sorted(by_id)]  # One group cannot be on two sides.

    def place(group: tuple[str, ...]) -> tuple[str, str, str]:
        first = by_id[group[0]]
        return first.category, first.difficulty, rank(seed, f"{purpose}split", group[0])

    # Systematic sampling: walking the strata in order, each task adds its share to what is owed, and a whole one owed is
    # paid by the group at hand. Ranks within a stratum are a hash, so who is at hand is luck, of the seed alone.
    drawn: set[str] = set()
    owed = int(rank(seed, f"{purpose}start", "")[:8], 16) / 2**32
    for group in sorted(groups, key=place):
        owed += share * len(group)
        if owed >= 1 and len(group) <= math.ceil(share * len(tasks)):
            owed -= len(group)
            drawn.update(group)
    if not drawn or len(drawn) == len(tasks):
        smallest = min(groups, key=lambda group: (len(group), rank(seed, f"{purpose}split", group[0])))
        drawn = drawn - set(smallest) if drawn else set(smallest)
    return drawn


def shares(settings: SplitSettings, tasks: int) -> tuple[float, float]:
    """The shares of a suite of `tasks` tasks that are sealed and that are kept for the test.

    A test side of fewer than nine tasks tells next to nothing, so small suites keep all for the search. One that is kept unasked
    is a fifth of what is not sealed, at most 0.15, and a part of it comes out of the holdout: training on 36 tasks of 60 instead
    of on 42 finds 58 of 100 edits worth 5 points instead of 66 (docs/benchmarks.md).
    """
    named = settings.train_file or settings.holdout_file or settings.test_file
    if settings.test is not None or named or tasks < LARGE:
        return 0.3 if settings.holdout is None else settings.holdout, settings.test or 0.0
    holdout = 0.25 if settings.holdout is None else settings.holdout
    return holdout, min(0.15, (1 - holdout) / 5)


def around(train: int, settings: SplitSettings) -> tuple[int, int]:
    """How many tasks are sealed, and how many are for the test, in the largest suite that trains on so many."""
    large = shares(settings, LARGE)
    sealed, kept = large if train / (1 - sum(large)) >= LARGE else shares(settings, 0)
    whole = train / (1 - sealed - kept)
    return round(whole * sealed), round(whole * kept)


def near_equal(texts: Mapping[str, str], sources: Mapping[str, str] | None = None) -> list[tuple[str, ...]]:
    """Groups of ids whose texts are near-equal, directly or through others; each in order of id, first ids in order.

    Ids with one source in `sources` are of one group whatever their texts. Compares sets of three-word shingles,
    lower-cased, with every number taken as the same.
    """
    shingles = {id_: _shingles(text) for id_, text in texts.items()}
    found_in = Counter(shingle for found in shingles.values() for shingle in found)
    common = {shingle for shingle, count in found_in.items() if count > max(2.0, SHARED * len(texts))}
    # A text of nothing but boilerplate is compared as a whole.
    telling = {id_: found - common or found for id_, found in shingles.items()}

    leader = {id_: id_ for id_ in texts}

    def find(id_: str) -> str:
        while leader[id_] != id_:
            id_ = leader[id_]
        return id_

    def join(one: str, other: str) -> None:
        first, second = sorted((find(one), find(other)))
        leader[second] = first

    # Two sets as alike as NEAR share one of the rarest elements of each, so only those are indexed: 1,300 texts then take
    # a second instead of a minute.
    index: dict[str, list[str]] = defaultdict(list)
    for id_ in sorted(texts):
        mine = telling[id_]
        rarest = sorted(mine, key=lambda shingle: (found_in[shingle], shingle))
        prefix = rarest[: len(mine) - math.ceil(NEAR * len(mine)) + 1]
        for other in sorted({other for shingle in prefix for other in index[shingle]}):
            theirs = telling[other]
            shared = len(mine & theirs)
            if shared >= NEAR * (len(mine) + len(theirs) - shared):
                join(id_, other)
        for shingle in prefix:
            index[shingle].append(id_)
    first_of: dict[str, str] = {}
    for id_, source in sorted((sources or {}).items()):
        join(id_, first_of.setdefault(source, id_))
    groups: dict[str, list[str]] = defaultdict(list)
    for id_ in sorted(texts):
        groups[find(id_)].append(id_)
    return [tuple(groups[first]) for first in sorted(groups)]


def _shingles(text: str) -> set[str]:
    words = re.findall(r"[^\W\d_]+|\d+", text.lower())
    words = ["#" if word.isdigit() else word for word in words]
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}


def _named(tasks: Sequence[Task], settings: SplitSettings, base: Path) -> dict[str, set[str]]:
    """The ids that the files name, by side. Raises ConfigError."""
    ids = {task.id for task in tasks}
    named: dict[str, set[str]] = {}
    for side in SIDES:
        name: str | None = getattr(settings, f"{side}_file")
        if name is None:
            continue
        where = f"split.{side}_file: {base / name}"
        found = _ids_of(where, base / name)
        unknown = sorted(found - ids)
        if unknown:
            raise ConfigError(f"{where}: no such task: {first_names(unknown, TOLD)}")
        for other, taken in named.items():
            if found & taken:
                raise ConfigError(f"{where}: is on the {other} side too: {first_names(sorted(found & taken), TOLD)}")
        if not found:
            raise ConfigError(f"{where}: names no task")
        named[side] = found
    if "train" not in named and set().union(*named.values()) == ids:
        files = [f"split.{side}_file: {base / getattr(settings, f'{side}_file')}" for side in named]
        raise ConfigError(f"{' and '.join(files)}: this seals every task; nothing is left to train on")
    return named


def _ids_of(where: str, path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8; save it as UTF-8") from None
    return {line.partition("#")[0].strip() for line in lines} - {""}


def rank(seed: int, purpose: str, id_: str) -> str:
    """A place in a random order that depends on nothing but these three."""
    return hashlib.sha256(f"{seed}\0{purpose}\0{id_}".encode()).hexdigest()
