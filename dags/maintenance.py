"""Every day: is the ledger whole, do the aliases say what it says, are leases left behind?

With a connection ``airflow_api_default`` it also sets Airflow's pools to the devices there are, and
learns how long tasks take, for ``CriticalPathPriority``.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta, timezone

from airflow.sdk import BaseHook, Param, dag, task
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
)

import use_cases
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.operators.durations import TaskDurationsOperator


@dag(
    schedule="@daily",
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
    params={
        "project": Param(use_cases.PROJECT_FILE, type="string", title="Project file"),
    },
    tags=["ai", "maintenance"],
    doc_md=__doc__,
)
def maintenance():
    @task
    def verify_ledger() -> int:
        return AiStoreHook().verify_ledger()

    @task
    def check_aliases(params: dict, **context) -> list[dict]:
        names = [use_case.name for use_case in use_cases.load(params["project"]).use_cases]
        hook = ModelRegistryHook()
        alarms = [a for name in names for a in hook.watch_aliases(name, context=context)]
        if alarms:  # on record already; a red task is what Airflow notifies people of
            raise AirflowFailException(" ".join(alarm["sentence"] for alarm in alarms))
        return alarms

    @task
    def check_devices() -> list[dict]:
        GpuPoolHook().report()
        return use_cases.left_behind(GpuPoolHook().get_conn().status())

    @task
    def sync_pools() -> list[dict]:
        try:
            return [asdict(change) for change in GpuPoolHook().sync_pools()]
        except AirflowNotFoundException as error:
            raise AirflowSkipException(f"No connection to Airflow's own API: {error}") from error

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def airflow_answers() -> bool:
        try:
            BaseHook.get_connection("airflow_api_default")
        except AirflowNotFoundException:
            return False
        return True

    verify_ledger()
    check_aliases()
    check_devices()
    sync_pools()
    airflow_answers() >> TaskDurationsOperator(task_id="task_durations")


maintenance()
