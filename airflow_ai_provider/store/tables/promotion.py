"""Promotion's tables: one guarded row per model, so that two promoters cannot both move."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import UtcDateTime, metadata

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

# what a model gate judged, once under its hash
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),  # canonical JSON: its SHA-256 is the hash
    sa.Column("created_at", UtcDateTime, nullable=False),
)
