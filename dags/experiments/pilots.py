"""Pilots side by side, as a DAG of any project: gate data, train on leases, judge, approve."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import data_alias, phase_alias, project_asset
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator
from airflow_ai_provider.operators.model_card import ModelCardOperator
from airflow_ai_provider.operators.promotion import (
    ModelGateOperator,
    ModelPromoteOperator,
    PromotionApprovalOperator,
)
from airflow_ai_provider.task_groups.data import gated_data


def pilot_dag(
    dag_id: str,
    *,
    project: str,
    project_file: str,
    datasets: Sequence[str],
    doc: str | None,
    on_refusal: str = "fail",
) -> Any:
    """Return the DAG of the pilots of ``project``; it starts when discovery has passed.

    ``datasets`` are the data sources that the pilots learn from. ``on_refusal`` is what a refusal
    of the phase's gate does to the run.
    """

    @dag(
        dag_id,
        schedule=[project_asset(project, "discovery")],
        start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
        params={
            "project": Param(
                project_file,
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
        doc_md=doc,
    )
    def pilot():
        @task
        def deliveries(params: dict) -> list[dict]:
            return use_cases.pilot_deliveries(params["project"])

        @task
        def candidates(params: dict) -> list[dict]:
            return use_cases.pilot_candidates(params["project"], only=params["candidates"])

        @task.gpu(gpus=1, deferrable=True, project=project, phase="pilot", estimate=60)
        def train(use_case: str, candidate: str, criteria: list, gates: list[dict]) -> dict:
            from importlib import import_module  # nothing of this file: it may run in a pod

            pipeline = import_module(f"{use_case}.pipeline")
            evidence = pipeline.train_pilot(candidate, gates=list(gates))
            return {"evidence": evidence, "criteria": criteria}

        @task(trigger_rule="none_failed")
        def best(verdicts: list[dict], params: dict) -> list[dict]:
            return use_cases.best_candidates(params["project"], list(verdicts))

        @task(map_index_template="{{ verdict['model_name'] }}")
        def register(verdict: dict) -> dict:
            return use_cases.register(verdict["evidence"])

        @task
        def documents(winners: list[dict], params: dict) -> list[dict]:
            return use_cases.documents(params["project"], list(winners))

        @task(trigger_rule="none_failed")
        def result(winners: list[dict], params: dict) -> dict:
            return use_cases.pilot_result(params["project"], list(winners))

        gates = gated_data(deliveries(), aliases=[data_alias(name) for name in datasets])
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
        described = documents(winners)
        cards = ModelCardOperator.partial(task_id="card").expand_kwargs(described)
        registered >> described
        [in_dev, cards] >> approval
        PhaseGateOperator(
            task_id="phase_gate",
            project="{{ params.project }}",
            phase="pilot",
            on_fail=on_refusal,
            evidence={"pilots": winners, "approved": outcome, "approval": approval.output},
            outlets=[phase_alias(project)],
        )

    return pilot()
