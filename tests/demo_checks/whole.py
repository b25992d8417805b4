"""The ledger as a whole, the runs as a whole, the users' secrets."""

from __future__ import annotations

import hashlib
import json

from demo_checks.look import Demo, must, require


@must("the ledger's chain is whole")
def chain(demo: Demo) -> str:
    import rfc8785

    previous = "0" * 64
    for sequence, record in enumerate(demo.records, start=1):
        hidden = {"hash", "sequence", "decision_key"}
        content = {name: value for name, value in record.items() if name not in hidden}
        found = hashlib.sha256(rfc8785.dumps(content)).hexdigest()
        require(record["sequence"] == sequence, f"record {sequence} is missing")
        require(record["previous_hash"] == previous, f"record {sequence} does not follow")
        require(record["hash"] == found, f"record {sequence} was changed")
        previous = record["hash"]
    return f"{len(demo.records)} records"


@must("every failed task is a gate that refused")
def failures(demo: Demo) -> str:
    refused = {
        (r["dag_id"], r["run_id"], r["task_id"], r["map_index"])
        for r in demo.records
        if r["verdict"] == "fail"
    }
    tasks = demo.airflow("SELECT * FROM task_instance WHERE state = 'failed'")
    for task in tasks:
        place = tuple(task[name] for name in ("dag_id", "run_id", "task_id", "map_index"))
        require(place in refused, f"{place} failed by itself")
    live = demo.airflow("SELECT * FROM dag_run WHERE state IN ('queued', 'running')")
    require(not live, f"{[tuple(run) for run in live]} never ended")
    return f"{len(tasks)} failed tasks"


@must("the passwords are for their owner's eyes")
def private(demo: Demo) -> str:
    mode = (demo.home / "passwords.json").stat().st_mode & 0o777
    require(mode == 0o600, f"the file's mode is {mode:o}")
    users = json.loads((demo.home / "passwords.json").read_text())
    require(set(users) == {"sponsor", "ml", "viewer"}, f"users are {sorted(users)}")
    report = (demo.home / "report.html").read_text()
    require(not any(secret in report for secret in users.values()), "the report tells a password")
    return "0600"
