"""Production: train on every gated month before m, judge on m, promote what is better.

Starts when the pilot phase has passed and whenever a retrain decision says yes. The challenger
waits in the test environment, as a shadow, until the outcomes of that month are in.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import (
    phase_alias,
    project_asset,
    request_asset,
    retrain_asset,
)
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator
from airflow_ai_provider.operators.model_evidence import ModelEvidenceOperator
from airflow_ai_provider.operators.promotion import ModelGateOperator, ModelPromoteOperator
from airflow_ai_provider.sensors.feedback import FeedbackSensor
from airflow_ai_provider.task_groups.promotion import promote_to_production

PROJECT = "flight_delays"
MODEL = "flight_delays"
DATASET = "flights"


@dag(
    schedule=(project_asset(PROJECT, "pilot") | retrain_asset(MODEL)),
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "project": Param(use_cases.PROJECT_FILE, type="string", title="Project file"),
        "candidate": Param("boosting", type="string", title="What to train"),
        "judge_on": Param(
            None,
            type=["null", "string"],
            pattern=r"^\d{4}-\d{2}$",
            title="Month to judge on",
            description="Empty: the month that the retrain decision names, else the next one.",
        ),
    },
    tags=["ai", "production"],
    doc_md=__doc__,
)
def production():
    @task
    def plan(params: dict, triggering_asset_events=None) -> dict:
        return use_cases.training_plan(
            params["project"],
            MODEL,
            judge_on=params["judge_on"],
            candidate=params["candidate"],
            events=triggering_asset_events,
        )

    @task.gpu(gpus=1, deferrable=True, project=PROJECT, phase="production", estimate=60)
    def train(use_case: str, plan: dict) -> dict:
        from importlib import import_module  # nothing of this file: it may run in a pod

        return import_module(f"{use_case}.pipeline").train(
            plan["candidate"], partitions=plan["train_on"], gates=plan["gates"]
        )

    @task
    def register(evidence: dict) -> dict:
        return use_cases.register(evidence)

    @task(outlets=[request_asset(DATASET)])
    def ask_for_month(plan: dict, outlet_events=None) -> None:
        use_cases.ask_for_month(plan, outlet_events[request_asset(DATASET)])

    @task
    def evaluate(plan: dict, evidence: dict, challenger: dict) -> dict:
        return use_cases.package(MODEL).evaluate(
            {**evidence, "version": challenger["version"]},
            partition=plan["judge_on"],
            champion=use_cases.in_environment(MODEL, "production"),
        )

    @task(trigger_rule="none_failed", outlets=[request_asset(DATASET)])
    def close_month(plan: dict, outlet_events=None) -> None:
        outlet_events[request_asset(DATASET)].extra = {"after": plan["judge_on"]}

    planned = plan()
    trained = train(MODEL, planned)
    challenger = register(trained)
    to_dev = ModelPromoteOperator(
        task_id="to_dev", model_name=MODEL, version=challenger["version"], environment="dev"
    )
    to_test = ModelPromoteOperator(
        task_id="to_test", model_name=MODEL, version=challenger["version"], environment="test"
    )
    outcomes = FeedbackSensor(
        task_id="wait_for_outcomes",
        deferrable=True,
        model_name=MODEL,
        partition=planned["judge_on"],
        min_records=1000,
        timeout=timedelta(days=45).total_seconds(),
    )
    measured = ModelEvidenceOperator(  # while the outcomes come in
        task_id="measure", evidence=trained, inputs=trained["inputs"]
    )
    evidence = evaluate(planned, measured.output, challenger)
    judge = ModelGateOperator(
        task_id="judge",
        evidence=evidence,
        criteria=planned["criteria"],
        on_fail="skip",
        project=PROJECT,
        multiple_outputs=True,
    )
    promoted = promote_to_production(
        judge.output,
        subject="May this version of {{ params.project }} go into production?",
        approvers=planned["approvers"],
        submitter=planned["owner"],
        project=PROJECT,
        needed=use_cases.approvals_needed(use_cases.PROJECT_FILE),
        project_file=planned["project_file"],
    )
    live = PhaseGateOperator(
        task_id="phase_gate",
        project="{{ params.project }}",
        phase="production",
        evidence={"models": [MODEL]},
        outlets=[phase_alias(PROJECT)],
    )
    judge >> live >> promoted
    to_dev >> to_test >> [ask_for_month(planned), outcomes]
    outcomes >> evidence
    [judge, promoted] >> close_month(planned)


production()
