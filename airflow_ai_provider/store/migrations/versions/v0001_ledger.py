"""The ledger of gate records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the ledger."""
    op.create_table(
        "gate_record",
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("decision_key", sa.String(250)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(500), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("criteria", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("decided_by", sa.String(250), nullable=False),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("run_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("map_index", sa.Integer),
        sa.Column("try_number", sa.Integer),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_gate_record"),
        sa.UniqueConstraint("id", name="uq_gate_record_id"),
        sa.UniqueConstraint("decision_key", name="uq_gate_record_decision_key"),
        sa.UniqueConstraint("hash", name="uq_gate_record_hash"),
    )
    op.create_index("ix_gate_record_subject", "gate_record", ["subject"])
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_head"),
    )


def downgrade() -> None:
    """Remove the ledger."""
    op.drop_table("ledger_head")
    op.drop_table("gate_record")
