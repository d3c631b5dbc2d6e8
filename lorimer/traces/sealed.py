"""What the chain seals, as the store holds it now: what `lorimer verify` compares with it.

Read on the database's own connection, without SQLAlchemy: a check of a whole store then costs what its rows cost, and not the
import of an object mapper, which takes longer than 100,000 trials.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lorimer.errors import UserError
from lorimer.traces import chain, codec, migrations
from lorimer.traces.chain import ChainEntry
from lorimer.traces.databases.base import Database, Plain
from lorimer.traces.databases.choice import database_at

STUDIES_IN_ORDER = "(SELECT min(number) FROM chain WHERE chain.study = study.id), id"
DECISIONS_IN_ORDER = (
    "(SELECT min(number) FROM chain WHERE chain.study = decision.study AND kind = 'decision' "
    "AND subject = decision.id), id"
)
"""Studies began and decisions were made in the order in which the chain has them, whatever the clock said."""


class StudyNow(NamedTuple):
    """A study, as far as the chain seals it."""

    id: str
    columns: dict[str, Any]
    """Those of `chain.BEGUN`."""
    tasks: dict[str, tuple[str, str]]
    """Digest and split of each task by its id, in the suite's order."""


class CandidateNow(NamedTuple):
    """A candidate, as far as its promotion seals it."""

    id: str
    state: str
    parent: str
    harness: str | None
    """`None` where the meta-agent proposed nothing usable."""
    commit: str


class SealedReader:
    """A trace store, opened for each question and closed after it: a reader holds nothing and need not be closed.

    Raises UserError when there is none, when it is no trace store, or has another version's schema; LorimerError when it
    cannot be read.
    """

    def __init__(self, source: Database | Path | str) -> None:
        self.database = database_at(source)
        name = self.database.name
        if not self.database.has_store():
            raise UserError(f"there are no traces at {name}")
        with self.database.plain() as connection:
            found, newest = self.database.revision(connection), migrations.revisions()[-1]
        if found is None:
            raise UserError(f"{name} is not a trace store")
        if found != newest:
            older = found < newest
            raise UserError(
                f"{name} was written by {'an older' if older else 'a newer'} lorimer (schema {found}, this one reads "
                f"{newest}); " + (self.database.older() if older else "upgrade lorimer")
            )

    def chain(self, study: str | None = None, kind: str | None = None) -> list[ChainEntry]:
        """The whole chain, in order of number; or its entries of one study and kind."""
        wanted = {name: value for name, value in (("study", study), ("kind", kind)) if value is not None}
        where = "".join(f" AND {name} = ?" for name in wanted)
        statement = "SELECT number, study, kind, subject, body, made, previous, hash FROM chain WHERE true"
        with self.database.plain() as connection:
            rows = connection.execute(f"{statement}{where} ORDER BY number", list(wanted.values())).fetchall()
        return [
            ChainEntry(number, of, about, subject, json.loads(body), body, *rest)
            for number, of, about, subject, body, *rest in rows
        ]

    def studies_now(self, study: str | None = None) -> list[StudyNow]:
        """All studies in the order in which they began, or one. Raises UserError for an unknown one."""
        with self.database.plain() as connection:
            columns = ", ".join(chain.BEGUN)
            statement = f"SELECT id, {columns} FROM study ORDER BY {STUDIES_IN_ORDER}"  # noqa: S608
            stored = connection.execute(statement).fetchall()
            tasks = connection.execute('SELECT study, id, digest, split FROM task ORDER BY "position", id').fetchall()
        if study is not None and study not in [row[0] for row in stored]:
            raise self._no_study(study, [row[0] for row in stored])
        found = []
        for name, *values in stored:
            begun = dict(zip(chain.BEGUN, values, strict=True))
            begun["config"] = json.loads(begun["config"])
            own = {task: (digest, split) for of, task, digest, split in tasks if of == name}
            found.append(StudyNow(name, begun, own))
        return [each for each in found if study in (None, each.id)]

    def candidates_now(self, study: str) -> list[CandidateNow]:
        """The study's candidates in order of number."""
        statement = 'SELECT id, state, parent, harness, "commit" FROM candidate WHERE study = ? ORDER BY number'
        with self.database.plain() as connection:
            return [CandidateNow(*row) for row in connection.execute(statement, [study])]

    def decisions_now(self, study: str) -> dict[str, dict[str, Any]]:
        """Every column of the study's decisions, by their ids, in the order in which they were made."""
        with self.database.plain() as connection:
            statement = f"SELECT * FROM decision WHERE study = ? ORDER BY {DECISIONS_IN_ORDER}"  # noqa: S608
            rows = connection.execute(statement, [study])
            names = [column[0] for column in rows.description]
            found = [dict(zip(names, row, strict=True)) for row in rows]
        for row in found:
            row["numbers"], row["policy"] = json.loads(row["numbers"]), json.loads(row["policy"])
        return {row["id"]: row for row in found}

    def trials_digests(self, evaluations: Sequence[str]) -> dict[str, str]:
        """What decisions' entries in the chain hold of these evaluations' trials, as they are now; none where there are none."""
        with self.database.plain() as connection:
            return digests(connection, evaluations)

    def plans(self, evaluations: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        """Task and repeat of each trial of these evaluations, in planned order."""
        statement = "SELECT id, plan FROM evaluation WHERE id IN (SELECT value FROM json_each(?))"
        with self.database.plain() as connection:
            found = connection.execute(statement, [codec.dumps(list(evaluations))]).fetchall()
        return {name: [(task, repeat) for task, repeat in json.loads(plan)] for name, plan in found}

    def harness_texts(self, shas: Iterable[str]) -> dict[str, str]:
        """The texts of these harnesses."""
        statement = "SELECT sha, text FROM harness WHERE sha IN (SELECT value FROM json_each(?))"
        with self.database.plain() as connection:
            return dict(connection.execute(statement, [codec.dumps(sorted(shas))]).fetchall())

    def _no_study(self, study: str, known: Sequence[str]) -> UserError:
        return UserError(f"there is no study {study} in {self.database.name}; there are: {', '.join(known) or 'none'}")


def digests(connection: Plain, evaluations: Sequence[str]) -> dict[str, str]:
    """`chain.trials_digest` of those of these evaluations that have finished trials.

    An evaluation is asked for at a time: one question about all of them takes longer, as its name then comes with every trial.
    """
    found = ((name, connection.execute(chain.TRIALS, [name, *chain.FINISHED]).fetchall()) for name in evaluations)
    return {name: chain.trials_digest(trials) for name, trials in found if trials}
