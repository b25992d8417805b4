"""Take an environment of a model back to a version that it held before, when a person asks for it.

The page *Models* in Airflow's navigation starts it as whoever is logged in; the record names them.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from airflow_ai_provider.operators.promotion import ModelRollbackOperator


@dag(
    schedule=None,
    params={
        "model_name": Param(type="string", minLength=1, title="Model"),
        "environment": Param("production", type="string", minLength=1, title="Environment"),
        "target": Param(
            "previous",
            type="string",
            minLength=1,
            title="To",
            description="previous, newest_good (never rolled back for cause), or a version",
        ),
        "reason": Param(type="string", minLength=1, maxLength=500, title="Why"),
    },
    tags=["ai", "promotion"],
    doc_md=__doc__,
)
def rollback():
    ModelRollbackOperator(
        task_id="roll_back",
        model_name="{{ params.model_name }}",
        environment="{{ params.environment }}",
        target="{{ params.target }}",
        reason="{{ params.reason }}",
    )


rollback()
