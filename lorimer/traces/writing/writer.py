"""The one writer: a thread with one connection and a queue.

Work comes as small functions of a `Transaction`. Those that nobody waits for (steps) are gathered for up to 100 ms and
committed together; the first one that somebody waits for ends the gathering, and several that wait share a commit. The
order of the queue is the order of the database, so whoever is answered knows that everything queued before is stored too.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lorimer.errors import InternalError, LorimerError
from lorimer.traces.databases.base import STEP_COLUMNS, Database, put
from lorimer.traces.scrub import storable
from lorimer.traces.searched import can_be_computed, is_said, text_of
from lorimer.traces.writing.holder import check_held

GATHER_SECONDS = 0.1
"""How long a step may wait for others. The promise is 250 ms, which leaves 150 for the commit itself."""

MAX_BATCH = 1000
"""Items of one transaction; bounds the memory of a burst and the time for which the file is locked."""

Work = Callable[["Transaction"], Any]

_PLAIN_COLUMNS = itemgetter(*(name for name in STEP_COLUMNS if name != "data"))


class Transaction:
    """One open transaction. Steps and messages are collected and inserted many rows at a time."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self._computes_text = database.step_text != "text"
        self._messages: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}
        self._steps: list[tuple[Any, ...]] = []

    def add_message(self, sha: str, body: str) -> None:
        """Add a message, a JSON text, unless it is there."""
        self._messages[sha] = body

    def add_blob(self, sha: str, data: bytes) -> None:
        self._blobs[sha] = data

    def add_step(self, row: Mapping[str, Any], encoded: str, text: str | None) -> None:
        """Add a step.

        Args:
            row: its columns without `text`.
            encoded: its data as JSON.
            text: what search finds of it; `None` where that is what its data says.
        """
        kind, data = row["kind"], row["data"]
        if text is None:
            computed = self._computes_text and can_be_computed(kind, data, encoded)
            text = "" if computed else storable(text_of(kind, data))
        elif self._computes_text and is_said(kind, data, encoded, text):
            text = ""
        self._steps.append((*_PLAIN_COLUMNS(row), encoded, text))

    def insert_new(self, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert unless a row with its key is there; whether it was inserted."""
        # Values beside the statement: SQLAlchemy takes longer to put them into it than the database to store them.
        wanted, given = _unless_there(self.database, table), dict(values)
        return self.connection.execute(wanted, given, execution_options={"preserve_rowcount": True}).rowcount == 1

    def replace(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert a row in place of the one with its key, if there is one."""
        same = (column == values[column.name] for column in table.primary_key)
        self.connection.execute(delete(table).where(*same))
        self.insert_new(table, values)

    def add_to(self, table: Table, values: Mapping[str, Any]) -> None:
        """Add numbers to those of the row with the same key; a row that is missing begins with them."""
        self.connection.execute(_on_top(self.database, table), dict(values))

    def flush(self) -> None:
        """Put what was collected into the transaction."""
        if self._messages:
            put(self.connection, "message", ("sha", "body"), list(self._messages.items()), anew=True)
            self._messages = {}
        if self._blobs:
            put(self.connection, "blob", ("sha", "data"), list(self._blobs.items()), anew=True)
            self._blobs = {}
        if self._steps:
            self.database.put_steps(self.connection, self._steps)
            self._steps = []


# To build these takes SQLAlchemy longer than the database to run them, and each model call needs both.
@lru_cache
def _unless_there(database: Database, table: Table) -> Any:
    """Inserts a row unless there is one with its key."""
    return database.insert(table).on_conflict_do_nothing()


@lru_cache
def _on_top(database: Database, table: Table) -> Any:
    """Inserts a row, or adds its numbers to those of the row with its key."""
    row = database.insert(table)
    sums = {column.name: column + row.excluded[column.name] for column in table.columns if not column.primary_key}
    return row.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)


def table_of(model: Any) -> Table:
    """The Core table behind a SQLModel class."""
    table: Table = model.__table__
    return table


@dataclass(frozen=True)
class _Item:
    work: Work | None
    """`None` stops the thread."""
    future: Future[Any] | None = None
    full: bool = False


class Writer:
    """Runs work in order, in transactions, on its own thread.

    Args:
        database: where the store is.
        engine: its `writing`; this writer makes the only writing connection of the process.

    Attributes:
        held: the studies that this process holds, with the name under which it does; its thread alone touches it. A transaction
            that finds another process in its place stores nothing, and neither does any after it.
    """

    def __init__(self, database: Database, engine: Engine) -> None:
        self.held: dict[str, str] = {}
        self._database = database
        self._engine = engine
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._failure: LorimerError | None = None
        self._closed = False
        self._full = False
        event.listen(engine, "begin", self._begin)
        self._thread = threading.Thread(target=self._run, name="lorimer-traces", daemon=True)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Queue work that nobody waits for. Raises LorimerError when the store has failed before."""
        self._check()
        self._queue.put(_Item(work))

    def submit(self, work: Work, *, full: bool = False) -> Future[Any]:
        """Queue work and get its result, or its LorimerError, once it is committed (and synced to disk, with `full`).

        Work that raises a LorimerError is undone by itself; it does not touch what was queued around it.
        """
        self._check()
        future: Future[Any] = Future()
        # A caller that is cancelled must not take its work out of the queue: a verdict is stored all the same.
        future.set_running_or_notify_cancel()
        self._queue.put(_Item(work, future, full))
        return future

    def hurry(self, until: Future[Any]) -> None:
        """Who waits for this was told to stop."""
        self._database.hurry(until)

    def close(self) -> None:
        """Commit what is queued and end the thread. Safe to call again. Raises the LorimerError of a failed store."""
        if not self._closed:
            self._closed = True
            self._queue.put(_Item(None))
        self._thread.join()

    @property
    def failure(self) -> LorimerError | None:
        """Why nothing can be written any more."""
        return self._failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise InternalError(f"the trace store {self._database.name} is closed")

    def _begin(self, connection: Connection) -> None:
        self._database.begin(connection, full=self._full)

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                while self._one_batch(connection):
                    pass
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must reach those who wait for it
            self._refuse_the_rest(self._fail(error))

    def _one_batch(self, connection: Connection) -> bool:
        items, stop = self._gather()
        if items:
            self._commit(connection, items)
        return not stop

    def _gather(self) -> tuple[list[_Item], bool]:
        items: list[_Item] = []
        deadline: float | None = None
        urgent = False
        while len(items) < MAX_BATCH:
            try:
                if deadline is None:
                    item = self._queue.get()
                    deadline = time.monotonic() + GATHER_SECONDS
                elif urgent:
                    item = self._queue.get_nowait()
                else:
                    item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if item.work is None:
                return items, True
            items.append(item)
            urgent = urgent or item.future is not None
        return items, False

    def _commit(self, connection: Connection, items: list[_Item]) -> None:
        if self._failure is not None:
            _answer(items, self._failure)
            return
        self._full = any(item.full for item in items)
        answers: list[tuple[Future[Any], Any, LorimerError | None]] = []
        try:
            with connection.begin():
                check_held(connection, self.held)
                transaction = Transaction(self._database, connection)
                for item in items:
                    assert item.work is not None
                    if item.future is None:
                        item.work(transaction)
                        continue
                    transaction.flush()
                    try:
                        with _apart(connection):
                            result = item.work(transaction)
                            transaction.flush()
                    except LorimerError as error:
                        answers.append((item.future, None, error))
                    else:
                        answers.append((item.future, result, None))
                transaction.flush()
        except Exception as error:  # noqa: BLE001 - disk full, locked, or our bug: all who wait must hear of it
            _answer(items, self._fail(error))
            return
        for future, result, refused in answers:
            if refused is None:
                future.set_result(result)
            else:
                future.set_exception(refused)

    def _fail(self, error: Exception) -> LorimerError:
        if self._failure is None:
            self._failure = error if isinstance(error, LorimerError) else explain(error, self._database)
        return self._failure

    def _refuse_the_rest(self, failure: LorimerError) -> None:
        while (item := self._queue.get()).work is not None:
            _answer([item], failure)


@contextmanager
def _apart(connection: Connection) -> Iterator[None]:
    """Undo what is done within, and nothing before it, where that raises LorimerError."""
    # In the driver's words: SQLAlchemy builds and compiles its statements for a savepoint each time, which takes longer than the
    # database needs for most of what is done within.
    connection.exec_driver_sql("SAVEPOINT work")
    try:
        yield
    except LorimerError:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        connection.exec_driver_sql("RELEASE SAVEPOINT work")
        raise
    connection.exec_driver_sql("RELEASE SAVEPOINT work")


def explain(error: Exception, database: Database) -> LorimerError:
    """A database error in words that a user can act on."""
    cause: BaseException = error
    # A full disk may end the transaction by itself; then its rollback fails too, and would hide why.
    while isinstance(cause.__context__, DBAPIError):
        cause = cause.__context__
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        cause = cause.orig
    told = database.unwritable(cause)
    if told is not None:
        return told
    kind = "database error" if isinstance(error, SQLAlchemyError) else type(error).__name__
    return InternalError(f"the trace store {database.name} stopped: {kind}: {cause}")


def _answer(items: list[_Item], error: LorimerError) -> None:
    for item in items:
        if item.future is not None and not item.future.done():
            item.future.set_exception(error)
