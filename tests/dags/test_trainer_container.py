"""The templates' training runs in a trainer's container: same code, no Airflow anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what the container lacks; find_spec answers None as there
WITHOUT_AIRFLOW = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "airflow" or name.startswith("airflow."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "airflow" else found(name, *more)
runpy.run_module("airflow_ai_provider.trainer", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_pilot_trains_without_airflow(landing: Path, tmp_path: Path) -> None:
    shutil.copytree(landing, tmp_path / "data" / "landing")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLFLOW"))}
    env |= {
        "AIRFLOW_HOME": str(tmp_path),  # where the landing folder is looked for
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "dags")]),
    }
    target = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIRFLOW, "handwritten_digits.pipeline:train_pilot",
         "--arguments", '{"candidate": "logistic", "gates": []}', "--result", target],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    evidence = json.loads(target.read_text())
    assert evidence["model_name"] == "handwritten_digits"
    assert evidence["run_id"]
    assert (tmp_path / "mlflow.db").is_file()
