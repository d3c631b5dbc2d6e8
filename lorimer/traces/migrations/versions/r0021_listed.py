"""The index by which a study's trials are listed holds their ids: what lists those alone reads no row, and sorts none."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("trial_began", "trial")
    op.create_index("trial_began", "trial", ["study", "started", "id"])
