"""What of a trial was answered from the record of another one. No trial of before was."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("recorded_trial", sa.String(), nullable=False, server_default=""),
        sa.Column("touch", sa.Integer(), nullable=True),
        sa.Column("saved_calls", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("saved_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("saved_usd", sa.Float(), nullable=True, server_default="0"),
        sa.Column("saved_seconds", sa.Float(), nullable=False, server_default="0"),
        sa.Column("ran_whole", sa.String(), nullable=False, server_default=""),
    ):
        op.add_column("trial", column)
