"""The store's tables.

Alembic migrations in ``migrations/versions`` build the same tables; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment in UTC: ``timestamptz`` on PostgreSQL, ISO 8601 text on SQLite."""

    impl = sa.String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.String(32))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        moment = value.astimezone(timezone.utc)
        if dialect.name == "postgresql":
            return moment
        return moment.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(timezone.utc)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BigKey = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite's own row id

# --- ledger: append-only; one head row orders the writers --------------------------------------

gate_record = sa.Table(
    "gate_record",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("decision_key", sa.String(250), unique=True),  # same decision, same record
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("subject", sa.String(500), nullable=False, index=True),
    sa.Column("verdict", sa.String(10), nullable=False),
    sa.Column("criteria", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("decided_by", sa.String(250), nullable=False),
    sa.Column("dag_id", sa.String(250)),
    sa.Column("run_id", sa.String(250)),
    sa.Column("task_id", sa.String(250)),
    sa.Column("map_index", sa.Integer),
    sa.Column("try_number", sa.Integer),
    sa.Column("created_at", sa.String(40), nullable=False),  # the text that was hashed
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Index("ix_gate_record_task", "dag_id", "task_id", "run_id"),
)

ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

# What the page about a record shows, where one was kept. No part of the chain: the oldest ones go.
gate_report = sa.Table(
    "gate_report",
    metadata,
    sa.Column("sequence", _BigKey, primary_key=True),
    sa.Column(
        "record", sa.String(32), sa.ForeignKey("gate_record.id"), nullable=False, unique=True
    ),
    sa.Column("document", sa.JSON, nullable=False),
)

# --- GPU slots: times without a zone are seconds of the store's lease clock ----------------------

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
    sa.Column("sequence", _BigKey, primary_key=True),
)


# --- feedback: every revision is kept; the effective one is told by a query, never by a flag ----

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("sequence", _BigKey, primary_key=True),  # the order of arrival
    sa.Column("feedback_id", sa.String(250), nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("model_name", sa.String(250), nullable=False),
    sa.Column("observed_at", UtcDateTime, nullable=False),
    sa.Column("label", sa.Text),  # JSON: a text, a truth value or a number
    sa.Column("label_number", sa.Float),
    sa.Column("value", sa.Float),
    sa.Column("score", sa.Float),
    sa.Column("prediction_id", sa.String(250)),
    sa.Column("model_version", sa.String(250)),
    sa.Column("partition", sa.String(250)),
    sa.Column("source", sa.String(250)),
    sa.Column("source_kind", sa.String(10), nullable=False),
    sa.Column("comment", sa.Text),
    sa.Column("attributes", sa.Text),  # a JSON object
    sa.Column("batch_id", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("feedback_id", "content_hash"),
    sa.Index("ix_feedback_model_name", "model_name", "partition"),
)

feedback_batch = sa.Table(
    "feedback_batch",
    metadata,
    sa.Column("id", _BigKey, primary_key=True),
    sa.Column("run_key", sa.String(250), index=True),  # the task instance, over its retries
    sa.Column("sources", sa.JSON, nullable=False),
    sa.Column("read", sa.BigInteger, nullable=False),
    sa.Column("stored", sa.BigInteger, nullable=False),
    sa.Column("revised", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("news", sa.JSON, nullable=False),  # per model, how many records were new or revised
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.CheckConstraint("read = stored + revised + duplicates + quarantined", name="adds_up"),
)

feedback_quarantine = sa.Table(
    "feedback_quarantine",
    metadata,
    sa.Column("id", _BigKey, primary_key=True),
    sa.Column("source", sa.String(1000), nullable=False),
    sa.Column("place", sa.String(100), nullable=False),  # "line 12", "row 7"
    sa.Column("raw_hash", sa.String(64), nullable=False),
    sa.Column("raw", sa.Text, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("batch_id", sa.BigInteger, nullable=False),
    sa.Column("resolved_batch", sa.BigInteger),  # the batch that took it in after repair
    sa.UniqueConstraint("source", "place", "raw_hash"),
)

# how far a source has been read, kept in the transaction that keeps what was read
feedback_position = sa.Table(
    "feedback_position",
    metadata,
    sa.Column("source_hash", sa.String(64), primary_key=True),  # SHA-256 of its whole name
    sa.Column("source", sa.String(1000), nullable=False),
    sa.Column("position", sa.JSON, nullable=False),
    sa.Column("batch_id", sa.BigInteger, nullable=False),
)

# what must not come back: hashes, so that the list does not name whom it forgets
feedback_forgotten = sa.Table(
    "feedback_forgotten",
    metadata,
    sa.Column("id", _BigKey, primary_key=True),
    sa.Column("field", sa.String(250), nullable=False),  # feedback_id, source, attributes.person
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("field", "hash"),
)

# where records were exported to, so that who forgets can be told which files still have them
feedback_export = sa.Table(
    "feedback_export",
    metadata,
    sa.Column("id", _BigKey, primary_key=True),
    sa.Column("path", sa.String(1000), nullable=False),
    sa.Column("model_name", sa.String(250)),  # none: of every model
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

# the Delta tables that hold feedback on a model besides the table above
feedback_place = sa.Table(
    "feedback_place",
    metadata,
    sa.Column("model_name", sa.String(250), primary_key=True),
    sa.Column("address", sa.String(1000), primary_key=True),
)

feedback_metric = sa.Table(
    "feedback_metric",
    metadata,
    sa.Column("model_name", sa.String(250), primary_key=True),
    sa.Column("model_version", sa.String(250), primary_key=True),
    sa.Column("partition", sa.String(250), primary_key=True),
    sa.Column("slice", sa.String(500), primary_key=True),  # "" is all, else "carrier=UA"
    sa.Column("metric", sa.String(50), primary_key=True),
    sa.Column("value", sa.Float),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("computed_at", UtcDateTime, nullable=False),
)


# --- exceptions: predictions that people look at, and each person's turn at one -----------------

exception_case = sa.Table(
    "exception_case",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),  # of model, version and prediction
    sa.Column("model_name", sa.String(250), nullable=False),
    sa.Column("model_version", sa.String(250)),
    sa.Column("prediction_id", sa.String(250), nullable=False),
    sa.Column("partition", sa.String(250)),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),  # what the person is shown
    sa.Column("urgency", sa.Float, nullable=False),
    sa.Column("people", sa.Integer, nullable=False),  # how many are asked
    sa.Column("taken", sa.Integer, nullable=False),  # seats that are claimed or answered
    sa.Column("answers", sa.Integer, nullable=False),
    sa.Column("assigned_to", sa.JSON, nullable=False),  # users; empty is anybody
    sa.Column("labels", sa.JSON, nullable=False),  # the answers offered, by their shown name
    sa.Column("score", sa.Boolean, nullable=False),  # an opinion from 1 to 5 is asked for
    sa.Column("dag_id", sa.String(250)),  # whose reviewers may answer
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("closed_at", UtcDateTime),
    sa.CheckConstraint("answers >= 0 AND answers <= taken AND taken <= people", name="seats"),
    sa.Index("ix_exception_case_queue", "state", "model_name"),
)

exception_seat = sa.Table(
    "exception_seat",
    metadata,
    sa.Column(
        "case_id",
        sa.String(32),
        sa.ForeignKey("exception_case.id", name="fk_exception_seat_case_id"),
        primary_key=True,
    ),
    sa.Column("person", sa.String(250), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("claimed_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("answer", sa.JSON),
    sa.Column("answered_at", UtcDateTime),
    sa.Column("batch_id", sa.BigInteger),  # of feedback, once the answer is taken in
    sa.Index("ix_exception_seat_state", "state", "person"),
)

feedback_watch = sa.Table(
    "feedback_watch",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),  # of what a trigger waits for
    sa.Column("state", sa.JSON, nullable=False),  # how far it has come, and what held then
    sa.Column("updated_at", UtcDateTime, nullable=False),
)


# --- lifecycle: projects and what their milestones left behind ---------------------------------

project = sa.Table(
    "project",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("title", sa.String(500)),
    sa.Column("owner", sa.String(250), nullable=False),
    sa.Column("path", sa.String(1000), nullable=False),  # of the project file, as last read
    sa.Column("digest", sa.String(64), nullable=False),  # of its content
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("phase", sa.String(20), nullable=False),  # the phase that it is in
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

project_version = sa.Table(
    "project_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # the highest of a project is the newest plan
    sa.Column(
        "project",
        sa.String(100),
        sa.ForeignKey("project.name", name="fk_project_version_project"),
        nullable=False,
    ),
    sa.Column("digest", sa.String(64), nullable=False),  # of the text
    sa.Column("text", sa.Text, nullable=False),  # of the project file, as it was
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("project", "digest", name="uq_project_version_project"),
)

deliverable = sa.Table(
    "deliverable",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),  # the highest of a deliverable holds
    sa.Column(
        "project",
        sa.String(100),
        sa.ForeignKey("project.name", name="fk_deliverable_project"),
        nullable=False,
    ),
    sa.Column("milestone", sa.String(50), nullable=False),
    sa.Column("name", sa.String(50), nullable=False),
    sa.Column("kind", sa.String(1), nullable=False),  # m measured, p answered by a person
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("by", sa.String(250), nullable=False),
    sa.Column("record", sa.String(32), nullable=False),  # the milestone's gate record
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint(
        "project", "milestone", "name", "kind", "record", name="uq_deliverable_project"
    ),
)


# --- promotion: one guarded row per model, so that two promoters cannot both move ---------------

promotion_state = sa.Table(
    "promotion_state",
    metadata,
    sa.Column("model_name", sa.String(250), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),  # counts finished moves
    sa.Column("claim_key", sa.String(250)),  # the decision whose move is in progress
    sa.Column("claimed_by", sa.String(250)),
    sa.Column("claimed_at", UtcDateTime),
    sa.Column("move", sa.JSON),  # what that decision will do and write
)

# What the ledger's moves come to. No part of the chain: it can be told from the ledger again.
model_place = sa.Table(
    "model_place",
    metadata,
    sa.Column("model_name", sa.String(250), primary_key=True),
    sa.Column("environment", sa.String(100), primary_key=True),
    sa.Column("version", sa.String(250)),  # none: its only version was taken away
    sa.Column("since", sa.String(40), nullable=False),  # as the record says it
    sa.Column("record", sa.String(32), nullable=False),
)


# --- evidence: what a model gate judged, once under its hash -------------------------------------

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),  # canonical JSON: its SHA-256 is the hash
    sa.Column("created_at", UtcDateTime, nullable=False),
)
