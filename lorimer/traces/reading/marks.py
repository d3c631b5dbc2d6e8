"""Cheap questions of who watches a store: whether a study's rows have changed, and totals that a screen shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from lorimer.traces import codec
from lorimer.traces.databases.base import Plain


class StudyMark(NamedTuple):
    """Two marks of a study that are equal say that nothing came between them but steps of trials that run."""

    state: str
    candidates: tuple[tuple[str, int], ...]
    """How many are in each state."""
    decisions: int
    chain: int
    """The number of the store's last chained entry: promotions, reverts and settings are chained."""
    trials: tuple[str, int]
    """When the study's newest trial began, and how many began then."""
    calls: tuple[tuple[str, int, int], ...] = ()
    """Each role with its settled model calls and their tokens."""

    @property
    def decided(self) -> tuple[object, ...]:
        """The part on which candidates and decisions rest; it stays while trials only run."""
        return self.state, self.candidates, self.decisions, self.chain

    @property
    def word(self) -> str:
        """The mark as a short word, by which two are compared."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:16]


def mark(connection: Plain, study: str) -> StudyMark:
    """The study as it is now, from indices alone; of an unknown one an empty mark."""

    def number(statement: str, *values: str) -> int:
        return connection.execute(statement, values).fetchone()[0] or 0

    state = connection.execute("SELECT state FROM study WHERE id = ?", [study]).fetchone()
    candidates = connection.execute(
        "SELECT state, count(*) FROM candidate WHERE study = ? GROUP BY state ORDER BY state", [study]
    ).fetchall()
    calls = connection.execute(
        "SELECT role, calls, tokens FROM spent WHERE study = ? ORDER BY role", [study]
    ).fetchall()
    newest = connection.execute(
        "SELECT started, count(*) FROM trial WHERE study = ? GROUP BY started ORDER BY started DESC LIMIT 1", [study]
    ).fetchone()
    return StudyMark(
        state[0] if state else "",
        tuple(candidates),
        number("SELECT count(*) FROM decision WHERE study = ?", study),
        number("SELECT max(number) FROM chain"),
        newest or ("", 0),
        tuple(calls),
    )


class TaskTotals(NamedTuple):
    """The scored trials of one task in some evaluations, added up."""

    task: str
    trials: int
    reward: float
    tokens: int
    """Input plus output."""
    usd: float | None
    """`None` where the price of any of them is unknown."""
    seconds: float


def task_totals(connection: Plain, evaluations: Sequence[str]) -> list[TaskTotals]:
    """The totals of each task, in order of its id."""
    found = connection.execute(
        "SELECT task, count(*), coalesce(sum(reward), 0.0), sum(input_tokens + output_tokens), "
        "CASE WHEN count(cost_usd) = count(*) THEN sum(cost_usd) END, sum(seconds) FROM trial "
        "WHERE evaluation IN (SELECT value FROM json_each(?)) AND state = 'scored' GROUP BY task ORDER BY task",
        [codec.dumps(list(evaluations))],
    )
    return [TaskTotals(*row) for row in found]


def replayed(connection: Plain, evaluations: Sequence[str]) -> set[tuple[str, str]]:
    """Evaluation and task of the trials of these evaluations that went on from a record."""
    found = connection.execute(
        "SELECT DISTINCT evaluation, task FROM trial WHERE evaluation IN (SELECT value FROM json_each(?)) "
        "AND recorded_trial <> '' AND ran_whole = ''",
        [codec.dumps(list(evaluations))],
    )
    return {(evaluation, task) for evaluation, task in found}


def ran_whole(connection: Plain, evaluation: str) -> set[tuple[str, int]]:
    """Task and repeat of an evaluation's trials that ran whole although there was a record, an attempt that parted from it
    included."""
    found = connection.execute(
        "SELECT DISTINCT task, repeat FROM trial WHERE evaluation = ? AND recorded_trial <> '' AND ran_whole <> ''",
        [evaluation],
    )
    return {(task, repeat) for task, repeat in found}
