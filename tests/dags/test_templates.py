"""The templates parse, lightly, and say what they are to the person who starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"
HEAVY = ("mlflow", "great_expectations", "sklearn", "pandas", "duckdb")
NAMES = sorted(
    [
        *("demo_feed", "discovery", "feedback", "maintenance", "pilot", "production", "scoring"),
        "rollback",
        *("batch_scoring", "load_sheets_feed", "load_sheets_pilot"),
    ]
)
SCRIPT = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow_ai_provider.core.errors import FunctionNotPortableError
from airflow_ai_provider.core.gpu.shipping import ship
def stays(task):
    try:
        given = getattr(task, "partial_kwargs", {})
        ship(given.get("python_callable") or task.python_callable, [], {})
    except FunctionNotPortableError as error:
        return str(error)
bag = DagBag(sys.argv[1])
found = {}
for dag in bag.dags.values():
    again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    found[dag.dag_id] = {
        "tasks": sorted(again.task_dict),
        "operators": {name: task.task_type for name, task in again.task_dict.items()},
        "params": {name: again.params.get_param(name).schema for name in again.params},
        "doc": bool(dag.doc_md),
        "gpu": {
            name: stays(task)
            for name, task in dag.task_dict.items()
            if task.task_type == "_GpuDecoratedOperator"
        },
        "assets": sorted(a.name for _, a in again.timetable.asset_condition.iter_assets()),
    }
heavy = [name for name in sys.argv[2].split(",") if name in sys.modules]
print("RESULT" + json.dumps({"errors": bag.import_errors, "dags": found, "heavy": heavy}))
"""


@cache
def parsed() -> dict[str, Any]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    home = Path(os.environ.get("TMPDIR", "/tmp")) / f"templates-{os.getpid()}"
    env |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join([str(DAGS), str(DAGS.parent)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(DAGS), ",".join(HEAVY)],
        env=env, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[-1].removeprefix("RESULT"))


def test_every_template_parses_and_survives_serialisation() -> None:
    assert parsed()["errors"] == {}
    assert sorted(parsed()["dags"]) == NAMES


def test_parsing_imports_nothing_heavy() -> None:
    assert parsed()["heavy"] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_template_has_a_form_and_says_what_it_is(name: str) -> None:
    dag = parsed()["dags"][name]
    assert dag["doc"]
    assert dag["params"]
    for schema in dag["params"].values():
        assert schema.get("title")
        assert schema.get("type")


def test_training_runs_under_a_lease() -> None:
    for name in ("pilot", "production"):
        assert parsed()["dags"][name]["operators"]["train"] == "_GpuDecoratedOperator"


def test_training_may_run_in_a_pod_by_configuration_alone() -> None:
    gpu = {name: found["gpu"] for name, found in parsed()["dags"].items() if found["gpu"]}
    assert sorted(gpu) == ["load_sheets_pilot", "pilot", "production"]
    assert all(found == {"train": None} for found in gpu.values())


def test_a_decision_to_go_back_starts_the_maintenance() -> None:
    found = parsed()["dags"]["maintenance"]
    assert found["assets"] == ["ai-rollback://flight_delays"]
    assert {"way_back", "ask_first", "ask", "go_back"} <= set(found["tasks"])
    feedback = parsed()["dags"]["feedback"]
    assert {"review", "ingest", "measure", "decide"} <= set(feedback["tasks"])
