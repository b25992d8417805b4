"""Pilots side by side: gate the data, train candidates on leases, judge them, keep the best.

Starts when discovery has passed. Copy this file, its project file and the training packages named
there; write your own ``train``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task

from airflow_ai_provider.assets import data_alias, project_asset
from airflow_ai_provider.operators.lifecycle import PhaseGateOperator
from airflow_ai_provider.task_groups.pilot import compete, gated_data, keep_the_best

PROJECT = "flight_delays"


@dag(
    schedule=[project_asset(PROJECT, "discovery")],
    start_date=datetime(2013, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={
        "project": Param(
            "projects/flight_delays.yaml",
            type="string",
            title="Project file",
            description="Path, from the folder of the DAGs.",
        ),
        "candidates": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Candidates",
            description="Only these; empty means every one that the training package knows.",
        ),
    },
    tags=["ai", "pilot"],
    doc_md=__doc__,
)
def pilot():
    @task
    def partitions(params: dict) -> list[dict]:
        from project_plan import pilot_partitions

        return pilot_partitions(params["project"])

    @task
    def candidates(params: dict) -> list[dict]:
        from project_plan import pilot_candidates

        return pilot_candidates(params["project"], only=params["candidates"])

    @task.gpu(gpus=1, project=PROJECT, phase="pilot", estimate=60)
    def train(use_case: str, candidate: str, gates: list[dict], params: dict) -> dict:
        from project_plan import train_pilot

        return train_pilot(params["project"], use_case, candidate, gates)

    gates = gated_data(partitions(), aliases=[data_alias("flights"), data_alias("digits")])
    verdicts = compete(train.partial(gates=gates), candidates())
    pilots = keep_the_best(verdicts, project="{{ params.project }}")

    PhaseGateOperator.partial(
        task_id="phase_gate", project="{{ params.project }}", phase="pilot", on_fail="skip"
    ).expand(evidence=pilots)


pilot()
