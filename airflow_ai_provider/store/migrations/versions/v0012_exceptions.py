"""The exception queue, and how far each watcher of feedback has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "exception_case",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("model_version", sa.String(250)),
        sa.Column("prediction_id", sa.String(250), nullable=False),
        sa.Column("partition", sa.String(250)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("urgency", sa.Float, nullable=False),
        sa.Column("people", sa.Integer, nullable=False),
        sa.Column("taken", sa.Integer, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("assigned_to", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("score", sa.Boolean, nullable=False),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("due_at", UtcDateTime),
        sa.Column("closed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_exception_case"),
        sa.CheckConstraint(
            "answers >= 0 AND answers <= taken AND taken <= people",
            name="ck_exception_case_seats",
        ),
    )
    op.create_index("ix_exception_case_queue", "exception_case", ["state", "model_name"])
    op.create_table(
        "exception_seat",
        sa.Column("case_id", sa.String(32), nullable=False),
        sa.Column("person", sa.String(250), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("claimed_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("answer", sa.JSON),
        sa.Column("answered_at", UtcDateTime),
        sa.Column("batch_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("case_id", "person", name="pk_exception_seat"),
        sa.ForeignKeyConstraint(
            ["case_id"], ["exception_case.id"], name="fk_exception_seat_case_id"
        ),
    )
    op.create_index("ix_exception_seat_state", "exception_seat", ["state", "person"])
    op.create_table(
        "feedback_watch",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_feedback_watch"),
    )


def downgrade() -> None:
    """Remove the tables."""
    for name in ("feedback_watch", "exception_seat", "exception_case"):
        op.drop_table(name)
