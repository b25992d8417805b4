"""The files in docker/ before the tools that they are for; what is not here is skipped by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
MANIFESTS = sorted(DOCKER.glob("kubernetes/*.yaml"))
PLACES = sorted(DOCKER.glob("helm/values-*.yaml"))
pytestmark = pytest.mark.fleet


def merged(below: Any, above: Any) -> Any:
    """Return values with others laid over them, as Helm does."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        key: merged(below[key], above[key]) if key in below and key in above else
        above.get(key, below.get(key))
        for key in below.keys() | above.keys()
    }  # fmt: skip


def test_values_are_laid_over_one_another() -> None:
    assert merged({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}}


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.name)
def test_the_values_fit_the_charts_schema(path: Path) -> None:
    chart = os.environ.get("AIRFLOW_CHART")
    if chart is None:
        pytest.skip("no package registry has Airflow's chart; AIRFLOW_CHART names no folder of it")
    schema = json.loads((Path(chart) / "values.schema.json").read_text())
    files = (Path(chart) / "values.yaml", DOCKER / "helm/values.yaml", path)
    values: Any = {}
    for file in files:
        values = merged(values, yaml.safe_load(file.read_text()))
    jsonschema.validators.validator_for(schema)(schema).validate(values)


def kubectl(*words: str, **given: Any) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("kubectl")
    if tool is None or "KUBECONFIG" not in os.environ:
        pytest.skip("kubectl or a cluster that KUBECONFIG names is not here")
    return subprocess.run([tool, *words], capture_output=True, text=True, check=False, **given)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_server_takes_a_manifest(path: Path) -> None:
    text = path.read_text().replace("namespace: airflow", "namespace: default")
    if path.name == "kueue.yaml":
        found = kubectl("api-resources", "--api-group", "kueue.x-k8s.io", "--output", "name")
        if not found.stdout.strip():
            pytest.skip("the cluster has no Kueue")
    taken = kubectl("apply", "--dry-run=server", "--filename", "-", input=text)
    assert taken.returncode == 0, taken.stderr
