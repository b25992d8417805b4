"""Evidence: what a model gate judged, once under its hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "evidence",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_evidence"),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("evidence")
