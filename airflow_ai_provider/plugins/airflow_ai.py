"""The Airflow plugin: what we add to Airflow's own server and to every task.

Plugin modules are loaded in every process of Airflow; FastAPI is built only in the API server.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk.configuration import conf
from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_ai_provider.plugins.listener import LeaseListener
from airflow_ai_provider.plugins.priority import CriticalPathPriority


def _fastapi_apps() -> list[dict[str, Any]]:
    if "api-server" not in sys.argv:
        return []
    from airflow_ai_provider.plugins.api import make_app

    return [{"app": make_app(), "url_prefix": "/airflow-ai", "name": "AI projects"}]


def _external_views() -> list[dict[str, Any]]:
    """Return what stands in Airflow's menu: pages of ours, framed by Airflow's own."""
    base = urlsplit(conf.get("api", "base_url", fallback="/") or "/").path.rstrip("/")
    return [
        {
            "name": "AI projects",
            "href": f"{base}/airflow-ai/ui/board",
            "destination": "nav",
            "icon": f"{base}/airflow-ai/ui/static/mark.svg",
            "nav_top_level": True,
            "url_route": "airflow-ai",
        },
        {
            "name": "Data gates",
            "href": f"{base}/airflow-ai/quality/list",
            "destination": "nav",
            "category": "browse",
            "url_route": "airflow-ai-data-gates",
        },
    ]


class AirflowAiPlugin(AirflowPlugin):
    """Serves the pages and what they show under ``/airflow-ai``; adds them to Airflow's menu."""

    name = "airflow_ai"
    fastapi_apps = _fastapi_apps()
    external_views = _external_views()
    listeners = [LeaseListener()]
    priority_weight_strategies = [CriticalPathPriority]
