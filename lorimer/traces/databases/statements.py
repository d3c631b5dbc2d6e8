"""`lorimer traces sql` on SQLite: a statement of the user's own, which can read and do nothing else."""

from __future__ import annotations

import sqlite3

from lorimer.errors import UserError
from lorimer.traces.databases.base import StatementAnswer


def run(connection: sqlite3.Connection, statement: str, limit: int | None) -> StatementAnswer:
    """Run one statement on a connection that is used for nothing else. Raises UserError for a write and for wrong SQL."""
    connection.execute("PRAGMA query_only=ON")
    # Constructing the full-text table needs rights that the user's statement shall not have.
    connection.execute("SELECT 1 FROM step_fts LIMIT 0")
    connection.set_authorizer(_reads_only)
    try:
        cursor = connection.execute(statement)
        if cursor.description is None:
            raise UserError("`traces sql` only reads; give one SELECT")
        columns = tuple(item[0] for item in cursor.description)
        rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
    except sqlite3.Error as error:
        words = str(error)
        if any(sign in words for sign in ("not authorized", "readonly", "prohibited", "authorization denied")):
            raise UserError(f"`traces sql` only reads; this would write or reach another file: {words}") from None
        raise UserError(f"SQL: {words}") from None
    except sqlite3.Warning as error:  # more than one statement, in Python 3.11
        raise UserError(f"SQL: {error}") from None
    return StatementAnswer(columns, tuple(tuple(row) for row in rows))


_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list", "data_version"}
)


def _reads_only(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    if action in _READING or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
