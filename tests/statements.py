"""What is sent to databases, for tests of how much is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store

_SETTING_UP = ("BEGIN", "SET", "SHOW", "PRAGMA")


@contextmanager
def statements(store: Store | None = None) -> Iterator[list[str]]:
    """Yield what is sent meanwhile to ``store`` (else to every database), setting up aside."""
    sent: list[str] = []
    to: Any = sa.Engine if store is None else store.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.lstrip().startswith(_SETTING_UP):
            sent.append(statement)

    sa.event.listen(to, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(to, "before_cursor_execute", note)
