"""GPU slots: hosts, devices, requests and leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    _inventory()
    _requests()
    _leases()


def downgrade() -> None:
    """Remove the tables."""
    for table in ("lease_device", "lease", "gpu_request", "device", "host"):
        op.drop_table(table)


def _inventory() -> None:
    op.create_table(
        "host",
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("planned_at", sa.Float),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_host"),
    )
    op.create_table(
        "device",
        sa.Column("host", sa.String(250), nullable=False),
        sa.Column("uuid", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("model", sa.String(250), nullable=False),
        sa.Column("memory_mib", sa.BigInteger),
        sa.Column("mig_profile", sa.String(50)),
        sa.Column("pool", sa.String(250), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("health", sa.String(20), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("host", "uuid", name="pk_device"),
        sa.ForeignKeyConstraint(["host"], ["host.name"], name="fk_device_host"),
    )


def _task_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("ti_id", sa.String(64)),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("run_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("map_index", sa.Integer),
        sa.Column("try_number", sa.Integer),
    ]


def _requests() -> None:
    op.create_table(
        "gpu_request",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(250), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("host", sa.String(250)),
        sa.Column("claim_within", sa.Float, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        *_task_columns(),
        sa.Column("waiter_pid", sa.Integer),
        sa.Column("waiter_start", sa.BigInteger),
        sa.Column("waiter_uid", sa.Integer),
        sa.Column("enqueued_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_gpu_request"),
        sa.UniqueConstraint("holder", "name", name="uq_gpu_request_holder"),
    )
    op.create_index("ix_gpu_request_state", "gpu_request", ["state", "place"])
    op.create_index(
        "ix_gpu_request_task", "gpu_request", ["dag_id", "run_id", "task_id", "map_index"]
    )


def _leases() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(32), nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("host", sa.String(250), nullable=False),
        sa.Column("boot_id", sa.String(64)),
        sa.Column("holder_pid", sa.BigInteger),
        sa.Column("holder_start", sa.BigInteger),
        sa.Column("holder_uid", sa.BigInteger),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        *_task_columns(),
        sa.Column("granted_at", UtcDateTime, nullable=False),
        sa.Column("activated_at", UtcDateTime),
        sa.Column("released_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
        sa.ForeignKeyConstraint(["request_id"], ["gpu_request.id"], name="fk_lease_request_id"),
    )
    op.create_index("ix_lease_state", "lease", ["state"])
    op.create_index("ix_lease_request_id", "lease", ["request_id"])
    op.create_table(
        "lease_device",
        sa.Column("lease_id", sa.String(32), nullable=False),
        sa.Column("host", sa.String(250), nullable=False),
        sa.Column("device_uuid", sa.String(100), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("memory_mib", sa.BigInteger),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("lease_id", "host", "device_uuid", name="pk_lease_device"),
        sa.ForeignKeyConstraint(["lease_id"], ["lease.id"], name="fk_lease_device_lease_id"),
    )
    op.create_index(
        "uq_lease_device_whole",
        "lease_device",
        ["host", "device_uuid"],
        unique=True,
        sqlite_where=sa.text("live = 1 AND memory_mib IS NULL"),
        postgresql_where=sa.text("live AND memory_mib IS NULL"),
    )
    op.create_index("ix_lease_device_live", "lease_device", ["live"])
