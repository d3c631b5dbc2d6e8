"""What a candidate's edit touches: the counts with the candidate, and each trial in a table of its own, which few readers need.

Candidates of before have neither.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidate", sa.Column("touches", sa.JSON(), nullable=True))
    op.create_table(
        "preview",
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("candidate"),
    )
