"""Every day: is the ledger whole, do the aliases say what it says, are leases left behind?

With a connection ``airflow_api_default`` it also sets Airflow's pools to the devices there are, and
learns how long tasks take, for ``CriticalPathPriority``. The report on the project is written to
the folder ``reports`` in Airflow's home. It starts as well when it is decided that a model fell
below the version before it: then it goes back to that, or asks first, as the policy says.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import (
    AssetOrTimeSchedule,
    BaseHook,
    CronTriggerTimetable,
    Param,
    dag,
    task,
)
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
)

import use_cases
from airflow_ai_provider.assets import rollback_asset
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.hooks.lifecycle import ProjectHook
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.hooks.store import AiStoreHook
from airflow_ai_provider.operators.durations import TaskDurationsOperator
from airflow_ai_provider.operators.project_report import ProjectReportOperator
from airflow_ai_provider.operators.promotion import (
    ModelRollbackOperator,
    PromotionApprovalOperator,
)

MODEL = "flight_delays"
HOME = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("@daily", timezone="UTC"), assets=[rollback_asset(MODEL)]
    ),
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

    @task.short_circuit
    def project_began(params: dict) -> bool:
        name = use_cases.load(params["project"]).name
        return ProjectHook().get_conn().projects.get(name) is not None

    report = ProjectReportOperator(
        task_id="project_report",
        project="{{ params.project }}",
        html=f"{HOME}/reports/project.html",
        markdown=f"{HOME}/reports/project.md",
    )

    @task.short_circuit
    def airflow_answers() -> bool:
        try:
            BaseHook.get_connection("airflow_api_default")
        except AirflowNotFoundException:
            return False
        return True

    @task
    def way_back(params: dict, triggering_asset_events=None) -> dict:
        return use_cases.way_back(params["project"], triggering_asset_events)

    @task.branch
    def ask_first(decision: dict) -> str:
        return "ask" if decision["ask"] else "go_back"

    fallen = way_back()
    ask = PromotionApprovalOperator(
        task_id="ask",
        subject="May {{ ti.xcom_pull(task_ids='way_back')['model_name'] }} go back a version?",
        evidence=fallen,
        assigned_users=fallen["approvers"],
        submitter=fallen["owner"],
        project="{{ params.project }}",
    )
    go_back = ModelRollbackOperator(
        task_id="go_back",
        model_name=fallen["model_name"],
        environment="production",
        target=fallen["previous"],
        expected=fallen["champion"],  # nobody has moved it since
        reason=fallen["summary"],
        trigger_rule="none_failed_min_one_success",
    )
    ask_first(fallen) >> [ask, go_back]
    ask >> go_back

    verify_ledger()
    check_aliases()
    check_devices()
    sync_pools()
    project_began() >> report
    airflow_answers() >> TaskDurationsOperator(task_id="task_durations")


maintenance()
