"""Feedback: which Delta tables hold what is said of a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "feedback_place",
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("address", sa.String(1000), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "address", name="pk_feedback_place"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("feedback_place")
