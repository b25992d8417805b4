"""The exceptions' tables: predictions that people look at, each person's turn at one."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import UtcDateTime, metadata

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
