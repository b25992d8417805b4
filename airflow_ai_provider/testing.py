"""Public fakes for tests of your own code: a store in memory, a clock that you move."""

from __future__ import annotations

from airflow_ai_provider.store.engine import MEMORY_URL, Store


def memory_store() -> Store:
    """Return an empty store that lives in this process's memory, its tables made."""
    return Store.open(MEMORY_URL)
