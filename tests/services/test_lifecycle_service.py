"""Milestones and phases decided on a real store: what is kept, what is refused, what counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.errors import (
    LifecycleError,
    MilestoneIncompleteError,
    ProjectFileError,
)
from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict, digest
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES
from airflow_ai_provider.core.promotion.logistics import NEEDED
from airflow_ai_provider.services.lifecycle import (
    Caller,
    Lifecycle,
    load_project,
    read_project_file,
)
from airflow_ai_provider.store.engine import Store
from tests.services.promotion_registry import FileRegistry

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
FILE = read_project_file(TEMPLATE)
CALLER = Caller(decided_by="MilestoneOperator", key=lambda draft: f"k:{digest(draft.criteria)}")


BETTER = Criterion(
    name="ranks_better_than_baseline",
    limit=0.03,
    observed=0.05,
    verdict=Verdict.PASS,
    sentence="It ranks better.",
)


def registry_in(folder: Path, **tags: str) -> FileRegistry:
    """Return a registry with a version of each pilot, with all that its logistics need."""
    registry = FileRegistry(folder / "registry.db")
    for name in ("flight_delays", "handwritten_digits"):
        registry.create_version(
            name,
            model_uri="models:/m-1",
            run_id=f"run-{name}",
            tags={**dict.fromkeys(NEEDED.values(), "d" * 64), **tags},
        )
    return registry


def code_in(folder: Path) -> Path:
    """Return a folder with one DAG of the project, put together from our operators."""
    code = folder / "code"
    code.mkdir()
    (code / "pilot.py").write_text(
        "from airflow.sdk import DAG\n"
        "from airflow_ai_provider.operators.lifecycle import PhaseGateOperator\n"
        "with DAG('pilot'):\n"
        "    PhaseGateOperator(task_id='gate', project='flight_delays.yaml', phase='pilot')\n"
    )
    return code


def around(tmp_path: Path) -> dict[str, Any]:
    return {"code_folder": code_in(tmp_path), "registry": registry_in(tmp_path)}


def measured_by(name: str, tmp_path: Path) -> dict[str, Any]:
    sample = tmp_path / "sample.parquet"
    sample.touch()
    definition = next(m for m in MILESTONES if m.name == name)
    values: dict[str, Any] = {d.name: {"looked": True} for d in definition.measured}
    if "curated_data_sets" in values:
        values["curated_data_sets"] = {"samples": [{"name": "flights", "path": str(sample)}]}
    return values


def complete_all(life: Lifecycle, tmp_path: Path) -> None:
    for definition in MILESTONES:
        life.complete_milestone(
            FILE, definition.name, measured=measured_by(definition.name, tmp_path), caller=CALLER
        )


def judged(life: Lifecycle, name: str, *, own: bool = True, passed: bool = True) -> dict[str, Any]:
    """Return a model gate's result whose record is in the ledger."""
    evidence = {
        "model_name": name,
        "run_id": f"run-{name}",
        "data": {"name": "flights/2013-03", "own": own},
    }
    draft = GateDraft(
        kind=GateKind.MODEL,
        subject=f"mlflow://{name}/runs/r1",
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        criteria=(BETTER,),
        evidence={"evidence_hash": digest(evidence)},
    )
    record = life.ledger.append(draft)
    return {
        "model_name": name,
        "record": record.id,
        "evidence": evidence,
        "evidence_hash": digest(evidence),
    }


def approved(
    life: Lifecycle, shown: dict[str, Any], *, by: str = "sponsor", verdict: Verdict = Verdict.PASS
) -> dict[str, Any]:
    """Return an approval's result whose record is in the ledger."""
    draft = GateDraft(
        kind=GateKind.APPROVAL,
        subject="airflow://pilot/approve",
        verdict=verdict,
        evidence={"evidence_hash": digest(shown)},
        decided_by=by,
    )
    return {"record": life.ledger.append(draft).id, "evidence_hash": digest(shown)}


def pilot_evidence(life: Lifecycle, **answer: Any) -> dict[str, Any]:
    results = [
        judged(life, "flight_delays"),
        judged(life, "handwritten_digits", own=False),
    ]
    shown = {"pilots": results, "approvers": ["sponsor"]}
    return {"pilots": results, "approved": shown, "approval": approved(life, shown, **answer)}


def test_milestone_keeps_its_deliverables_and_who_answered(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    measured = measured_by("ai_strategy", tmp_path)
    result = life.complete_milestone(
        FILE,
        "ai_strategy",
        measured=measured,
        answers={"growth_strategy": "one model first"},
        answered_by="sponsor",
        caller=CALLER,
    )
    rows = {(row.name, row.kind): row for row in life.projects.deliverables("flight_delays")}
    assert rows["growth_strategy", "p"].value == "one model first"
    assert rows["growth_strategy", "p"].by == "sponsor"
    assert rows["platform_architecture", "m"].by == "MilestoneOperator"
    assert rows["platform_architecture", "p"].value.startswith("Airflow runs every step")
    assert {row.record for row in rows.values()} == {result.record.id}
    assert result.record.subject == "project://flight_delays/discovery/ai_strategy"
    assert result.record.decided_by == "sponsor"
    assert "one model first" not in json.dumps(result.record.evidence)


def test_same_decision_again_adds_nothing(store: Store) -> None:
    life = Lifecycle(store)
    for _ in range(2):
        life.complete_milestone(FILE, "kick_off", answered_by="sponsor", caller=CALLER)
    assert len(life.projects.deliverables("flight_delays")) == 6
    assert life.ledger.verify() == (1, None)


def test_new_answers_hold_and_the_old_stay_in_the_ledger(store: Store) -> None:
    life = Lifecycle(store)
    for answer in ("ask anna", "ask ben"):
        life.complete_milestone(FILE, "kick_off", answers={"point_person": answer})
    rows = {row.name: row.value for row in life.projects.deliverables("flight_delays")}
    assert rows["point_person"] == "ask ben"
    assert len(rows) == 6
    assert life.ledger.verify() == (2, None)


def test_incomplete_milestone_is_recorded_and_keeps_nothing(store: Store) -> None:
    life = Lifecycle(store)
    with pytest.raises(MilestoneIncompleteError, match="not measured") as caught:
        life.complete_milestone(FILE, "process_and_technology", answers={})
    assert caught.value.facts["missing"] == ["ai_infrastructure", "gap_analysis"]
    assert life.ledger.get(caught.value.facts["record"]).verdict == "fail"
    assert life.projects.deliverables("flight_delays") == []
    assert life.ledger.verify()[1] is None


def test_vanished_sample_undoes_its_milestone(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    complete_all(life, tmp_path)
    assert life.judge_phase(FILE, "discovery").passed
    (tmp_path / "sample.parquet").unlink()
    result = life.judge_phase(FILE, "discovery")
    assert [c.name for c in result.decision.failed] == ["milestones"]
    measured = {
        **{d.name: {"a": 1} for d in MILESTONES[1].measured},
        "curated_data_sets": {"samples": [{"path": str(tmp_path / "gone")}]},
    }
    with pytest.raises(MilestoneIncompleteError, match="not there"):
        life.complete_milestone(FILE, "data_landscape", measured=measured)


def test_discovery_passes_when_all_is_there_and_the_project_moves_on(
    store: Store, tmp_path: Path
) -> None:
    life = Lifecycle(store)
    refused = life.judge_phase(FILE, "discovery")
    assert not refused.passed
    assert life.projects.all()[0].phase == "discovery"
    assert "kick_off" in str(refused.error())
    complete_all(life, tmp_path)
    result = life.judge_phase(FILE, "discovery")
    assert result.report()["admitted"] == ["flight_delays", "handwritten_digits"]
    assert result.record.evidence["prioritised"][0] == "flight_delays"
    assert life.projects.all()[0].phase == "pilot"
    life.judge_phase(FILE, "discovery")
    assert life.projects.all()[0].phase == "pilot"


def test_public_pilot_is_refused_on_a_record_of_its_own(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    result = life.judge_phase(FILE, "pilot", evidence=pilot_evidence(life), **around(tmp_path))
    report = result.report()
    assert report["passed"]
    assert report["admitted"] == ["flight_delays"]
    assert report["refused"] == {"handwritten_digits": ["own_data_results"]}
    digits = life.ledger.get(report["pilot_records"]["handwritten_digits"])
    assert (digits.subject, digits.verdict) == (
        "project://flight_delays/pilot/handwritten_digits",
        "fail",
    )


def changed_evidence(evidence: dict[str, Any]) -> None:
    evidence["pilots"][0]["evidence"]["data"]["name"] = "flights/2013-02"


def another_s_record(evidence: dict[str, Any]) -> None:
    evidence["pilots"][0]["record"] = evidence["pilots"][1]["record"]


def unknown_record(evidence: dict[str, Any]) -> None:
    evidence["pilots"][0]["record"] = "no such record"


@pytest.mark.parametrize("forge", [changed_evidence, another_s_record, unknown_record])
def test_forged_results_count_for_nothing(store: Store, tmp_path: Path, forge: Any) -> None:
    life = Lifecycle(store)
    evidence = pilot_evidence(life)
    forge(evidence)
    result = life.judge_phase(FILE, "pilot", evidence=evidence, **around(tmp_path))
    failed = {c.name for c in result.decision.by_pilot["flight_delays"] if c.verdict == "fail"}
    assert "model_gate" in failed
    assert result.decision.admitted == ()


@pytest.mark.parametrize(
    "answer", [{"by": "viewer"}, {"by": "ml"}, {"verdict": Verdict.FAIL}], ids=str
)
def test_only_the_sponsor_s_yes_is_an_approval(
    store: Store, tmp_path: Path, answer: dict[str, Any]
) -> None:
    life = Lifecycle(store)
    evidence = pilot_evidence(life, **answer)
    result = life.judge_phase(FILE, "pilot", evidence=evidence, **around(tmp_path))
    assert [c.name for c in result.decision.failed] == ["approval"]


def test_approval_of_something_else_is_none(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    evidence = pilot_evidence(life)
    evidence["approved"] = {"pilots": []}
    result = life.judge_phase(FILE, "pilot", evidence=evidence, **around(tmp_path))
    assert [c.name for c in result.decision.failed] == ["approval"]


def test_model_beside_the_code_is_found(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    looked_at = around(tmp_path)
    (looked_at["code_folder"] / "model.pkl").write_bytes(b"x")
    result = life.judge_phase(FILE, "pilot", evidence=pilot_evidence(life), **looked_at)
    (failed,) = result.decision.failed
    assert failed.name == "models_not_in_git"
    assert "model.pkl" in failed.sentence


def test_production_needs_stored_feedback(store: Store) -> None:
    life = Lifecycle(store)
    promoted = GateDraft(
        kind=GateKind.PROMOTION,
        subject="mlflow://flight_delays/1",
        verdict=Verdict.PASS,
        evidence={"environment": "production", "to": "1"},
    )
    life.ledger.append(promoted)
    assert life.finder.live_models(FILE.project) == ["flight_delays"]
    result = life.judge_phase(FILE, "production", evidence={"models": ["handwritten_digits"]})
    assert [c.name for c in result.decision.failed] == ["feedback_loop", "live_model_limit"]


@pytest.mark.parametrize(
    ("phase", "evidence"),
    [
        ("maintenance", {}),
        ("launch", {}),
        ("pilot", {"pilots": "all"}),
        ("pilot", {"pilots": [3]}),
        ("pilot", {"approval": "yes"}),
        ("production", {"models": "flight_delays"}),
    ],
)
def test_what_means_nothing_is_refused_untouched(
    store: Store, phase: str, evidence: dict[str, Any]
) -> None:
    life = Lifecycle(store)
    with pytest.raises(LifecycleError):
        life.judge_phase(FILE, phase, evidence=evidence)
    assert life.ledger.verify() == (0, None)


def test_project_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: caf\xe9")
    for path in (tmp_path / "none.yaml", tmp_path, latin):
        with pytest.raises(ProjectFileError) as caught:
            load_project(path)
        assert str(path) in caught.value.message
        assert caught.value.facts["errors"][0]["line"] == 1


def test_retrospective_is_kept_like_a_milestone_of_its_phase(store: Store) -> None:
    life = Lifecycle(store)
    with pytest.raises(MilestoneIncompleteError) as caught:
        life.complete_milestone(FILE, "pilot_retrospective", answers={"went_well": "the gates"})
    assert caught.value.facts["missing"] == ["went_badly", "changes"]
    answers = {"went_well": "the gates", "went_badly": "late data", "changes": "ask earlier"}
    result = life.complete_milestone(
        FILE, "pilot_retrospective", answers=answers, answered_by="ml", caller=CALLER
    )
    assert result.record.subject == "project://flight_delays/pilot/pilot_retrospective"
    kept = {row.name: row.value for row in life.projects.deliverables("flight_delays")}
    assert kept == answers


def test_each_version_of_a_file_is_kept_once(store: Store, tmp_path: Path) -> None:
    life = Lifecycle(store)
    path = tmp_path / "plan.yaml"
    texts = [TEMPLATE.read_text(), TEMPLATE.read_text() + "# later\n", TEMPLATE.read_text()]
    for text in texts:
        path.write_text(text)
        life.judge_phase(read_project_file(path), "discovery")
    assert [version.text for version in life.projects.versions("flight_delays")] == texts[:2]
    row = life.projects.get("flight_delays")
    assert row is not None
    assert row.digest == read_project_file(TEMPLATE).digest
