"""Projects: deliverables and answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "project",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("title", sa.String(500)),
        sa.Column("owner", sa.String(250), nullable=False),
        sa.Column("path", sa.String(1000), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_project"),
    )
    op.create_table(
        "deliverable",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("milestone", sa.String(50), nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("kind", sa.String(1), nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("by", sa.String(250), nullable=False),
        sa.Column("record", sa.String(32), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliverable"),
        sa.ForeignKeyConstraint(["project"], ["project.name"], name="fk_deliverable_project"),
        sa.UniqueConstraint(
            "project", "milestone", "name", "kind", "record", name="uq_deliverable_project"
        ),
    )


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("deliverable")
    op.drop_table("project")
