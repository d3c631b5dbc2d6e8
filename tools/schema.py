#!/usr/bin/env python3
"""Write lorimer/traces/migrations/sqlite.sql, from which a new store is made, as the revisions make it.

`python tools/schema.py` writes it, after a revision was added; a test holds it true.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from lorimer.traces import migrations

HEAD = """-- The whole schema of revision {revision} on SQLite, as the revisions make it. tools/schema.py wrote it.

"""

VERSION = "INSERT INTO alembic_version VALUES ('{revision}');"


def schema(revision: str) -> str:
    """The file's text for this revision."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrations.revise(connection, revision)
        engine.dispose()
        # The full-text index makes its own tables ("shadow"), and SQLite an index for a key that is not the row's number.
        wanted = (
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
            "AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') ORDER BY rowid"
        )
        with closing(sqlite3.connect(path)) as file:
            made = [f"{sql};" for (sql,) in file.execute(wanted)]
    return HEAD.format(revision=revision) + "\n".join([*made, VERSION.format(revision=revision)]) + "\n"


if __name__ == "__main__":
    (migrations.FOLDER / "sqlite.sql").write_text(schema(migrations.revisions()[-1]), encoding="utf-8")
