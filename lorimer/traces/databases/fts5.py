"""Full-text search over the steps of trajectories by SQLite's FTS5: the index's `rowid` is a step's `id`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lorimer.kinds import SearchOrder
from lorimer.traces import codec
from lorimer.traces.databases.base import MANY, OF_STUDY, RANKED, STUDYS, UNSEALED, Plain, SearchQuery, sayable

INDEX_AFTER = "INSERT INTO step_fts(rowid, text) SELECT id, text FROM step WHERE id > ? AND text <> ''"
"""Lets search find the steps after the one of a number.

It is one statement for many steps: FTS5 puts away what it has gathered at the end of each, so a trigger, which is a statement of
its own for every row, took three times as long. Whoever inserts steps by other means runs this too.
"""

_ORDERS: dict[SearchOrder, str] = {
    "best": 'step_fts.rank, step.owner, step."index"',
    "newest": "step_fts.rowid DESC",
    "steps": 'step.owner, step."index"',
}
_SNIPPET = "snippet(step_fts, 0, '[', ']', ' … ', 24)"


def search(connection: Plain, asked: SearchQuery) -> list[tuple[int, str]]:
    """Do what `base.Database.search` promises. FTS5 syntax is used where it is valid, and plain words where it is not."""
    return _asked(asked.words, lambda query: _search(connection, query, asked))


def matching(connection: Plain, words: str, first: int, last: int) -> list[int]:
    """Do what `base.Database.matching` promises."""
    statement = "SELECT rowid FROM step_fts WHERE step_fts MATCH ? AND rowid BETWEEN ? AND ?"
    return [
        row[0] for row in _asked(words, lambda query: connection.execute(statement, [query, first, last]).fetchall())
    ]


def snippets(connection: Plain, words: str, numbers: Sequence[int]) -> list[str]:
    """Do what `base.Database.snippets` promises."""
    statement = f"SELECT {_SNIPPET} FROM step_fts WHERE step_fts MATCH ? AND rowid = ?"  # noqa: S608

    def each(number: int) -> str:
        rows = _asked(words, lambda query: connection.execute(statement, [query, number]).fetchall())
        return rows[0][0] if rows else ""

    return [each(number) for number in numbers]


def _asked(words: str, ask: Callable[[str], list[Any]]) -> list[Any]:
    """What is found by the words as a query; where they are no query, by each of them quoted, all of which must occur."""
    words = sayable(words)
    for query in (words, " ".join(f'"{word}"' for word in re.findall(r"\w+", words))):
        try:
            return ask(query) if query.strip() else []
        except sqlite3.OperationalError as error:
            said = ("fts5:", "no such column", "unterminated string", "unknown special query")
            if not any(sign in str(error) for sign in said):
                raise
    return []


def _search(connection: Plain, query: str, asked: SearchQuery) -> list[tuple[int, str]]:
    where = ["step_fts MATCH :query"]
    values: dict[str, Any] = {"query": query, "limit": asked.limit, "ranked": max(RANKED, asked.limit) - 1}
    if asked.study is not None:
        values |= {"study": asked.study, "many": MANY}
        where += _within(STUDYS) if _is_small(connection, values) else [OF_STUDY]
    if asked.sealed:
        values["sealed"] = codec.dumps(list(asked.sealed))
        where.append(UNSEALED)
    matches = f"FROM step_fts JOIN step ON step.id = step_fts.rowid WHERE {' AND '.join(where)}"
    if asked.order == "best":
        oldest = f"SELECT step_fts.rowid {matches} ORDER BY step_fts.rowid DESC LIMIT 1 OFFSET :ranked"
        matches += f" AND step_fts.rowid >= coalesce(({oldest}), 0)"
    statement = f"SELECT step.id, {_SNIPPET} {matches} ORDER BY {_ORDERS[asked.order]} LIMIT :limit"
    return _named(connection, statement, values)


def _within(owners: str) -> list[str]:
    """That a step is of one of these. The range spares a look at every other step that holds a common word."""
    return [
        f"step.owner IN ({owners})",
        f"step_fts.rowid BETWEEN (SELECT min(id) FROM step WHERE owner IN ({owners})) "  # noqa: S608
        f"AND (SELECT max(id) FROM step WHERE owner IN ({owners}))",
    ]


def _is_small(connection: Plain, values: Mapping[str, Any]) -> bool:
    """Whether it is quicker to list a study's trials than to ask of each step that was found whether it is one of theirs."""
    counted = "SELECT count(*) FROM (SELECT 1 FROM trial WHERE study = :study LIMIT :many)"
    return bool(_named(connection, counted, values)[0][0] < MANY)


def _named(connection: Plain, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """The answer to a question whose values have names, as some stand in it twice."""
    names = re.findall(r":([a-z]+)", statement)
    return connection.execute(re.sub(r":[a-z]+", "?", statement), [values[name] for name in names]).fetchall()
