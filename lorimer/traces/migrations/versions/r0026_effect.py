"""What a candidate's edit did in its full run is kept, so that nobody need read its trials again to tell it.

A study that goes on fills in the candidates of before; until then it is worked out whenever it is asked for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TEXT = sa.String().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "effect",
        sa.Column("candidate", _TEXT, nullable=False),
        sa.Column("body", sa.JSON().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("candidate"),
    )
