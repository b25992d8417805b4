"""Runs the DAG batch_scoring in a fresh Airflow database and prints what became of its tasks."""

from __future__ import annotations

import json

from airflow.utils.db import initdb

if __name__ == "__main__":
    initdb()
    import batch_scoring

    done = batch_scoring.batch_scoring().test()
    print(json.dumps({ti.task_id: ti.state for ti in done.get_task_instances()}))
