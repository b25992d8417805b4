"""DAGs run to their end by ``dag.test()``, in an Airflow of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def run_dags(program: str, *arguments: str, dags: str, folder: Path, **settings: str) -> Any:
    """Run a program of this folder beside the DAGs in ``dags``; return what it tells as JSON.

    Airflow's home and the store ``ai.db`` are in ``folder``; ``settings`` are more of the
    environment.
    """
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).with_name(dags)),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(
            {"conn_type": "ai_store", "extra": {"url": f"sqlite:///{folder}/ai.db"}}
        ),
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.edge.{program}", *arguments],
        cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
