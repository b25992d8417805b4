"""Alembic's entry point; the work is in ``store/migrate.py``, which sets the context up."""

from __future__ import annotations

from alembic import context

context.run_migrations()
