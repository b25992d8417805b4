"""The GPU slots' tables; times without a zone are seconds of the store's lease clock."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import BigKey, UtcDateTime, metadata

host = sa.Table(
    "host",
    metadata,
    sa.Column("name", sa.String(250), primary_key=True),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("planned_at", sa.Float),  # lease clock; when somebody here last planned the queue
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

device = sa.Table(
    "device",
    metadata,
    sa.Column("host", sa.String(250), sa.ForeignKey("host.name"), primary_key=True),
    sa.Column("uuid", sa.String(100), primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("model", sa.String(250), nullable=False),
    sa.Column("memory_mib", sa.BigInteger),
    sa.Column("mig_profile", sa.String(50)),
    sa.Column("pool", sa.String(250), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),  # the fence of its newest lease
    sa.Column("health", sa.String(20), nullable=False),  # as its host observed it
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("parent_uuid", sa.String(100)),  # of a MIG instance: its card
    sa.Column("topology", sa.JSON),  # bus, links: see core.gpu.devices.Topology
    sa.Column("compute_mode", sa.String(30)),
    sa.Column("reserved_mib", sa.BigInteger, nullable=False, server_default="0"),  # by its driver
    sa.Column("admin_state", sa.String(20), nullable=False, server_default=""),  # what people said
    sa.Column("admin_reason", sa.String(500), nullable=False, server_default=""),
    sa.Column("admin_by", sa.String(250), nullable=False, server_default=""),
    sa.Column("observed_at", UtcDateTime),
    sa.Column("node", sa.JSON),  # of a cluster's device: see core.gpu.nodes.NodeFacts
)

gpu_quota = sa.Table(
    "gpu_quota",
    metadata,
    sa.Column("pool", sa.String(250), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),  # team, project, phase
    sa.Column("name", sa.String(250), primary_key=True),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("guaranteed", sa.Float, nullable=False),  # devices; a share is its part of one
    sa.Column("ceiling", sa.Float),  # devices, borrowed ones included; none is no limit
)

gpu_request = sa.Table(
    "gpu_request",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(250), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("place", sa.BigInteger, nullable=False),  # rises with age
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("host", sa.String(250)),  # where it must be served
    sa.Column("claim_within", sa.Float, nullable=False),  # seconds
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("ti_id", sa.String(64)),
    sa.Column("dag_id", sa.String(250)),
    sa.Column("run_id", sa.String(250)),
    sa.Column("task_id", sa.String(250)),
    sa.Column("map_index", sa.Integer),
    sa.Column("try_number", sa.Integer),
    sa.Column("waiter_pid", sa.Integer),  # the process that waits, where one does
    sa.Column("waiter_start", sa.BigInteger),
    sa.Column("waiter_uid", sa.Integer),
    sa.Column("class_key", sa.String(32), nullable=False, server_default=""),  # alike but for age
    sa.Column("estimate", sa.Float),  # seconds it will hold: as said, else from the task's history
    sa.Column("channel", sa.String(63)),  # where the one who waits is told
    sa.Column("enqueued_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.UniqueConstraint("holder", "name", name="uq_gpu_request_holder"),
    sa.Index("ix_gpu_request_state", "state", "place"),
    sa.Index("ix_gpu_request_class_key", "state", "class_key", "place"),
    sa.Index("ix_gpu_request_place", "place"),
    sa.Index("ix_gpu_request_task", "dag_id", "run_id", "task_id", "map_index"),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("request_id", sa.String(32), sa.ForeignKey("gpu_request.id"), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("host", sa.String(250), nullable=False),
    sa.Column("boot_id", sa.String(64)),
    sa.Column("holder_pid", sa.BigInteger),
    sa.Column("holder_start", sa.BigInteger),  # clock ticks since boot: a pid may come again
    sa.Column("holder_uid", sa.BigInteger),
    sa.Column("expires_at", sa.Float, nullable=False),  # lease clock; granted: must be claimed by
    sa.Column("revoked", sa.Boolean, nullable=False, default=False),  # never active again
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("ti_id", sa.String(64)),
    sa.Column("dag_id", sa.String(250)),
    sa.Column("run_id", sa.String(250)),
    sa.Column("task_id", sa.String(250)),
    sa.Column("map_index", sa.Integer),
    sa.Column("try_number", sa.Integer),
    sa.Column("estimate", sa.Float),  # seconds from its activation
    sa.Column("left_behind", sa.JSON),  # processes (pid, start, uid) that ran on at its release
    sa.Column("granted_at", UtcDateTime, nullable=False),
    sa.Column("activated_at", UtcDateTime),
    sa.Column("released_at", UtcDateTime),
    sa.Column("holder_pod", sa.String(500)),  # namespace/name/uid, where a pod holds it
    sa.Index("ix_lease_request_id", "request_id"),
    sa.Index("ix_lease_task", "dag_id", "task_id", "released_at"),
)

lease_device = sa.Table(
    "lease_device",
    metadata,
    sa.Column("lease_id", sa.String(32), sa.ForeignKey("lease.id"), primary_key=True),
    sa.Column("host", sa.String(250), primary_key=True),
    sa.Column("device_uuid", sa.String(100), primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("memory_mib", sa.BigInteger),  # of a share; a whole device has none
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Index(
        "uq_lease_device_whole",
        "host",
        "device_uuid",
        unique=True,
        sqlite_where=sa.text("live = 1 AND memory_mib IS NULL"),
        postgresql_where=sa.text("live AND memory_mib IS NULL"),
    ),
    sa.Index("ix_lease_device_live", "live"),
)

gpu_change = sa.Table(
    "gpu_change",
    metadata,
    # what came since somebody last planned the queue; whoever plans takes the rows away
    sa.Column("sequence", BigKey, primary_key=True),
)
