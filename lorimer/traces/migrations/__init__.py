"""The trace store's schema as a list of named revisions, run by Alembic when an older store is opened.

A new store is made from one file of SQL, `sqlite.sql` or `postgresql.sql`, which says of which revision it is: to run every
revision on an empty database takes fourteen times as long. `tools/schema.py` writes the file for SQLite from the revisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def revisions() -> tuple[str, ...]:
    """Revision ids in order; the file names hold them (`r0001_schema.py`), so nothing is imported to know the newest."""
    return tuple(sorted(path.name[1:5] for path in (FOLDER / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py")))


def current(connection: Connection) -> str | None:
    """The revision that the database has; `None` where it has none."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def upgrade(connection: Connection, name: str, check: Callable[[Connection, str], None] | None = None) -> None:
    """Bring the database to the newest revision, in the caller's transaction.

    Args:
        name: what the user calls it.
        check: asked of a store of an older revision, in words, before it is changed; what it raises is raised.

    Raises UserError when a newer lorimer wrote it, or when it is some other program's database.
    """
    known = revisions()
    found = current(connection)
    if found is None:
        if connection.dialect.has_table(connection, "study"):
            raise UserError(f"{name} is a database of another program; choose another file")
        _make(connection)
        found = current(connection)
    if found not in known:
        raise UserError(
            f"{name} was written by a newer lorimer (schema {found}, known up to {known[-1]}); upgrade lorimer"
        )
    if found != known[-1]:
        if check is not None:
            check(connection, f"{name} was written by an older lorimer (schema {found})")
        revise(connection, "head")


def revise(connection: Connection, revision: str) -> None:
    """Run the revisions that the database lacks, up to this one (`head` is the newest), in the caller's transaction."""
    # Importing Alembic costs 0.2 s, so only a store that needs it pays.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _make(connection: Connection) -> None:
    """Make the tables of an empty database."""
    script = (FOLDER / f"{connection.dialect.name}.sql").read_text(encoding="utf-8")
    if connection.dialect.name == "postgresql":
        # The driver's own cursor takes many statements at once.
        connection.connection.cursor().execute(script)
        return
    # SQLite's takes them in `executescript` alone, which would commit the caller's transaction.
    for statement in _statements(script):
        connection.exec_driver_sql(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of SQLite's SQL, in order; each one ends at the end of a line."""
    import sqlite3

    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):  # it knows that a trigger holds statements
            yield statement
            statement = ""
