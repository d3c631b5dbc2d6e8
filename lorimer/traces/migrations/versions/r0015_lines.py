"""Which lines of agent.py ran in a trial. A new table: of the trials of before nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lines",
        sa.Column("trial", sa.String(), nullable=False),
        sa.Column("ran", sa.String(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("trial"),
    )
