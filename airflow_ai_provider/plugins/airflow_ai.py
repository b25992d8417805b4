"""The Airflow plugin: what we add to Airflow's own server and to every task.

Plugin modules are loaded in every process of Airflow; FastAPI is built only in the API server.
"""

from __future__ import annotations

import sys
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_ai_provider.plugins.listener import LeaseListener


def _fastapi_apps() -> list[dict[str, Any]]:
    if "api-server" not in sys.argv:
        return []
    from airflow_ai_provider.plugins.api import make_app

    return [{"app": make_app(), "url_prefix": "/airflow-ai", "name": "AI projects"}]


class AirflowAiPlugin(AirflowPlugin):
    """Serves the ledger, the data gates and the GPU-slot pool, read-only, under ``/airflow-ai``."""

    name = "airflow_ai"
    fastapi_apps = _fastapi_apps()
    listeners = [LeaseListener()]
