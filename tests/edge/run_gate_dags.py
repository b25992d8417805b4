"""Runs DAGs in a fresh Airflow database, in a process of its own; prints what became of them.

usage: run_gate_dags.py DAG_ID...; ``AIRFLOW_HOME`` and the folder of DAG files in the environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session

from tests.edge.gate_dags import gates


def run(dag_id: str) -> dict[str, Any]:
    """Run one DAG; return the states, the results and the asset events of its tasks."""
    done = getattr(gates, f"{dag_id}_dag").test()
    with create_session() as session:
        results = session.query(XComModel).filter_by(run_id=done.run_id, dag_id=dag_id).all()
        events = session.query(AssetEvent).filter_by(source_run_id=done.run_id).all()
        return {
            "states": {ti.task_id: ti.state for ti in done.get_task_instances(session=session)},
            "results": {
                x.task_id: XComModel.deserialize_value(x)
                for x in results
                if x.key == "return_value"
            },
            "events": [{"uri": e.uri, "extra": e.extra} for e in events],
        }


if __name__ == "__main__":
    initdb()
    found = {dag_id: run(dag_id) for dag_id in sys.argv[1:]}
    print(json.dumps(found))
