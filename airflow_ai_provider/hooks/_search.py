"""The study of a search, behind the store's connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from airflow_ai_provider.hooks.store import AiStoreHook

if TYPE_CHECKING:
    from airflow_ai_provider.services.search import Search


def open_search(
    settings: Mapping[str, Any],
    *,
    store_conn_id: str,
    mapped: str,
    context: Mapping[str, Any] | None = None,
) -> Search:
    """Return the search of this run; ``mapped`` is the id of the task whose trials it makes."""
    from airflow_ai_provider.services.search import Search
    from airflow_ai_provider.services.search_study import SearchSettings

    ti: Any = (context or get_current_context())["ti"]
    url = AiStoreHook(store_conn_id).get_conn().full_url
    made = SearchSettings(url=url, **settings)
    return Search(made, task=f"{ti.dag_id}/{ti.run_id}/{mapped}")
