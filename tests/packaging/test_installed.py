"""The package as installed, on each Airflow that it promises (``make test``, ``make compat``)."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest
from airflow.sdk import BaseOperator

import airflow_ai_provider
from airflow_ai_provider.get_provider_info import get_provider_info

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
OLDEST = Path("docker/constraints")
NOT_MODULES = ("templates", "__main__", "migrations.env", "migrations.versions")
# Airflow, and what it asks for in other versions
MAY_DIFFER = {
    "apache-airflow",
    "apache-airflow-core",
    "apache-airflow-task-sdk",
    "aiosqlite",
    "arrow",
    "isoduration",
}


def pins(path: Path) -> dict[str, str]:
    lines = (line.partition(" ")[0] for line in path.read_text().splitlines())
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def oldest() -> str:
    (path,) = (ROOT / OLDEST).glob("*.txt")
    return path.stem


def test_it_runs_on_the_airflow_that_is_to_be_tested() -> None:
    asked = os.environ.get("AIRFLOW_AI_TESTED_VERSION")
    found = metadata.version("apache-airflow-core")
    assert found == (asked or pins(ROOT / "constraints.txt")["apache-airflow-core"])
    if asked:  # the wheel, not the sources
        assert "site-packages" in Path(airflow_ai_provider.__file__).parts


def test_the_oldest_airflow_that_is_promised_is_the_oldest_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"apache-airflow>={oldest()}" in project["dependencies"]
    assert f"Airflow >= {oldest()}" in (ROOT / "README.md").read_text()
    assert re.search(rf"^compat:.*\n.*\b{re.escape(oldest())}$", makefile(), re.M)


def test_the_pins_of_the_oldest_airflow_differ_in_what_must() -> None:
    new, old = pins(ROOT / "constraints.txt"), pins(ROOT / OLDEST / f"{oldest()}.txt")
    assert old["apache-airflow"] == old["apache-airflow-core"] == oldest()
    differing = {name for name in new.keys() | old.keys() if new.get(name) != old.get(name)}
    assert differing == MAY_DIFFER


@pytest.mark.every_airflow
@pytest.mark.slow
def test_every_module_imports() -> None:
    found = [
        module.name
        for module in pkgutil.walk_packages(airflow_ai_provider.__path__, "airflow_ai_provider.")
        if not any(part in module.name for part in NOT_MODULES)
    ]
    assert len(found) > 400
    for name in found:
        import_module(name)


def operators() -> list[str]:
    info = get_provider_info()
    modules = [m for k in ("operators", "sensors") for g in info[k] for m in g["python-modules"]]
    return sorted(
        name
        for module in modules
        for name, thing in inspect.getmembers(import_module(module), inspect.isclass)
        if issubclass(thing, BaseOperator) and thing.__module__ == module
    )


def test_what_compat_runs_has_every_operator_and_sensor() -> None:
    paths = re.findall(r"tests/[\w./]+", (ROOT / ".ci/compat").read_text())
    files = {path for name in paths for path in sorted((ROOT / name).rglob("*.py"))}
    files |= {ROOT / name for name in paths if name.endswith(".py")}
    files |= {ROOT / "tests/kubernetes/tasks.py"}  # makes the operators of tests/kubernetes
    files.discard(ROOT / "tests/edge/test_construction.py")  # makes them and runs none
    text = "\n".join(path.read_text() for path in files)
    assert [name for name in operators() if name not in text] == []


def makefile() -> str:
    return (ROOT / "Makefile").read_text()
