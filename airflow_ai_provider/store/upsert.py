"""An insert that says what happens when the row is there already."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def dialect_insert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return the insert that knows ``ON CONFLICT`` in the database's own dialect."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)
