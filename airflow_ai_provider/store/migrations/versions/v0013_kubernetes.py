"""GPU slots of a cluster: what a device's node is, and the pod that holds a lease."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the columns."""
    op.add_column("device", sa.Column("node", sa.JSON))
    op.add_column("lease", sa.Column("holder_pod", sa.String(500)))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("lease", "holder_pod")
    op.drop_column("device", "node")
