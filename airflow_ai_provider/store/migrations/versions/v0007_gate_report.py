"""What the page about a gate record shows; and the ledger by task, which the page asks for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "gate_report",
        sa.Column("sequence", _BIG_KEY, nullable=False),
        sa.Column("record", sa.String(32), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_gate_report"),
        sa.ForeignKeyConstraint(["record"], ["gate_record.id"], name="fk_gate_report_record"),
        sa.UniqueConstraint("record", name="uq_gate_report_record"),
    )
    op.create_index("ix_gate_record_task", "gate_record", ["dag_id", "task_id", "run_id"])


def downgrade() -> None:
    """Remove them."""
    op.drop_index("ix_gate_record_task", "gate_record")
    op.drop_table("gate_report")
