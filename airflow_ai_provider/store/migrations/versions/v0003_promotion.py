"""Model promotion: one guarded row per model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "promotion_state",
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("claim_key", sa.String(250)),
        sa.Column("claimed_by", sa.String(250)),
        sa.Column("claimed_at", UtcDateTime),
        sa.Column("move", sa.JSON),
        sa.PrimaryKeyConstraint("model_name", name="pk_promotion_state"),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("promotion_state")
