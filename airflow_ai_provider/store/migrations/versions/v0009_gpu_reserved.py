"""GPU slots: the memory of a device that its driver keeps for itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the column."""
    op.add_column(
        "device", sa.Column("reserved_mib", sa.BigInteger, nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_column("device", "reserved_mib")
