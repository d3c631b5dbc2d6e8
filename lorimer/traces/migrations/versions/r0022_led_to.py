"""The lines that ran in a trial are kept with the step that they led to. Nobody kept it before."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.JSON().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("lines", sa.Column("led_to", column, nullable=True))
