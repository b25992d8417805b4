"""Pilots side by side: gate the data, train candidates on leases, judge them, keep the best.

Starts when discovery has passed. Every use case of the project file that is a pilot takes part; its
training code is the package of its name, beside this file.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import data_alias, phase_alias, project_asset
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator
from airflow_ai_provider.operators.promotion import (
    ModelGateOperator,
    ModelPromoteOperator,
    PromotionApprovalOperator,
)
from airflow_ai_provider.task_groups.data import gated_data

PROJECT = "flight_delays"


@dag(
    schedule=[project_asset(PROJECT, "discovery")],
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "project": Param(
            use_cases.PROJECT_FILE,
            type="string",
            title="Project file",
            description="Absolute, or from the folder of the DAGs.",
        ),
        "candidates": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Candidates",
            description="Only these; empty means every one that a training package knows.",
        ),
    },
    tags=["ai", "pilot"],
    doc_md=__doc__,
)
def pilot():
    @task
    def deliveries(params: dict) -> list[dict]:
        return use_cases.pilot_deliveries(params["project"])

    @task
    def candidates(params: dict) -> list[dict]:
        return use_cases.pilot_candidates(params["project"], only=params["candidates"])

    @task.gpu(gpus=1, deferrable=True, project=PROJECT, phase="pilot", estimate=60)
    def train(use_case: str, candidate: str, gates: list[dict], params: dict) -> dict:
        evidence = use_cases.package(use_case).train_pilot(candidate, gates=list(gates))
        project = use_cases.load(params["project"])
        return {"evidence": evidence, "criteria": list(project.use_case(use_case).criteria.pilot)}

    @task(trigger_rule="none_failed")
    def best(verdicts: list[dict], params: dict) -> list[dict]:
        return use_cases.best_candidates(params["project"], list(verdicts))

    @task(map_index_template="{{ verdict['model_name'] }}")
    def register(verdict: dict) -> dict:
        return use_cases.register(verdict["evidence"])

    @task(trigger_rule="none_failed")
    def result(winners: list[dict], params: dict) -> dict:
        return use_cases.pilot_result(params["project"], list(winners))

    gates = gated_data(deliveries(), aliases=[data_alias("flights"), data_alias("digits")])
    trained = train.partial(gates=gates).expand_kwargs(candidates())
    verdicts = ModelGateOperator.partial(task_id="judge", on_fail="skip").expand_kwargs(trained)
    winners = best(verdicts.output)
    registered = register.expand(verdict=winners)
    in_dev = ModelPromoteOperator.partial(task_id="to_dev", environment="dev").expand_kwargs(
        registered
    )
    outcome = result(winners)
    approval = PromotionApprovalOperator(
        task_id="approve",
        subject="Do these results justify production?",
        evidence=outcome,
        assigned_users=outcome["approvers"],
        submitter=outcome["owner"],
        response_timeout=timedelta(days=7),
        fail_on_reject=False,
    )
    in_dev >> approval
    PhaseGateOperator(
        task_id="phase_gate",
        project="{{ params.project }}",
        phase="pilot",
        evidence={"pilots": winners, "approved": outcome, "approval": approval.output},
        outlets=[phase_alias(PROJECT)],
    )


pilot()
