"""What was read from providers' caches is added up beside what was spent, and trials that lost the cache have a row each.

The totals of before are made of the trials that were answered live and of the meta-agent's calls. Nobody looked for breaks then.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_COUNT = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
_TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name in ("input_tokens", "cached_tokens"):
        op.add_column("spent", sa.Column(name, _COUNT, nullable=False, server_default="0"))
    op.create_table(
        "cache_break",
        *(sa.Column(name, _TEXT, nullable=False) for name in ("study", "trial", "stage")),
        *(sa.Column(name, _COUNT, nullable=False) for name in ("calls", "changed", "lost_tokens", "step")),
        sa.Column("why", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("study", "trial"),
    )
    connection = op.get_bind()
    totals = {
        (study, "task"): (given, cached)
        for study, given, cached in connection.exec_driver_sql(
            "SELECT study, sum(input_tokens), sum(cached_tokens) FROM trial "
            "WHERE recorded_trial = '' OR ran_whole <> '' GROUP BY study"
        )
    }
    calls = connection.exec_driver_sql(
        "SELECT candidate.study, step.data FROM candidate JOIN step ON step.owner = candidate.id "
        "WHERE step.kind = 'model_call'"
    )
    for study, data in calls:
        usage = json.loads(data).get("usage", {})
        given, cached = totals.get((study, "meta"), (0, 0))
        totals[study, "meta"] = given + usage.get("input_tokens", 0), cached + usage.get("cached_tokens", 0)
    rows = [{"s": study, "r": role, "i": given, "c": cached} for (study, role), (given, cached) in totals.items()]
    if rows:
        connection.execute(
            sa.text("UPDATE spent SET input_tokens = :i, cached_tokens = :c WHERE study = :s AND role = :r"), rows
        )
