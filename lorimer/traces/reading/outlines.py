"""What happened in many trials at once, a few facts per step, and full-text search over the steps of some trials.

A step's data and its messages hold all that was said and printed. Who counts kinds of steps over hundreds of trials needs little
of it, which the database takes out as it can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorimer.kinds import StepKind
from lorimer.traces import codec
from lorimer.traces.databases.base import Database, Plain
from lorimer.traces.schema import StepOutline, StepPlace
from lorimer.traces.tables import Step

SAID_CHARS = 4_000
"""Only the beginning of what a model said is looked at: enough to see whether it holds a command or gives up."""


def outlines(database: Database, connection: Plain, owners: Sequence[str]) -> dict[str, list[StepOutline]]:
    """The steps of each of these trials in order, without verdicts; those that have none are left out."""
    found: dict[str, list[StepOutline]] = {}
    offered: dict[str, frozenset[str]] = {}
    facts = database.facts(connection, owners, SAID_CHARS)
    for owner, index, kind, command, code, late, chars, path, stop, error, sent, got, said, made, tools in facts:
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


def _names(connection: Plain, tools: str) -> frozenset[str]:
    row = connection.execute("SELECT body FROM message WHERE sha = ?", [tools]).fetchone()
    return frozenset(tool["name"] for tool in json.loads(row[0])["tools"]) if row else frozenset()


@dataclass(frozen=True)
class Hit:
    """A step that full-text search found."""

    step: Step
    snippet: str
    """The words around the match, which is in [brackets]."""


class StepSearch:
    """Full-text search over the steps of some trials, without their verdicts.

    Which steps those are is looked up at the first search and kept: the index knows of a step its number alone, and a common word
    is found in most of them.

    Args:
        database: the store's.
        owners: the trials.
    """

    def __init__(self, database: Database, owners: Sequence[str]) -> None:
        self._database, self._owners = database, owners
        self._steps: Mapping[int, StepPlace] | None = None
        self._numbers: Mapping[StepPlace, int] = {}

    def find(self, words: str) -> list[StepPlace]:
        """The steps that match, by trial in the order of `owners`, then by step. Search syntax is used where it is valid, and
        plain words where it is not.
        """
        with self._database.plain() as connection:
            steps = self._places(connection)
            found = self._database.matching(connection, words, min(steps), max(steps)) if steps else []
        order = {owner: place for place, owner in enumerate(self._owners)}
        places = [steps[number] for number in found if number in steps]
        return sorted(places, key=lambda place: (order[place.owner], place.index))

    def snippets(self, words: str, places: Sequence[StepPlace]) -> list[str]:
        """The words around the match at each of these steps, which is in [brackets]."""
        with self._database.plain() as connection:
            self._places(connection)
            return self._database.snippets(connection, words, [self._numbers[place] for place in places])

    def _places(self, connection: Plain) -> Mapping[int, StepPlace]:
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
