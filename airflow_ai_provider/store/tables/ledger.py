"""The ledger's tables: append-only; one head row orders the writers."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import BigKey, metadata

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
    sa.Column("sequence", BigKey, primary_key=True),
    sa.Column(
        "record", sa.String(32), sa.ForeignKey("gate_record.id"), nullable=False, unique=True
    ),
    sa.Column("document", sa.JSON, nullable=False),
)
