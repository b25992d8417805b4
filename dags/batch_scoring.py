"""Batch scoring without training: gate each delivery, score it by rules, gate the scores.

Started when parcels are announced (the asset `ai-landing://parcels`), or by hand: it then takes
every file that the project file's data source `parcels` names; a small one comes with the template.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task

import use_cases
from airflow_ai_provider.assets import data_alias, landing_asset, predictions_asset
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.task_groups.data import gated_data
from parcels import rules

PROJECT_FILE = "projects/batch_scoring.yaml"
SCORES_SUITE = use_cases.HERE / "suites" / "parcel_scores.json"


@dag(
    schedule=[landing_asset("parcels")],
    catchup=False,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=5)},
    params={"project": Param(PROJECT_FILE, type="string", title="Project file")},
    tags=["ai", "scoring"],
    doc_md=__doc__,
)
def batch_scoring():
    @task
    def deliveries(params: dict) -> list[dict]:
        return use_cases.deliveries(use_cases.load(params["project"]), "parcels")

    @task(map_index_template="{{ delivery['partition'] }}")
    def score(delivery: dict) -> dict:
        scored = rules.score(delivery["data"], use_cases.DATA / "scores")
        return {
            "data": scored["scores"],
            "suite": str(SCORES_SUITE),
            "dataset": "parcel_scores",
            "partition": scored["delivery"],
        }

    @task(outlets=[predictions_asset("batch_scoring")])
    def publish(reports: list[dict], outlet_events=None) -> list[str]:
        partitions = [report["partition"] for report in reports]
        outlet_events[predictions_asset("batch_scoring")].extra = {"partitions": partitions}
        return partitions

    delivered = deliveries()
    announced = gated_data(delivered, aliases=[data_alias("parcels")])
    scored = score.expand(delivery=delivered)
    announced >> scored
    good = DataQualityGateOperator.partial(
        task_id="gate_scores", outlets=[data_alias("parcel_scores")]
    ).expand_kwargs(scored)
    publish(good.output)


batch_scoring()
