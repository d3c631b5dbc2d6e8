"""Trials that went on from a record are found in an index of those alone: what they saved is asked whenever a study is shown."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("trial_recorded", "trial", ["study"], sqlite_where=sa.text("recorded_trial <> ''"))
