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
