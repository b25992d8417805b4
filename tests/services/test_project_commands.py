"""``airflow-ai project``: begin, refine, show and try a project; the schema for editors."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_ai_provider.cli import main
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.services.lifecycle import read_project_file
from airflow_ai_provider.services.noting import note
from airflow_ai_provider.services.project_templates import TEMPLATES, schema_text
from airflow_ai_provider.services.project_test import try_project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.lifecycle import Projects

ROOT = Path(__file__).parents[2]
PROJECTS = ROOT / "dags" / "projects"
TEMPLATE = PROJECTS / "flight_delays.yaml"
SCHEMA = ROOT / "airflow_ai_provider" / "schemas" / "project.schema.json"


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, Any]:
    status = main([*map(str, argv), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'ai.db'}"
    Store.open(address).close()
    return address


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_template_is_begun_and_is_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, template: str
) -> None:
    folder = tmp_path / "mine"
    status, document = run(capsys, "project", "init", folder, "--template", template)
    assert (status, document["ok"]) == (0, True)
    assert all((folder / name).is_file() for name in document["files"])
    project = read_project_file(document["project"]).project
    used = {source.suite for source in project.data_sources if source.suite}
    assert all(Path(suite).resolve().is_file() for suite in used)
    text = Path(document["project"]).read_text()
    assert text.startswith("# yaml-language-server: $schema=project.schema.json\n")
    status, _ = run(capsys, "project", "check", document["project"])
    assert status == (1 if template == "plan" else 0)  # that one is to be filled in
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    assert template == "flight_delays" or "flight_delays.yaml" not in code


def test_every_dag_and_suite_belongs_to_a_template() -> None:
    known = {part for template in TEMPLATES.values() for part in template.parts}
    found = [*(ROOT / "dags").glob("*.py"), *(ROOT / "dags" / "suites").iterdir()]
    assert {str(path.relative_to(ROOT / "dags")) for path in found} <= known


def test_criterion_that_means_nothing_is_named_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        TEMPLATE.read_text().replace("metric: roc_auc, min: 0.70", "metric: roc, min: 1")
    )
    status, document = run(capsys, "project", "check", path)
    (error,) = document["errors"]
    assert (status, error["field"]) == (1, "use_cases[0].criteria.pilot[0]")
    assert "'roc'" in error["message"]
    assert path.read_text().splitlines()[error["line"] - 1].strip() == (
        "- {name: ranks, kind: threshold, metric: roc, min: 1}"
    )


def test_nothing_is_written_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    mine = tmp_path / "projects" / "plan.yaml"
    mine.write_text("name: mine\n")
    status, document = run(capsys, "project", "init", tmp_path)
    assert (status, document["ok"]) == (1, False)
    assert "plan.yaml" in document["message"]
    assert mine.read_text() == "name: mine\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["plan.yaml"]
    assert run(capsys, "project", "init", tmp_path, "--template", "none")[0] == 1


def test_the_published_schema_is_the_models_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert SCHEMA.read_text() == schema_text(), (
        "Write it anew: python -m airflow_ai_provider.cli project schema > "
        "airflow_ai_provider/schemas/project.schema.json"
    )
    main(["project", "schema"])
    assert json.loads(capsys.readouterr().out) == json.loads(SCHEMA.read_text())


def as_json(value: Any) -> Any:
    """Return what an editor's YAML server sees: dates as texts."""
    if isinstance(value, dict):
        return {key: as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


@pytest.mark.parametrize("path", sorted(PROJECTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_every_template_and_no_unknown_field(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    content = as_json(yaml.safe_load(path.read_text()))
    assert [error.message for error in validator.iter_errors(content)] == []
    assert [*validator.iter_errors({**content, "kpi": []})]
    assert [*validator.iter_errors({**content, "people": {"boss": "anna"}})]


def test_refined_plan_keeps_every_version(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(TEMPLATE.read_text())
    status, first = run(capsys, "project", "refine", path, "--store", url)
    assert (status, first["first"], first["changes"]) == (0, True, [])
    coarse = next(
        line for line in path.read_text().splitlines() if line.strip() == "- name: hand_over"
    )
    detailed = path.read_text().replace(coarse, "  - name: on_call\n    refines: hand_over")
    detailed = detailed.replace("    coarse: true  #", "    #").replace("Late arrivals out", "Late")
    path.write_text(detailed)
    status, dry = run(capsys, "project", "refine", path, "--dry-run", "--store", url)
    assert (status, dry["kept"]) == (0, False)
    status, second = run(capsys, "project", "refine", path, "--store", url)
    changed = {change["field"]: change["what"] for change in second["changes"]}
    assert changed == {
        "title": "changed",
        "milestones.hand_over": "removed",
        "milestones.on_call": "added",
    }
    versions = Projects(Store.open(url)).versions("flight_delays")
    assert [version.text for version in versions] == [TEMPLATE.read_text(), detailed]


def test_plan_that_forgets_is_refused_and_the_project_stays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(TEMPLATE.read_text())
    run(capsys, "project", "refine", path, "--store", url)
    content = yaml.safe_load(path.read_text())
    last = content["milestones"].pop()
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    status, document = run(capsys, "project", "refine", path, "--store", url)
    assert (status, document["ok"]) == (1, False)
    assert f"milestone {last['name']} is gone" in document["message"]
    assert len(Projects(Store.open(url)).versions("flight_delays")) == 1


def test_project_is_shown_as_the_store_knows_it(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    store = Store.open(url)
    note(Projects(store), read_project_file(TEMPLATE))
    Ledger(store).append(
        GateDraft(
            kind=GateKind.PHASE, subject="project://flight_delays/pilot", verdict=Verdict.FAIL
        )
    )
    store.close()
    status, found = run(capsys, "project", "show", "flight_delays", "--store", url)
    assert (status, found["phase"]) == (0, "discovery")
    assert [gate["verdict"] for gate in found["gates"]] == ["fail"]
    assert {kpi["name"] for kpi in found["kpis"]} >= {"trusted_probability", "warnings_acted_on"}
    assert found["risks"] == {"season": None}
    assert len(found["versions"]) == 1
    assert main(["project", "show", "flight_delays", "--store", url]) == 0
    assert "nobody can tell" in capsys.readouterr().out
    assert run(capsys, "project", "show", "none", "--store", url)[0] == 2


@pytest.mark.slow
def test_batch_scoring_is_tried_whole_as_it_is_begun(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, begun = run(capsys, "project", "init", tmp_path / "mine", "--template", "batch_scoring")
    status, document = run(capsys, "project", "test", begun["project"], "--fetch")
    found = {check["name"]: check for check in document["checks"]}
    assert {name: c["message"] for name, c in found.items() if not c["ok"]} == {}
    assert status == 0
    assert "batch_scoring" in found["dags"]["message"]
    assert "60 rows" in found["data source parcels"]["message"]
    assert {"product_approach", "models_not_in_git", "compliance"} <= set(found)


def test_what_does_not_hold_is_named_with_a_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    _, begun = run(capsys, "project", "init", folder, "--template", "batch_scoring")
    project = Path(begun["project"])
    (folder / "samples" / "parcels.csv").write_text(
        "parcel_id,length_cm,width_cm,height_cm,weight_kg,street,postcode\nP1,10,5,5,-3,A 1,1\n"
    )
    (folder / "model.pkl").touch()

    def parse(_folder: Path) -> dict[str, Any]:
        return {"dags": [], "errors": {"broken.py": "Traceback\nNo module named 'x'"}}

    wrong = [c for c in try_project(project, fetch=True, parse=parse) if not c.ok]
    assert [c.name for c in wrong] == [
        *("dags", "dags", "data source parcels", "models_not_in_git"),
    ]
    assert wrong[0].message == "broken.py: No module named 'x'"
    assert "weight_kg" in wrong[2].message
    assert all(check.remedy for check in wrong)


def test_wrong_file_is_not_tried_further(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(TEMPLATE.read_text().replace("kpis:", "kpi:"))
    status, document = run(capsys, "project", "test", path)
    assert status == 1
    assert all(check["name"].startswith("file, line ") for check in document["checks"])
    assert run(capsys, "project", "test", tmp_path / "none.yaml")[0] == 2
