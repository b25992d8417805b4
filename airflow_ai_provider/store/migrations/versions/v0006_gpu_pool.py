"""GPU slots: topology, what people said of a device, quotas, estimates, changes not yet planned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0006"
down_revision = "0005"

_HOT_FILL = 60  # percent of a page; the rest is for rows that change
_BIG_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the columns and tables."""
    for column in _device_columns():
        op.add_column("device", column)
    for column in _request_columns():
        op.add_column("gpu_request", column)
    op.create_index("ix_gpu_request_class_key", "gpu_request", ["state", "class_key", "place"])
    op.create_index("ix_gpu_request_place", "gpu_request", ["place"])
    op.add_column("lease", sa.Column("estimate", sa.Float))
    op.add_column("lease", sa.Column("left_behind", sa.JSON))
    op.create_index("ix_lease_task", "lease", ["dag_id", "task_id", "released_at"])
    op.create_table(
        "gpu_quota",
        sa.Column("pool", sa.String(250), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("guaranteed", sa.Float, nullable=False),
        sa.Column("ceiling", sa.Float),
        sa.PrimaryKeyConstraint("pool", "kind", "name", name="pk_gpu_quota"),
    )
    op.create_table(
        "gpu_change",
        sa.Column("sequence", _BIG_KEY, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_gpu_change"),
    )
    _leave_room(_HOT_FILL)


def downgrade() -> None:
    """Remove them."""
    _leave_room(100)
    op.drop_table("gpu_change")
    op.drop_table("gpu_quota")
    op.drop_index("ix_lease_task", "lease")
    op.drop_column("lease", "left_behind")
    op.drop_column("lease", "estimate")
    op.drop_index("ix_gpu_request_place", "gpu_request")
    op.drop_index("ix_gpu_request_class_key", "gpu_request")
    for column in _request_columns():
        op.drop_column("gpu_request", column.name)
    for column in _device_columns():
        op.drop_column("device", column.name)


def _leave_room(fill: int) -> None:
    """Leave room in a server's pages, so that a changed row finds a place beside the old one."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("device", "gpu_request", "lease", "lease_device"):
            op.execute(f"ALTER TABLE {table} SET (fillfactor = {fill})")


def _device_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("parent_uuid", sa.String(100)),
        sa.Column("topology", sa.JSON),
        sa.Column("compute_mode", sa.String(30)),
        sa.Column("admin_state", sa.String(20), nullable=False, server_default=""),
        sa.Column("admin_reason", sa.String(500), nullable=False, server_default=""),
        sa.Column("admin_by", sa.String(250), nullable=False, server_default=""),
        sa.Column("observed_at", UtcDateTime),
    ]


def _request_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("class_key", sa.String(32), nullable=False, server_default=""),
        sa.Column("estimate", sa.Float),
        sa.Column("channel", sa.String(63)),
    ]
