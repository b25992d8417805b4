"""The leases, and that training happened under them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from demo_checks.look import Demo, Row, lease, lease_of, moment, must, require


@must("no lease is live")
def no_livelease(demo: Demo) -> str:
    states = demo.ours("SELECT state, count(*) AS n FROM lease GROUP BY state")
    require({row["state"] for row in states} == {"released"}, f"{[tuple(row) for row in states]}")
    live = demo.ours("SELECT count(*) AS n FROM lease_device WHERE live")[0]["n"]
    waiting = demo.ours("SELECT count(*) AS n FROM gpu_request WHERE state = 'pending'")[0]["n"]
    require(live == 0 and waiting == 0, f"{live} devices held, {waiting} requests waiting")
    return f"{states[0]['n']} leases, all released"


@must("no lease overlapped another on a device")
def no_overlap(demo: Demo) -> str:
    rows = demo.ours(
        """SELECT lease_device.host AS host, device_uuid, lease_id, granted_at, released_at,
        memory_mib, epoch
        FROM lease_device JOIN lease ON lease.id = lease_id ORDER BY granted_at"""
    )
    devices: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        require(row["memory_mib"] is None, "a share of a device was leased")
        devices.setdefault((row["host"], row["device_uuid"]), []).append(row)
    for (_, name), leases in devices.items():
        for earlier, later in pairwise(leases):
            apart = moment(earlier["released_at"]) <= moment(later["granted_at"])
            require(apart, f"{earlier['lease_id']} and {later['lease_id']} overlap on {name}")
            require(earlier["epoch"] < later["epoch"], f"the fence did not rise on {name}")
    return ", ".join(f"{len(leases)} on {name}" for (_, name), leases in sorted(devices.items()))


@must("every training ran under a lease")
def leased(demo: Demo) -> str:
    tasks = demo.airflow(
        "SELECT * FROM task_instance WHERE custom_operator_name = '@task.gpu' AND state = 'success'"
    )
    require(tasks, "no task ran under @task.gpu")
    for task in tasks:
        place = tuple(task[name] for name in ("dag_id", "run_id", "task_id", "map_index"))
        found = demo.ours(
            "SELECT id FROM lease WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?"
            " AND activated_at IS NOT NULL",
            *place,
        )
        require(found, f"{place} has no lease")
    runs = [run for found in demo.mlflow.search_experiments() for run in _runs(demo, found)]
    require(runs, "MLflow has no run")
    for run in runs:
        held = lease(demo, run.data.tags.get("gpu_lease", "none"))
        began = datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc)
        within = moment(held["granted_at"]) <= began <= moment(held["released_at"])
        require(within, f"MLflow run {run.info.run_id} began outside its lease")
    for record in demo.gates("model"):
        lease_of(demo, record)
    return f"{len(tasks)} tasks, {len(runs)} MLflow runs"


def _runs(demo: Demo, experiment: Any) -> Iterator[Any]:
    yield from demo.mlflow.search_runs([experiment.experiment_id])
