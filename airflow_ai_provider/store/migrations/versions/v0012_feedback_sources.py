"""Feedback: how far sources were read, what was forgotten, exported or repaired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0012"
down_revision = "0009"
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables and the column."""
    op.add_column("feedback_quarantine", sa.Column("resolved_batch", sa.BigInteger))
    op.create_table(
        "feedback_position",
        sa.Column("source_hash", sa.String(64), nullable=False),
        sa.Column("source", sa.String(1000), nullable=False),
        sa.Column("position", sa.JSON, nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source_hash", name="pk_feedback_position"),
    )
    op.create_table(
        "feedback_forgotten",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("field", sa.String(250), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_forgotten"),
        sa.UniqueConstraint("field", "hash", name="uq_feedback_forgotten_field"),
    )
    op.create_table(
        "feedback_export",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("model_name", sa.String(250)),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_export"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("feedback_export")
    op.drop_table("feedback_forgotten")
    op.drop_table("feedback_position")
    op.drop_column("feedback_quarantine", "resolved_batch")
