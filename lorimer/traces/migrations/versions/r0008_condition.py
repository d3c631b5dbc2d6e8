"""What a trial ran under: the concurrency, the images of its task and the models that the provider's answers named.

Trials that ran under the same share a row, so a trial is a number longer. The index that sums refused calls holds the number, so
what the trials of two harnesses ran under is compared without touching their rows. Nothing is known of trials stored before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "condition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("images", sa.JSON(), nullable=False),
        sa.Column("answered", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("condition_same", "condition", ["task", "concurrency", "images", "answered"], unique=True)
    op.add_column("trial", sa.Column("condition", sa.Integer(), nullable=True))
    op.drop_index("trial_refused", "trial")
    op.create_index("trial_refused", "trial", ["evaluation", "state", "refused_calls", "model_calls", "condition"])
