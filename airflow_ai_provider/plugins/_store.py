"""The store that the plugin's routes read: opened, or the reason and the remedy as HTTP 503."""

from __future__ import annotations

from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.store.engine import Store


def the_store() -> Store:
    """Return the store that the connection names.

    :raises AirflowAiError: it cannot be opened; the application answers 503 with reason and remedy
        (``ui.frame.unavailable``), as it does when the store fails later.
    """
    return open_store(AiStoreHook().get_url(), create=False)
