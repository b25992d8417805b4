"""Where each model's versions are now, told from the moves in the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table, and fill it with what the moves so far come to."""
    place = op.create_table(
        "model_place",
        sa.Column("model_name", sa.String(250), nullable=False),
        sa.Column("environment", sa.String(100), nullable=False),
        sa.Column("version", sa.String(250)),
        sa.Column("since", sa.String(40), nullable=False),
        sa.Column("record", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("model_name", "environment", name="pk_model_place"),
    )
    if rows := _held():
        op.bulk_insert(place, rows)


def _held() -> list[dict[str, object]]:
    ledger = sa.table(
        "gate_record",
        sa.column("sequence"),
        sa.column("id"),
        sa.column("kind"),
        sa.column("subject"),
        sa.column("verdict"),
        sa.column("evidence", sa.JSON),
        sa.column("created_at"),
    )
    moves = op.get_bind().execute(
        sa.select(ledger)
        .where(
            ledger.c.kind.in_(["promotion", "rollback"]),
            ledger.c.verdict.in_(["pass", "warn", "override"]),
        )
        .order_by(ledger.c.sequence)
    )
    held: dict[tuple[str, str], dict[str, object]] = {}
    for move in moves:
        if "environment" not in move.evidence:
            continue
        name = move.subject.removeprefix("mlflow://").rpartition("/")[0]
        key = (name, move.evidence["environment"])
        held[key] = {
            "model_name": name,
            "environment": key[1],
            "version": move.evidence.get("to"),
            "since": move.created_at,
            "record": move.id,
        }
    return list(held.values())


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("model_place")
