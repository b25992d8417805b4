"""Projects: each version of a project file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_ai_provider.store.schema import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "project_version",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project_version"),
        sa.ForeignKeyConstraint(["project"], ["project.name"], name="fk_project_version_project"),
        sa.UniqueConstraint("project", "digest", name="uq_project_version_project"),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("project_version")
