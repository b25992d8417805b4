"""Feedback: its key is an index, which many records at once can do without until they are there."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

_NAME = "uq_feedback_feedback_id"
_COLUMNS = ["feedback_id", "content_hash"]


def upgrade() -> None:
    """Make the constraint an index of the same name."""
    with op.batch_alter_table("feedback") as table:
        table.drop_constraint(_NAME, type_="unique")
    op.create_index(_NAME, "feedback", _COLUMNS, unique=True)


def downgrade() -> None:
    """Make it a constraint again."""
    op.drop_index(_NAME, "feedback")
    with op.batch_alter_table("feedback") as table:
        table.create_unique_constraint(_NAME, _COLUMNS)
