"""What came first is said by columns alone: by the chain for studies and decisions, by the time for trials and warnings.

The number that SQLite gives a row of itself may change when a file is vacuumed or restored, and no other database has one.
Indices hold what is asked for in that order, in place of those that are their beginning.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("trial_began", "trial", ["study", "started"])
    op.create_index("trial_started", "trial", ["started"])
    op.drop_index("ix_trial_study", "trial")
    op.create_index("chain_about", "chain", ["study", "kind", "subject"])
    op.drop_index("ix_chain_study", "chain")
