"""The chain of decisions, how long a study was run and by whom since when, and which budget warnings were given.

Decisions and promotions of an older store are chained as they are found: from here on nobody can change them unseen.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FROZEN_BY_NOTHING = ("budget", "sandbox", "providers")
_DECISION = ("id", "study", "candidate", "stage", "kind", "reason", "numbers", "policy", "made")


def upgrade() -> None:
    op.create_table(
        "chain",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_chain_study", "chain", ["study"])
    op.create_table(
        "warning",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_warning_study", "warning", ["study"])
    op.add_column("study", sa.Column("held_since", sa.String(), nullable=False, server_default=""))
    op.add_column("study", sa.Column("seconds", sa.Float(), nullable=False, server_default="0"))
    _chain_what_is_there()
    # A guard against mistakes. Whoever means harm can drop a trigger: the hashes are what tells.
    for table, act in (("chain", "UPDATE"), ("chain", "DELETE"), ("decision", "UPDATE"), ("decision", "DELETE")):
        op.execute(
            f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def _chain_what_is_there() -> None:
    connection = op.get_bind()
    previous = "0" * 64
    for number, (study, kind, subject, body, made) in enumerate(_found(connection), start=1):
        whole = _canonical([number, study, kind, subject, body, made, previous])
        hashed = hashlib.sha256(whole.encode()).hexdigest()
        connection.execute(
            sa.text("INSERT INTO chain VALUES (:number, :study, :kind, :subject, :body, :made, :previous, :hash)"),
            {
                "number": number,
                "study": study,
                "kind": kind,
                "subject": subject,
                "body": _canonical(body),
                "made": made,
                "previous": previous,
                "hash": hashed,
            },
        )
        previous = hashed


def _found(connection: sa.Connection) -> Iterator[tuple[str, str, str, Any, str]]:
    """Study, kind, subject, body and time of what is to be chained, in order."""
    for study in connection.execute(sa.text("SELECT * FROM study ORDER BY rowid")).mappings().all():
        name, config = study["id"], json.loads(study["config"])
        tasks = connection.execute(
            sa.text("SELECT id, digest, split FROM task WHERE study = :study ORDER BY id"), {"study": name}
        )
        names = ("kind", "seed", "task_model", "meta_model", "benchmark", "suite_digest", "seed_harness")
        body = {key: study[key] for key in names}
        body["config"] = {key: value for key, value in config.items() if key not in _FROZEN_BY_NOTHING}
        body["tasks"] = {row.id: [row.digest, row.split] for row in tasks}
        yield name, "study", name, body, study["created"]
        decisions = sa.text("SELECT * FROM decision WHERE study = :study ORDER BY rowid")
        for row in connection.execute(decisions, {"study": name}).mappings().all():
            decision = {key: row[key] for key in _DECISION}
            decision |= {key: json.loads(row[key]) for key in ("numbers", "policy")}
            yield name, "decision", row["id"], {"row": decision, "trials": _trials(connection, row["id"])}, row["made"]
        promoted = sa.text("SELECT * FROM candidate WHERE study = :study AND state = 'promoted' ORDER BY number")
        for row in connection.execute(promoted, {"study": name}).mappings().all():
            body = {key: row[key] for key in ("harness", "parent", "commit")}
            yield name, "promotion", row["id"], body, study["created"]


def _trials(connection: sa.Connection, evaluation: str) -> str:
    rows = connection.execute(
        sa.text(
            "SELECT id, state, cause, reward FROM trial WHERE evaluation = :evaluation "
            "AND state IN ('scored', 'errored') ORDER BY id"
        ),
        {"evaluation": evaluation},
    )
    return hashlib.sha256(_canonical([list(row) for row in rows]).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
