"""Our own database: SQLAlchemy Core tables and guarded statements."""

from __future__ import annotations
