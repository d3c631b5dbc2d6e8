"""A store in a file of SQLite, which is what a workspace has unless its `[store] url` says otherwise."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorimer.errors import LorimerError, UserError
from lorimer.traces import codec, place
from lorimer.traces.databases import fts5, statements
from lorimer.traces.databases.base import (
    FLAGGED,
    STEP_COLUMNS,
    Plain,
    SearchQuery,
    Spare,
    StatementAnswer,
    put,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine
    from sqlalchemy import Table as SqlTable

BUSY_SECONDS = 30.0
"""How long to wait for another process that writes to the same file. Its transactions take milliseconds."""

_FACTS = """
SELECT step.owner, step."index", step.kind,
  json_extract(step.data, '$.command'), json_extract(step.data, '$.exit_code'), json_extract(step.data, '$.timed_out'),
  coalesce(length(json_extract(step.data, '$.stdout')), 0) + coalesce(length(json_extract(step.data, '$.stderr')), 0),
  json_extract(step.data, '$.path'), json_extract(step.data, '$.stop_reason'), json_extract(step.data, '$.error'),
  coalesce(json_extract(step.data, '$.usage.input_tokens'), 0),
  coalesce(json_extract(step.data, '$.usage.output_tokens'), 0),
  substr(json_extract(message.body, '$.text'), 1, ?), json_extract(message.body, '$.tool_calls'),
  json_extract(step.data, '$.tools')
FROM step LEFT JOIN message ON step.kind = 'model_call' AND message.sha = json_extract(step.data, '$.completion')
WHERE step.owner IN (SELECT value FROM json_each(?)) AND step.kind <> 'verdict'
ORDER BY step.owner, step."index"
"""


class Sqlite:
    """A `base.Database`: a file, opened for each question and closed after it, beside one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sqlite) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def has_store(self) -> bool:
        return self.path.is_file()

    def older(self) -> str:
        upgrade = "`lorimer resume` or `lorimer run` upgrades it"
        if not place.writable(self.path):
            upgrade += ", in a copy of the workspace where you may write: its place is read-only"
        return upgrade

    @contextmanager
    def plain(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connect()) as connection:
                yield connection
        except sqlite3.Error as error:
            raise self.unreadable(error) from None

    def reading(self) -> Engine:
        from sqlalchemy import NullPool, create_engine

        return create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

    def writing(self) -> Engine:
        from sqlalchemy import create_engine, event

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {self.path.parent} for the trace store: {error.strerror}"
            ) from None
        place.check(self.path)
        engine = create_engine(
            f"sqlite:///{self.path}",
            json_serializer=codec.dumps,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            pool_size=1,
            max_overflow=0,
        )
        event.listen(engine, "connect", configure)
        return engine

    def hurry(self, until: Future[Any]) -> None:
        pass  # a file answers by itself, or fails

    def begin(self, connection: Connection, *, full: bool) -> None:
        # The level cannot be changed inside a transaction. FULL syncs the log, and with it every earlier commit.
        level = "FULL" if full else "NORMAL"
        if connection.info.get("synchronous") != level:
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
            connection.info["synchronous"] = level
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def within(self, connection: Connection) -> Plain:
        found: sqlite3.Connection | None = connection.connection.driver_connection
        assert found is not None
        return found

    def insert(self, table: SqlTable) -> Any:
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)

    @property
    def step_text(self) -> str:
        return "found"  # `text` is computed of it and of the data (r0025)

    def put_steps(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        newest = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM step").scalar_one()
        put(connection, "step", (*STEP_COLUMNS, self.step_text), rows, anew=False)
        connection.exec_driver_sql(fts5.INDEX_AFTER, (newest,))

    def copied(self, connection: Connection, table: str) -> None:
        if table == "step":
            connection.exec_driver_sql(fts5.INDEX_AFTER, (0,))

    def damage(self, connection: Connection) -> str:
        # Half a second for 100 MB. A mixture of old and new pages may answer every question, and wrongly.
        found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
        return "" if found == "ok" else found

    def revision(self, connection: Plain) -> str | None:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if found is None else str(found[0])

    def unreadable(self, cause: BaseException) -> LorimerError:
        said = str(cause)
        if "not a database" in said:
            return UserError(f"{self.path} is not a trace store")
        if "malformed" in said:
            return place.damaged(self.path, said)
        helps = place.blamed(self.path)
        return LorimerError(f"cannot read the traces at {self.path}: {said}{f'; {helps}' if helps else ''}")

    def unwritable(self, cause: BaseException) -> LorimerError | None:
        words = str(cause)
        if isinstance(cause, sqlite3.OperationalError):
            advice = "check that its folder exists and can be written"
            elsewhere = "" if "full" in words else place.blamed(self.path)
            if elsewhere:
                advice = elsewhere
            elif "full" in words or "disk I/O" in words:
                advice = "free space on its disk"
            elif "locked" in words:
                advice = "another process keeps it locked; end that one"
            return LorimerError(f"the trace store {self.path} cannot be written: {words}; {advice}")
        if isinstance(cause, sqlite3.DatabaseError) and "malformed" in words:
            return place.damaged(self.path, words)
        if isinstance(cause, sqlite3.DatabaseError) and not isinstance(cause, sqlite3.IntegrityError):
            return LorimerError(f"the trace store {self.path} cannot be used: {words}")
        return None

    def spare(self) -> Spare | None:
        with self.plain() as connection:
            page, pages, free = (
                int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            )
        # Written to a file beside it, and from there through the log.
        takes, there = 2 * (pages - free) * page, shutil.disk_usage(self.path.parent).free
        return Spare(free * page, pages * page, takes, there)

    def give_back(self) -> None:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise LorimerError(
                f"the free room of {self.path} was not given back: {error}; it is used for what is written next"
            ) from None

    def search(self, connection: Plain, asked: SearchQuery) -> list[tuple[int, str]]:
        return fts5.search(connection, asked)

    def matching(self, connection: Plain, words: str, first: int, last: int) -> list[int]:
        return fts5.matching(connection, words, first, last)

    def snippets(self, connection: Plain, words: str, numbers: Sequence[int]) -> list[str]:
        return fts5.snippets(connection, words, numbers)

    def facts(self, connection: Plain, owners: Sequence[str], said: int) -> list[tuple[Any, ...]]:
        # SQLite takes this out of a step's JSON in a fifth of the time that it takes to parse all of it in Python.
        return connection.execute(_FACTS, [said, codec.dumps(list(owners))]).fetchall()

    def flagged(self, connection: Plain, study: str) -> list[tuple[str, str, str]]:
        # Its planner takes an index that names the state too, and looks at every scored trial's row.
        return connection.execute(FLAGGED.format(hint="INDEXED BY trial_flagged "), [study]).fetchall()

    def ask(self, statement: str, limit: int | None) -> StatementAnswer:
        with closing(self._connect()) as connection:
            return statements.run(connection, statement, limit)

    def _connect(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(place.address(self.path), uri=True, timeout=BUSY_SECONDS, check_same_thread=False)
        except sqlite3.Error as error:
            raise self.unreadable(error) from None


def configure(connection: Any, _record: object) -> None:
    """Make a new connection ready to write. Raises sqlite3.OperationalError."""
    # Autocommit mode: the writer's `begin` issues BEGIN itself, as the driver's own would come too late for savepoints.
    connection.isolation_level = None
    until = time.monotonic() + BUSY_SECONDS
    while not _keeps_log(connection, last=time.monotonic() >= until):
        time.sleep(0.01)
    connection.execute("PRAGMA foreign_keys=ON")


def _keeps_log(connection: Any, *, last: bool) -> bool:
    """Turn to the write-ahead log, which a file keeps from then on; whether that was done.

    SQLite waits for nobody here: where another process writes to the new file in the same moment, it fails at once.
    """
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if last or not error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise
        return False
    return True
