"""Steps are put into SQLite's full-text index by whoever writes them, many in one statement (`traces.databases.fts5`).

A trigger is a statement of its own for each row, after each of which FTS5 puts away what it has gathered: of the time that SQLite
took to store a step, three quarters. What removes a step still takes it out of the index by a trigger, as nobody does that often.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER step_fts_insert")
