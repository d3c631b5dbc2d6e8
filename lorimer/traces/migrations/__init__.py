"""The trace store's schema as a list of named revisions, run by Alembic when a store is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FOLDER = Path(__file__).parent

POSTGRESQL = "0018"
"""The revision whose whole schema is in `postgresql.sql`: no store on PostgreSQL is older."""


def revisions() -> tuple[str, ...]:
    """Revision ids in order; the file names hold them (`r0001_schema.py`), so nothing is imported to know the newest."""
    return tuple(sorted(path.name[1:5] for path in (_FOLDER / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py")))


def current(connection: Connection) -> str | None:
    """The revision that the database has; `None` where it has none."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def upgrade(connection: Connection, name: str) -> None:
    """Bring the database to the newest revision, in the caller's transaction. `name` is what the user calls it.

    Raises UserError when a newer lorimer wrote it, or when it is some other program's database.
    """
    known = revisions()
    found = current(connection)
    if found == known[-1]:
        return
    if found is not None and found not in known:
        raise UserError(
            f"{name} was written by a newer lorimer (schema {found}, known up to {known[-1]}); upgrade lorimer"
        )
    if found is None and connection.dialect.has_table(connection, "study"):
        raise UserError(f"{name} is a database of another program; choose another file")
    # Importing Alembic costs 0.2 s, so only a store that needs it pays.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    if found is None and connection.dialect.name == "postgresql":
        # The driver's own cursor takes many statements at once.
        connection.connection.cursor().execute((_FOLDER / "postgresql.sql").read_text(encoding="utf-8"))
        command.stamp(config, POSTGRESQL)
    command.upgrade(config, "head")
