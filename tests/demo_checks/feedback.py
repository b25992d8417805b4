"""Feedback, counted, and the retraining that it caused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from demo_checks.look import FLIGHTS, Demo, must, require


@must("records ingested = stored + revised + duplicates + quarantined")
def adds_up(demo: Demo) -> str:
    batches = demo.ours("SELECT * FROM feedback_batch")
    parts = ("stored", "revised", "duplicates", "quarantined")
    require(batches, "nothing was ingested")
    for batch in batches:
        total = sum(batch[part] for part in parts)
        require(batch["read"] == total, f"batch {batch['id']} read {batch['read']}, has {total}")
    stored = sum(batch["stored"] + batch["revised"] for batch in batches)
    rows = demo.ours("SELECT count(*) AS n FROM feedback")[0]["n"]
    require(rows == stored, f"{stored} were stored or revised, {rows} are there")
    return f"{len(batches)} batches, {sum(b['read'] for b in batches)} records read"


@must("ingesting the same file again adds 0")
def again(demo: Demo) -> str:
    batch = demo.ours("SELECT * FROM feedback_batch ORDER BY id LIMIT 1")[0]
    sources = json.loads(batch["sources"])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "airflow_ai.db"
        with (
            closing(
                sqlite3.connect(f"file:{demo.home / 'airflow_ai.db'}?mode=ro", uri=True)
            ) as one,
            closing(sqlite3.connect(copy)) as other,
        ):
            one.backup(other)
        command = [_script(), "feedback", "ingest", *sources, "--model", FLIGHTS, "--json"]
        done = subprocess.run(
            [*command, "--store", f"sqlite:///{copy}"], capture_output=True, text=True, check=False
        )
        require(done.returncode == 0, f"airflow-ai ended with {done.returncode}: {done.stderr}")
        counts = json.loads(done.stdout)
    require(counts["read"] == batch["read"], f"read {counts['read']}, not {batch['read']}")
    require(counts["stored"] == counts["revised"] == 0, f"it added {counts}")
    return f"{counts['read']} read, {counts['duplicates']} duplicates"


@must("the retraining run was caused by an asset event of the retrain decision")
def caused(demo: Demo) -> str:
    events = demo.airflow(
        """SELECT run.run_id, run.run_type, event.source_dag_id, event.source_task_id, event.extra
        FROM dag_run AS run
        JOIN dagrun_asset_event AS link ON link.dag_run_id = run.id
        JOIN asset_event AS event ON event.id = link.event_id
        JOIN asset ON asset.id = event.asset_id
        WHERE run.dag_id = 'production' AND asset.name = ?""",
        f"ai-retrain://{FLIGHTS}",
    )
    yes = {record["id"]: record for record in demo.gates("retrain", verdict="pass")}
    require(events, "no run of production was caused by the asset of the decision")
    for event in events:
        require(event["run_type"] == "asset_triggered", f"{event['run_id']} is {event['run_type']}")
        source = (event["source_dag_id"], event["source_task_id"])
        record = yes.get(json.loads(event["extra"])["record"])
        require(record, f"{event['run_id']} names no decision that said yes")
        require(record and source == (record["dag_id"], record["task_id"]), f"it came of {source}")
    runs = {event["run_id"] for event in events}
    causes = demo.airflow("SELECT run_id FROM dag_run WHERE dag_id = 'production'")
    require(len(causes) == len(runs) + 1, f"{len(causes)} runs of production, {len(runs)} by it")
    return f"{len(runs)} runs by {len(yes)} decisions, one by the pilots' end"


def _script() -> str:
    beside = Path(sys.executable).parent / "airflow-ai"
    found = str(beside) if beside.exists() else shutil.which("airflow-ai")
    require(found, "the script airflow-ai is not installed")
    return str(found)
