"""What search finds of a step is stored on SQLite only where its data does not say it: an output stood in the row twice.

`text` is computed when it is read, so every reader, the index included, finds what it found before. Rows that are there stay as
they are. On PostgreSQL the text is stored, as that server does not look into all JSON.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def _more(name: str) -> str:
    value = f"json_extract(data, '$.{name}')"
    return f"CASE coalesce({value}, '') WHEN '' THEN '' ELSE char(10) || {value} END"


TEXT = (
    "coalesce(CASE WHEN found <> '' THEN found WHEN kind = 'model_call' OR NOT json_valid(data) THEN '' "
    f"WHEN kind = 'exec' THEN json_extract(data, '$.command') || {_more('stdout')} || {_more('stderr')} "
    f"WHEN kind = 'read' THEN json_extract(data, '$.path') || {_more('error')} "
    "ELSE json_extract(data, '$.text') END, '')"
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER step_fts_delete")
    op.execute("ALTER TABLE step RENAME COLUMN text TO found")
    op.execute(f"ALTER TABLE step ADD COLUMN text VARCHAR NOT NULL GENERATED ALWAYS AS ({TEXT}) VIRTUAL")
    op.execute(
        "CREATE TRIGGER step_fts_delete AFTER DELETE ON step WHEN old.text != '' BEGIN "
        "INSERT INTO step_fts(step_fts, rowid, text) VALUES ('delete', old.id, old.text); END"
    )
