"""The whole first schema, and full-text search over steps.

Written out rather than created from the models: a revision must not change when the models do.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _str(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.String(), nullable=nullable)


def _int(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.Integer(), nullable=False)


def _float(name: str, *, nullable: bool = False) -> "sa.Column[float]":
    return sa.Column(name, sa.Float(), nullable=nullable)


def _json(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.JSON(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "study",
        _str("id"),
        _str("kind"),
        _str("created"),
        _str("state"),
        _str("state_reason"),
        _int("seed"),
        _str("task_model"),
        _str("meta_model"),
        _str("benchmark"),
        _str("suite_digest"),
        _json("config"),
        _str("seed_harness"),
        _str("holder"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "task",
        _str("study"),
        _str("id"),
        _int("position"),
        _str("split"),
        _str("digest"),
        _str("instruction"),
        _str("category"),
        _str("difficulty"),
        _str("isolation"),
        sa.PrimaryKeyConstraint("study", "id"),
        sa.ForeignKeyConstraint(["study"], ["study.id"]),
    )
    op.create_table("harness", _str("sha"), _str("text"), sa.PrimaryKeyConstraint("sha"))
    op.create_table(
        "candidate",
        _str("id"),
        _str("study"),
        _int("number"),
        _str("parent"),
        _str("harness", nullable=True),
        _str("title"),
        _str("hypothesis"),
        _json("edit"),
        _json("fixes"),
        _json("at_risk"),
        _str("state"),
        _str("failure"),
        _str("origin"),
        _str("commit"),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["study"], ["study.id"]),
        sa.ForeignKeyConstraint(["parent"], ["harness.sha"]),
        sa.ForeignKeyConstraint(["harness"], ["harness.sha"]),
    )
    op.create_index("ix_candidate_study", "candidate", ["study"])
    op.create_table(
        "evaluation",
        _str("id"),
        _str("study"),
        _str("candidate", nullable=True),
        _str("stage"),
        _str("harness"),
        _json("plan"),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["study"], ["study.id"]),
    )
    op.create_index("ix_evaluation_study", "evaluation", ["study"])
    op.create_table(
        "trial",
        _str("id"),
        _str("planned"),
        _str("study"),
        _str("evaluation"),
        _str("stage"),
        _str("harness"),
        _str("task"),
        _int("repeat"),
        _int("attempt"),
        _str("model"),
        _str("sandbox"),
        sa.Column("network", sa.Boolean(), nullable=False),
        _str("started"),
        _str("state"),
        _str("cause"),
        _str("detail"),
        _float("reward", nullable=True),
        _json("rewards"),
        _str("answer"),
        _str("verifier_output"),
        _int("model_calls"),
        _int("input_tokens"),
        _int("output_tokens"),
        _int("cached_tokens"),
        _float("cost_usd", nullable=True),
        _float("seconds"),
        _float("active_seconds"),
        _json("flags"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("planned", "attempt"),
    )
    op.create_index("ix_trial_planned", "trial", ["planned"])
    op.create_index("ix_trial_study", "trial", ["study"])
    op.create_index("ix_trial_evaluation", "trial", ["evaluation"])
    op.create_index("trial_by_harness_task", "trial", ["harness", "task"])
    op.create_table("message", _str("sha"), _json("body"), sa.PrimaryKeyConstraint("sha"))
    op.create_table(
        "step",
        _int("id"),
        _str("owner"),
        _int("index"),
        _str("kind"),
        _float("at"),
        _float("seconds"),
        _json("data"),
        _str("text"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "index"),
    )
    op.create_index("ix_step_owner", "step", ["owner"])
    op.create_table(
        "decision",
        _str("id"),
        _str("study"),
        _str("candidate"),
        _str("stage"),
        _str("kind"),
        _str("reason"),
        _json("numbers"),
        _json("policy"),
        _str("made"),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["study"], ["study.id"]),
    )
    op.create_index("ix_decision_study", "decision", ["study"])
    op.create_table(
        "spend",
        _str("id"),
        _str("study"),
        _str("role"),
        _str("owner"),
        _float("reserved_usd", nullable=True),
        _int("reserved_tokens"),
        sa.Column("settled", sa.Boolean(), nullable=False),
        _float("usd", nullable=True),
        _int("input_tokens"),
        _int("output_tokens"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_spend_study", "spend", ["study"])

    # The index holds no copy of the text (`content='step'`), and triggers keep it in step within the same transaction.
    op.execute(
        "CREATE VIRTUAL TABLE step_fts USING fts5"
        "(text, content='step', content_rowid='id', tokenize='unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE TRIGGER step_fts_insert AFTER INSERT ON step WHEN new.text != '' BEGIN "
        "INSERT INTO step_fts(rowid, text) VALUES (new.id, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER step_fts_delete AFTER DELETE ON step WHEN old.text != '' BEGIN "
        "INSERT INTO step_fts(step_fts, rowid, text) VALUES ('delete', old.id, old.text); END"
    )
