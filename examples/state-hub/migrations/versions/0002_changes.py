"""history of changes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_change_key", "change", ["key", "id"])
    # What is there already begins its history with its present value.
    op.execute(
        "INSERT INTO change (key, value, revision, changed_at) SELECT key, value, revision, changed_at FROM state"
    )


def downgrade() -> None:
    op.drop_table("change")
