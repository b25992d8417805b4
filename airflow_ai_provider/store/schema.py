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
)

ledger_head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # always 1
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

# --- feedback: every revision is kept; the effective one is told by a query, never by a flag ----

_BigKey = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite's own row id

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
    sa.UniqueConstraint("source", "place", "raw_hash"),
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
