"""The lifecycle's tables: projects and what their milestones left behind."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.store.tables.base import UtcDateTime, metadata

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
