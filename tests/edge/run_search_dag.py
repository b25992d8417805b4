"""Runs the DAG of searches in a fresh Airflow database; prints what became of its tasks."""

from __future__ import annotations

import json

from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session

if __name__ == "__main__":
    initdb()
    from tests.edge.search_dags.searches import searching_dag

    done = searching_dag.test()
    with create_session() as session:
        states = [
            (ti.task_id, ti.map_index, ti.state) for ti in done.get_task_instances(session=session)
        ]
        found = session.query(XComModel).filter_by(run_id=done.run_id, key="return_value").all()
        results = [(x.task_id, x.map_index, XComModel.deserialize_value(x)) for x in found]
    print(json.dumps({"state": done.state, "states": states, "results": results}))
