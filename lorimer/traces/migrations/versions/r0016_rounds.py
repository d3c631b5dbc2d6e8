"""Which candidates were proposed in one round, and what each was to be about. Those of before were each a round of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidate", sa.Column("round", sa.Integer(), nullable=True))
    op.add_column("candidate", sa.Column("cluster", sa.String(), nullable=False, server_default=""))
    op.add_column("candidate", sa.Column("rebased", sa.Integer(), nullable=True))
