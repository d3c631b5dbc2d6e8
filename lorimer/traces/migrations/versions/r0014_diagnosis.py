"""What a candidate's hypothesis rests on: the kind of its edit, cause and mechanism, and citations that were checked.

Candidates of before stated none of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kind", "cause", "mechanism"):
        op.add_column("candidate", sa.Column(name, sa.String(), nullable=False, server_default=""))
    op.add_column("candidate", sa.Column("citations", sa.JSON(), nullable=False, server_default="[]"))
