"""As many people are asked about a release as the project file wants."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).parents[2] / "dags"
SCRIPT = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dag = bag.dags["production"]
print("RESULT" + json.dumps({t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks}))
"""


def upstream(dags: Path, home: Path) -> dict[str, list[str]]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    env |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join([str(dags), str(DAGS.parent)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(dags / "production.py")],
        env=env, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    found: dict[str, list[str]] = json.loads(lines[-1].removeprefix("RESULT"))
    return found


@pytest.mark.slow
def test_two_of_three_are_asked_after_staging_and_before_production(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    project = dags / "projects" / "flight_delays.yaml"
    text = project.read_text()
    assert "approvals_needed: 1\n" in text
    project.write_text(text.replace("approvals_needed: 1\n", "approvals_needed: 2\n"))
    found = upstream(dags, tmp_path / "home")
    group = "promote_to_production"
    several = f"{group}.approved_by_several"
    for number in (1, 2):
        assert f"{group}.to_staging" in found[f"{several}.approve_{number}"]
        assert f"{several}.approve_{number}" in found[f"{several}.agreed"]
    assert f"{several}.agreed" in found[f"{group}.to_production"]
    assert f"{several}.agreed" in found[f"{group}.card"]
    assert f"{group}.card" not in found[f"{group}.to_production"], "no move waits for its card"
    assert f"{group}.approve" not in found
    assert "measure" in found["evaluate"]
    assert "wait_for_outcomes" not in found["measure"], "it costs no time of the decision"
