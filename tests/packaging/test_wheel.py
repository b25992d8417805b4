"""The built wheel in a clean environment: what a user gets from ``pip install``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "uv", "build", "--wheel", "--out-dir", out, ROOT)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel and what it requires, and nothing else."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, home / "venv")
    run(
        sys.executable, "-m", "uv", "pip", "install", "--python", home / "venv/bin/python",
        "--constraint", ROOT / "constraints.txt", wheel,
    )  # fmt: skip
    return home


def airflow(home: Path, *command: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW") and k != "PYTHONPATH"}
    env |= {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    return run(home / "venv/bin/airflow", *command, env=env)


def test_the_wheel_carries_the_templates_and_the_migrations(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("discovery.py", "pilot.py", "production.py", "projects/flight_delays.yaml"):
        assert f"airflow_ai_provider/templates/{name}" in names
    assert "airflow_ai_provider/suites/personal_data.json" in names
    assert any(name.endswith("migrations/versions/v0001_ledger.py") for name in names)
    assert not any("__pycache__" in name or name.startswith("tests/") for name in names)


def test_airflow_lists_the_provider_the_plugin_and_the_connection_types(home: Path) -> None:
    providers = json.loads(airflow(home, "providers", "list", "--output", "json"))
    assert "airflow-ai-provider" in {provider["package_name"] for provider in providers}
    plugins = json.loads(airflow(home, "plugins", "--output", "json"))
    assert "airflow_ai" in {plugin["name"] for plugin in plugins}
    hooks = json.loads(airflow(home, "providers", "hooks", "--output", "json"))
    assert {"ai_store", "mlflow"} <= {hook["connection_type"] for hook in hooks}


FORMS = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
found = {h.connection_type: sorted(h.extra_fields or {}) for h in HookMetaService.hook_meta_data()}
print("RESULT" + json.dumps({name: found[name] for name in ("ai_store", "mlflow")}))
"""


def test_each_connection_type_has_its_form(home: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW") and k != "PYTHONPATH"}
    env["AIRFLOW_HOME"] = str(home / "airflow")
    printed = run(home / "venv/bin/python", "-c", FORMS, env=env)
    (line,) = [line for line in printed.splitlines() if line.startswith("RESULT")]
    forms = json.loads(line.removeprefix("RESULT"))
    assert sorted(forms["ai_store"]) == ["delta_options", "url"]
    assert {"registry_uri", "token", "timeout"} <= set(forms["mlflow"])


def test_the_script_answers_without_an_airflow_home(home: Path, tmp_path: Path) -> None:
    script = home / "venv/bin/airflow-ai"
    url = f"sqlite:///{tmp_path / 'a.db'}"
    run(script, "store", "migrate", "--store", url)
    assert json.loads(run(script, "ledger", "verify", "--json", "--store", url))["ok"] is True
