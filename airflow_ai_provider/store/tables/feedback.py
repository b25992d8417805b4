"""Feedback's tables: every revision is kept, a query tells the effective one, never a flag."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import BigKey, UtcDateTime, metadata

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("sequence", BigKey, primary_key=True),  # the order of arrival
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
    sa.Index("uq_feedback_feedback_id", "feedback_id", "content_hash", unique=True),
    sa.Index("ix_feedback_model_name", "model_name", "partition"),
)

feedback_batch = sa.Table(
    "feedback_batch",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
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
    sa.Column("id", BigKey, primary_key=True),
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
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("field", sa.String(250), nullable=False),  # feedback_id, source, attributes.person
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("field", "hash"),
)

# where records were exported to, so that who forgets can be told which files still have them
feedback_export = sa.Table(
    "feedback_export",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
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

feedback_watch = sa.Table(
    "feedback_watch",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),  # of what a trigger waits for
    sa.Column("state", sa.JSON, nullable=False),  # how far it has come, and what held then
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
