"""A DAG file pays for what it imports at every parse: ours must cost next to nothing."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

LIMIT = 0.15  # CPU seconds beyond ``import airflow.sdk``
EDGE = ("hooks", "operators", "sensors", "triggers", "decorators", "notifications", "links")
HEAVY = (
    "alembic",
    "duckdb",
    "great_expectations",
    "mlflow",
    "numpy",
    "pandas",
    "psycopg",
    "pyarrow",
    "sklearn",
)
# what a module extends has its own price, which whoever imports it pays anyway
_POD = "airflow.providers.cncf.kubernetes.{}.pod"
_JOB = "airflow.providers.cncf.kubernetes.operators.job"
PARENTS = {
    "airflow_ai_provider.decorators._gpu_pod": _POD.format("operators"),
    "airflow_ai_provider.decorators._gpu_trial": _POD.format("operators"),
    "airflow_ai_provider.operators.gpu_job": _JOB,
    "airflow_ai_provider.operators._gpu_job_following": _JOB,
    "airflow_ai_provider.operators._gpu_job_leases": _JOB,
    "airflow_ai_provider.operators._gpu_pod_access": _POD.format("operators"),
    "airflow_ai_provider.operators._gpu_pod_admission": _POD.format("operators"),
    "airflow_ai_provider.operators._gpu_pod_ending": _POD.format("operators"),
    "airflow_ai_provider.operators._gpu_pod_manager": _POD.format("operators"),
    "airflow_ai_provider.operators.gpu_kubernetes": _POD.format("operators"),
    "airflow_ai_provider.triggers.gpu_kubernetes": _POD.format("triggers"),
}
TIMES = 3  # the least counts: a busy machine only adds
# imports airflow.sdk once, then each module in forked children of its own
PROBE = """
import importlib, json, os, sys, time
import airflow.sdk
def once(module):
    reader, writer = os.pipe()
    if os.fork() == 0:
        heavy_before = {name for name in HEAVY if name in sys.modules}
        started = time.process_time()
        importlib.import_module(module)
        spent = time.process_time() - started
        heavy = sorted(name for name in HEAVY if name in sys.modules and name not in heavy_before)
        os.write(writer, json.dumps([spent, heavy]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        answer = pipe.read()
    os.wait()
    return json.loads(answer) if answer else [None, []]
found = {}
for module in sorted(MODULES, key=lambda name: name in PARENTS):  # those with parents last
    if module in PARENTS:
        importlib.import_module(PARENTS[module])
    seen = [once(module) for _ in range(TIMES)]
    spent = [s for s, _ in seen]
    found[module] = {"spent": None if None in spent else min(spent),
                     "heavy": seen[0][1]}
print(json.dumps(found))
"""


def edge_modules() -> list[str]:
    found = ["airflow_ai_provider.assets", "airflow_ai_provider.get_provider_info"]
    for kind in EDGE:
        try:
            package = import_module(f"airflow_ai_provider.{kind}")
        except ModuleNotFoundError:
            continue
        found += [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
    return found


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, Any]]:
    values = (
        f"HEAVY, MODULES, TIMES = {HEAVY!r}, {edge_modules()!r}, {TIMES}\nPARENTS = {PARENTS!r}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", values + PROBE],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("module", edge_modules())
def test_an_edge_module_costs_little(module: str, costs: dict[str, dict[str, Any]]) -> None:
    spent = costs[module]["spent"]
    assert spent is not None, "it does not import"
    assert spent < LIMIT


@pytest.mark.parametrize("module", edge_modules())
def test_an_edge_module_imports_nothing_heavy(
    module: str, costs: dict[str, dict[str, Any]]
) -> None:
    assert costs[module]["heavy"] == []
