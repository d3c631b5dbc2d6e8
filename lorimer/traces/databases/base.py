"""What the store's room asks of a database. Its questions are written once, in SQL that all of them know.

Two things differ in every database and stand in its own file: full-text search, and what is said where it fails. In a question,
`?` stands for a value and `(SELECT value FROM json_each(?))` for all the texts of a JSON array, whatever the database calls that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lorimer.errors import LorimerError
from lorimer.kinds import SearchOrder

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine
    from sqlalchemy import Table as SqlTable


class Rows(Protocol):
    """The answer to a question; every row is a tuple."""

    @property
    def description(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def fetchone(self) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Plain(Protocol):
    """A database's own connection, which only reads: SQLAlchemy takes six times as long to make its rows of 100,000."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows: ...


RANKED = 20_000
"""The best matches are looked for among the newest ones only, at most this many: to rank 1.5 million takes 3 s, these 0.1 s."""

MANY = 5_000
"""Trials of a study, from which on it takes longer to list them (0.15 s for 120,000) than to ask of each step."""

STUDYS = "SELECT id FROM trial WHERE study = :study UNION SELECT id FROM candidate WHERE study = :study"
"""Whose steps are a study's."""

OF_STUDY = (
    "(EXISTS (SELECT 1 FROM trial WHERE trial.id = step.owner AND trial.study = :study) "
    "OR EXISTS (SELECT 1 FROM candidate WHERE candidate.id = step.owner AND candidate.study = :study))"
)
"""The same, asked of one step."""

UNSEALED = (
    "NOT EXISTS (SELECT 1 FROM trial WHERE trial.id = step.owner AND trial.stage = 'holdout' "
    "AND trial.study IN (SELECT value FROM json_each(:sealed)))"
)
"""That a step is of no sealed task."""


STEP_COLUMNS = ("owner", "index", "kind", "at", "seconds", "data")
"""The columns of a step that whoever writes one gives, beside its text; its number is the database's."""

FLAGGED = "SELECT id, stage, flags FROM trial {hint}WHERE study = ? AND state = 'scored' AND flags <> '[]' ORDER BY id"
"""What `Database.flagged` asks. The hint is for a database that takes another index by itself."""


def put(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, anew: bool
) -> None:
    """Insert many rows, JSON as its text. SQLAlchemy takes longer to look at each value than the database to store it.

    Args:
        anew: a row whose key is taken is left out; otherwise that fails.
    """
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join([mark] * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})" + " ON CONFLICT DO NOTHING" * anew  # noqa: S608
    connection.exec_driver_sql(statement, list(rows))


@dataclass(frozen=True)
class StatementAnswer:
    """The answer to a statement of the user's own."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Spare:
    """Room of a store's file that holds nothing."""

    bytes: int
    of: int
    """The size of the file."""
    takes: int
    """How much room it takes, for a while, to write the file anew without it."""
    there: int
    """How much there is on its disk."""


@dataclass(frozen=True)
class SearchQuery:
    """A search over the steps of trajectories (`traces.base.StudyReader.search`)."""

    words: str
    study: str | None
    limit: int
    order: SearchOrder
    sealed: Sequence[str]


def sayable(words: str) -> str:
    """The words of a search without lone surrogates, which a shell makes of bytes that are no UTF-8 and no database takes."""
    return words.encode("utf-8", "replace").decode()


class Database(Protocol):
    """Where a store is kept. Making one connects to nothing; two of one place are equal.

    `plain` and the engines raise UserError where the database cannot be had at all, and LorimerError where it fails later.
    """

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str:
        """What the user calls it, without a password."""
        ...

    def has_store(self) -> bool:
        """Whether anything is there. Raises UserError where a server does not say."""
        ...

    def older(self) -> str:
        """How a store that an older lorimer wrote is brought up to date, as a clause."""
        ...

    def plain(self) -> AbstractContextManager[Plain]:
        """A connection for reading, given back at the end; what it raises is told in the user's words."""
        ...

    def reading(self) -> Engine:
        """An engine whose connections only read. Disposed of, it can still be used."""
        ...

    def writing(self) -> Engine:
        """An engine of one connection that writes; makes room for the store where there is none."""
        ...

    def hurry(self, until: Future[Any]) -> None:
        """Who waits for this to be written was told to stop: a database that does not answer is given up soon, unless it is
        done before."""
        ...

    def begin(self, connection: Connection, *, full: bool) -> None:
        """Begin a transaction on the writing connection, which no other writer of this store has at the same time.

        Args:
            full: its commit, and every one before it, is on the disk when it returns.
        """
        ...

    def within(self, connection: Connection) -> Plain:
        """The same connection without SQLAlchemy, in the same transaction."""
        ...

    def insert(self, table: SqlTable) -> Any:
        """An INSERT of this dialect that can go on where a key is taken (`on_conflict_do_nothing`, `on_conflict_do_update`)."""
        ...

    @property
    def step_text(self) -> str:
        """The column of a step that is written with what search finds of it; "" may stand there for what its data says."""
        ...

    def put_steps(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert steps, with a value for each of `STEP_COLUMNS` and then of `step_text`, so that search finds them."""
        ...

    def copied(self, connection: Connection, table: str) -> None:
        """Whatever is left to do where a whole table was copied into this store, row by row."""
        ...

    def damage(self, connection: Connection) -> str:
        """What is wrong with the stored pages; "" where nothing is."""
        ...

    def revision(self, connection: Plain) -> str | None:
        """The schema's revision; `None` where there is no store."""
        ...

    def unreadable(self, cause: BaseException) -> LorimerError:
        """What a user is told of what the database raised for a reader."""
        ...

    def unwritable(self, cause: BaseException) -> LorimerError | None:
        """The same of what it raised for the writer; `None` where that is no error of the database."""
        ...

    def spare(self) -> Spare | None:
        """What of its room on the disk is free, and what it takes to give that back; `None` where the database sees to it."""
        ...

    def give_back(self) -> None:
        """Give free room back to the disk. Raises LorimerError where that fails, after which the store is as it was."""
        ...

    # ---- what each does in its own way

    def search(self, connection: Plain, asked: SearchQuery) -> list[tuple[int, str]]:
        """The numbers of the steps that match, in order, each with the words around the match, which is in [brackets]."""
        ...

    def matching(self, connection: Plain, words: str, first: int, last: int) -> list[int]:
        """The numbers of the steps from `first` to `last` that match."""
        ...

    def snippets(self, connection: Plain, words: str, numbers: Sequence[int]) -> list[str]:
        """The words around the match in each of these steps; "" where it does not match."""
        ...

    def facts(self, connection: Plain, owners: Sequence[str], said: int) -> list[tuple[Any, ...]]:
        """What `traces.reading.outlines` makes its outlines of, a row for each step with its model call's answer: owner, index,
        kind, command, exit code, whether it timed out, characters of output, path, stop reason, error, input tokens, output
        tokens, the first `said` characters of what the model said, its tool calls as JSON, and the offered tools."""
        ...

    def flagged(self, connection: Plain, study: str) -> list[tuple[str, str, str]]:
        """Id, stage and flags, as JSON, of each scored trial of a study that has flags, in order of id."""
        ...

    def ask(self, statement: str, limit: int | None) -> StatementAnswer:
        """The answer to a statement of the user's own, which can only read. Raises UserError for a write and for wrong SQL."""
        ...
