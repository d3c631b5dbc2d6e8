"""What happened in many trials at once, a few facts per step, and full-text search over the steps of some trials.

A step's data and its messages hold all that was said and printed. Who counts kinds of steps over hundreds of trials needs little
of it, and SQLite takes that out in a fifth of the time that it takes to parse all of it in Python (0.02 ms per step).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from lorimer.kinds import StepKind
from lorimer.traces import codec
from lorimer.traces.schema import StepOutline, StepPlace
from lorimer.traces.search import blames_the_query, quoted

SAID_CHARS = 4_000
"""Only the beginning of what a model said is looked at: enough to see whether it holds a command or gives up."""

_OUTLINES = """
SELECT step.owner, step."index", step.kind,
  json_extract(step.data, '$.command'), json_extract(step.data, '$.exit_code'), json_extract(step.data, '$.timed_out'),
  coalesce(length(json_extract(step.data, '$.stdout')), 0) + coalesce(length(json_extract(step.data, '$.stderr')), 0),
  json_extract(step.data, '$.path'), json_extract(step.data, '$.stop_reason'), json_extract(step.data, '$.error'),
  coalesce(json_extract(step.data, '$.usage.input_tokens'), 0),
  coalesce(json_extract(step.data, '$.usage.output_tokens'), 0),
  substr(json_extract(message.body, '$.text'), 1, :said), json_extract(message.body, '$.tool_calls'),
  json_extract(step.data, '$.tools')
FROM step LEFT JOIN message ON step.kind = 'model_call' AND message.sha = json_extract(step.data, '$.completion')
WHERE step.owner IN (SELECT value FROM json_each(:owners)) AND step.kind <> 'verdict'
ORDER BY step.owner, step."index"
"""


def outlines(connection: sqlite3.Connection, owners: Sequence[str]) -> dict[str, list[StepOutline]]:
    """The steps of each of these trials in order, without verdicts; those that have none are left out."""
    found: dict[str, list[StepOutline]] = {}
    offered: dict[str, frozenset[str]] = {}
    values = {"owners": codec.dumps(list(owners)), "said": SAID_CHARS}
    for owner, index, kind, command, code, late, chars, path, stop, error, sent, got, said, made, tools in connection.execute(
        _OUTLINES, values
    ).fetchall():  # fmt: skip
        if tools is not None and tools not in offered:
            offered[tools] = _names(connection, tools)
        calls = json.loads(made) if made else []
        found.setdefault(owner, []).append(
            StepOutline(
                index=index,
                kind=StepKind(kind),
                command=command or "",
                exit_code=code,
                timed_out=bool(late),
                output_chars=chars,
                path=path or "",
                stop_reason=stop or "",
                error=error or "",
                input_tokens=sent,
                output_tokens=got,
                said=said or "",
                called=tuple(call["name"] for call in calls),
                unreadable=sum(bool(call.get("malformed")) for call in calls),
                unknown=0 if tools is None else sum(call["name"] not in offered[tools] for call in calls),
            )
        )
    return found


def _names(connection: sqlite3.Connection, tools: str) -> frozenset[str]:
    row = connection.execute("SELECT body FROM message WHERE sha = ?", [tools]).fetchone()
    return frozenset(tool["name"] for tool in json.loads(row[0])["tools"]) if row else frozenset()


class StepSearch:
    """Full-text search over the steps of some trials, without their verdicts.

    Which steps those are is looked up at the first search and kept: the index knows of a step its number alone, and a common word
    is found in most of them.

    Args:
        connect: opens a connection for one question.
        owners: the trials.
    """

    def __init__(
        self, connect: Callable[[], AbstractContextManager[sqlite3.Connection]], owners: Sequence[str]
    ) -> None:
        self._connect, self._owners = connect, owners
        self._steps: Mapping[int, StepPlace] | None = None
        self._numbers: Mapping[StepPlace, int] = {}

    def find(self, words: str) -> list[StepPlace]:
        """The steps that match, by trial in the order of `owners`, then by step. FTS5 syntax is used where it is valid, and plain
        words where it is not.
        """
        with self._connect() as connection:
            steps = self._places(connection)
            if not steps:
                return []
            found = self._asked(
                connection,
                words,
                "SELECT rowid FROM step_fts WHERE step_fts MATCH ? AND rowid BETWEEN ? AND ?",
                (min(steps), max(steps)),
            )
        order = {owner: place for place, owner in enumerate(self._owners)}
        places = [steps[row[0]] for row in found if row[0] in steps]
        return sorted(places, key=lambda place: (order[place.owner], place.index))

    def snippets(self, words: str, places: Sequence[StepPlace]) -> list[str]:
        """The words around the match at each of these steps, which is in [brackets]."""
        with self._connect() as connection:
            self._places(connection)
            statement = (
                "SELECT snippet(step_fts, 0, '[', ']', ' … ', 24) FROM step_fts WHERE step_fts MATCH ? AND rowid = ?"
            )
            found = [self._asked(connection, words, statement, (self._numbers[place],)) for place in places]
        return [rows[0][0] if rows else "" for rows in found]

    def _places(self, connection: sqlite3.Connection) -> Mapping[int, StepPlace]:
        if self._steps is None:
            rows = connection.execute(
                'SELECT id, owner, "index", kind FROM step WHERE owner IN (SELECT value FROM json_each(?)) '
                "AND kind <> 'verdict'",
                [codec.dumps(list(self._owners))],
            )
            steps = {number: StepPlace(owner, index, StepKind(kind)) for number, owner, index, kind in rows}
            # The steps last: another thread may ask meanwhile.
            self._numbers = {place: number for number, place in steps.items()}
            self._steps = steps
        return self._steps

    @staticmethod
    def _asked(
        connection: sqlite3.Connection, words: str, statement: str, values: tuple[int, ...]
    ) -> list[tuple[Any, ...]]:
        for query in (words, quoted(words)):
            try:
                return connection.execute(statement, (query, *values)).fetchall() if query.strip() else []
            except sqlite3.OperationalError as error:
                if not blames_the_query(str(error)):
                    raise
        return []
