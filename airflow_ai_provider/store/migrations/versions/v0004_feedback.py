"""Feedback, predictions' metrics and quarantine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    _feedback(key)
    op.create_table(
        "feedback_batch",
        sa.Column("id", key, nullable=False),
        sa.Column("run_key", sa.String(250)),
        sa.Column("sources", sa.JSON, nullable=False),
        sa.Column("read", sa.BigInteger, nullable=False),
        sa.Column("stored", sa.BigInteger, nullable=False),
        sa.Column("revised", sa.BigInteger, nullable=False),
        sa.Column("duplicates", sa.BigInteger, nullable=False),
        sa.Column("quarantined", sa.BigInteger, nullable=False),
        sa.Column("news", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_batch"),
        sa.CheckConstraint(
            "read = stored + revised + duplicates + quarantined", name="ck_feedback_batch_adds_up"
        ),
    )
    op.create_index("ix_feedback_batch_run_key", "feedback_batch", ["run_key"])
    op.create_table(
        "feedback_quarantine",
        sa.Column("id", key, nullable=False),
        sa.Column("source", sa.String(1000), nullable=False),
        sa.Column("place", sa.String(100), nullable=False),
        sa.Column("raw_hash", sa.String(64), nullable=False),
        sa.Column("raw", sa.Text, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback_quarantine"),
        sa.UniqueConstraint("source", "place", "raw_hash", name="uq_feedback_quarantine_source"),
    )
    op.create_table(
        "feedback_metric",
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("model_version", sa.String(250), nullable=False),
        sa.Column("partition", sa.String(250), nullable=False),
        sa.Column("slice", sa.String(500), nullable=False),
        sa.Column("metric", sa.String(50), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("computed_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint(
            "model_name", "model_version", "partition", "slice", "metric", name="pk_feedback_metric"
        ),
    )


def downgrade() -> None:
    """Remove the tables."""
    for name in ("feedback_metric", "feedback_quarantine", "feedback_batch", "feedback"):
        op.drop_table(name)


def _feedback(key: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "feedback",
        sa.Column("sequence", key, nullable=False),
        sa.Column("feedback_id", sa.String(250), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("observed_at", UtcDateTime, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("label_number", sa.Float),
        sa.Column("value", sa.Float),
        sa.Column("score", sa.Float),
        sa.Column("prediction_id", sa.String(250)),
        sa.Column("model_version", sa.String(250)),
        sa.Column("partition", sa.String(250)),
        sa.Column("source", sa.String(250)),
        sa.Column("source_kind", sa.String(10), nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("attributes", sa.Text),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_feedback"),
        sa.UniqueConstraint("feedback_id", "content_hash", name="uq_feedback_feedback_id"),
    )
    op.create_index("ix_feedback_model_name", "feedback", ["model_name", "partition"])
