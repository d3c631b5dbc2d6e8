"""A candidate keeps which edits of its session were refused before anything was paid for them. Nobody kept them before."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.JSON().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("candidate", sa.Column("refused", column, nullable=True))
