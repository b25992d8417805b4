"""The file of task durations behind Airflow's settings and connections."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow_ai_provider.services.task_durations import Learnt

_FILE = "airflow_ai_durations.json"


def durations_path() -> Path:
    """Return the setting ``durations_file``, else a file in Airflow's home."""
    said = (conf.get("ai_provider", "durations_file", fallback="") or "").strip()
    if said:
        return Path(said).expanduser()
    return Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser() / _FILE


def learn_durations(api_conn_id: str, path: str | os.PathLike[str] | None = None) -> Learnt:
    """Add to the file what Airflow finished since the last call.

    :raises AirflowNotFoundException: there is no connection of this id.
    :raises AirflowApiError: Airflow's REST API does not answer, or does not let us.
    :raises TaskDurationsError: the file cannot be used or written.
    """
    from datetime import datetime, timezone

    from airflow_ai_provider.adapters.airflow_api import AirflowPast
    from airflow_ai_provider.adapters.task_durations import DurationsFile
    from airflow_ai_provider.hooks.gpu import api_login
    from airflow_ai_provider.services.task_durations import learn_durations as learn

    past = AirflowPast(api_login(api_conn_id))
    return learn(DurationsFile(path or durations_path()), past, now=datetime.now(timezone.utc))
