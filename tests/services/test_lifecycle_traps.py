"""Each trap as a project on disk that falls into it, and the same project without the trap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.adapters.repository import HISTORY, model_files
from airflow_ai_provider.core.errors import LifecycleError
from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.promotion.logistics import NEEDED
from tests.services.lifecycle_project import Scene

TRAPS: dict[str, tuple[str, Callable[[Scene], None]]] = {}


def trap(name: str, phase: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Register what makes a good project fall into the trap ``name`` at the gate of ``phase``."""

    def register(fall: Callable[[Scene], None]) -> Callable[[Scene], None]:
        TRAPS[name] = (phase, fall)
        return fall

    return register


@trap("business_need", "discovery")
def _(scene: Scene) -> None:
    scene.text = scene.text.replace("business_need: >-", "business_need: AI\nstakes: >-", 1)
    scene.drop("stakes")


@trap("minimum_resources", "discovery")
def _(scene: Scene) -> None:
    scene.replace("  production: {people_days: 20", "  production: {people_days: 0")


@trap("right_people_first", "discovery")
def _(scene: Scene) -> None:
    scene.replace("people: {data_scientist: 0.2, ml_engineer: 0.3}", "people: {ml_engineer: 1.0}")
    scene.replace("ml_engineer: {user: ml, share: 0.3}", "ml_engineer: {user: eve, share: 0.3}")


@trap("kpis_beyond_accuracy", "discovery")
def _(scene: Scene) -> None:
    for kind in ("quality", "operations", "adoption"):
        scene.replace(f"    kind: {kind}\n", "    kind: accuracy\n")


@trap("product_approach", "pilot")
def _(scene: Scene) -> None:
    code = (scene.code / "pilot.py").read_text()
    (scene.code / "second_pilot.py").write_text(code.replace("'pilot'", "'second_pilot'"))


@trap("operations_owner", "pilot")
def _(scene: Scene) -> None:
    scene.replace("  operations: {user: sponsor, share: 0.1}\n", "")
    scene.text = scene.text.replace("operations: 0.1", "ml_engineer: 0.1").replace(
        "{ml_engineer: 0.3, ml_engineer: 0.1}", "{ml_engineer: 0.3}"
    )
    scene.text = scene.text.replace("owner: operations", "owner: sponsor")


@trap("models_not_in_git", "pilot")
def _(scene: Scene) -> None:
    scene.commit("model.onnx", b"weights")
    scene.git("rm", "-q", "model.onnx")
    scene.git("commit", "-q", "-m", "Remove it")


@trap("model_logistics", "pilot")
def _(scene: Scene) -> None:
    scene.tags = {NEEDED["card"]: ""}


@trap("own_data_results", "pilot")
def _(scene: Scene) -> None:
    scene.own = False


@trap("feedback_loop", "production")
def _(scene: Scene) -> None:
    scene.feedback = ()


@trap("live_model_limit", "production")
def _(scene: Scene) -> None:
    scene.live = ("flight_delays", "handwritten_digits")
    scene.feedback = scene.live


def decided(scene: Scene, phase: str) -> dict[str, Any]:
    """Return every criterion of the gate of ``phase``, those of the pilot flight_delays too."""
    decision = scene.judge(phase).decision
    found = {c.name: c for c in decision.criteria}
    return found | {c.name: c for c in decision.by_pilot.get("flight_delays", ())}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("name", TRAPS)
def test_trap_is_told_in_one_clear_sentence(scene: Scene, name: str) -> None:
    phase, fall = TRAPS[name]
    fall(scene)
    found = decided(scene, phase)
    assert found[name].verdict is Verdict.FAIL
    sentence = found[name].sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence.count(". ") == 0
    others = {n for n, c in found.items() if c.verdict is Verdict.FAIL} - {name}
    assert others <= {"admitted_pilots"}  # which follows from a pilot's own criteria


@pytest.mark.parametrize("phase", ["discovery", "pilot", "production"])
def test_project_that_falls_into_none_passes(scene: Scene, phase: str) -> None:
    found = decided(scene, phase)
    assert {n: c.sentence for n, c in found.items() if c.verdict is Verdict.FAIL} == {}
    assert {n for n, (at, _) in TRAPS.items() if at == phase} <= set(found)


def test_every_trap_of_the_list_has_its_project() -> None:
    assert set(TRAPS) == {
        *("business_need", "minimum_resources", "product_approach", "right_people_first"),
        *("operations_owner", "models_not_in_git", "model_logistics", "own_data_results"),
        *("kpis_beyond_accuracy", "feedback_loop", "live_model_limit"),
    }


def test_only_the_named_role_overrides_and_only_with_a_reason(scene: Scene) -> None:
    scene.commit("model.onnx", b"weights")
    refused = scene.judge("pilot")
    assert not refused.passed
    reason = "The weights are public and small, and go next week"
    for by, why in (("ml", reason), ("viewer", reason), ("sponsor", "because")):
        with pytest.raises(LifecycleError):
            scene.override(refused.record.id, by=by, reason=why)
    record = scene.override(refused.record.id, by="sponsor", reason=reason)
    assert (record.kind, record.verdict, record.decided_by) == ("override", "override", "sponsor")
    assert record.evidence["reason"] == reason
    assert record.evidence["criteria"] == ["models_not_in_git"]
    passed = scene.judge("pilot")
    assert passed.record.verdict == "override"
    assert passed.report()["admitted"] == ["flight_delays"]
    assert scene.life.ledger.verify()[1] is None


def test_override_is_of_the_newest_refusal_of_the_same_file(scene: Scene) -> None:
    scene.commit("model.onnx", b"weights")
    first = scene.judge("pilot").record.id
    newest = scene.judge("pilot").record.id
    reason = "The weights are public and small, and go next week"
    with pytest.raises(LifecycleError, match="asked again"):
        scene.override(first, by="sponsor", reason=reason)
    with pytest.raises(LifecycleError, match="no refusal"):
        scene.override("nothing", by="sponsor", reason=reason)
    scene.override(newest, by="sponsor", reason=reason)
    scene.text += "# changed\n"
    assert not scene.judge("pilot").passed
    with pytest.raises(LifecycleError, match="changed after"):
        scene.override(newest, by="sponsor", reason=reason)


def test_retired_model_frees_its_place(scene: Scene, tmp_path: Path) -> None:
    scene.live = ("flight_delays", "handwritten_digits")
    scene.feedback = scene.live
    assert not scene.judge("production").passed
    scene.live = ()
    with pytest.raises(LifecycleError, match="Only operations"):
        scene.retire("handwritten_digits", by="viewer")
    retired = scene.retire("handwritten_digits", by="sponsor", archive=tmp_path / "archive")
    assert retired.versions == {"production": "1"}
    assert (tmp_path / "archive/handwritten_digits/1/model.txt").read_text() == "weights"
    assert scene.registry.aliases("handwritten_digits") == {}
    assert scene.judge("production").passed
    assert scene.retire("handwritten_digits", by="sponsor").versions == {}
    assert scene.life.ledger.verify()[1] is None


def test_more_models_may_live_while_feedback_keeps_up(scene: Scene) -> None:
    scene.live = ("flight_delays", "handwritten_digits")
    scene.feedback = scene.live
    for name in scene.live:
        scene.cover(name, 0.9)
    assert scene.judge("production").passed
    scene.cover("handwritten_digits", 0.2, partition="2013-06")
    (failed,) = scene.judge("production").decision.failed
    assert failed.name == "live_model_limit"


def test_large_file_in_the_history_of_git_is_found_and_one_ignored_is_not(scene: Scene) -> None:
    scene.commit("weights.bin", b"0" * (10 * 2**20 + 1))
    scene.git("rm", "-q", "weights.bin")
    scene.git("commit", "-q", "-m", "Remove it")
    (scene.code / ".gitignore").write_text("*.pt\n")
    (scene.code / "local.pt").touch()
    assert model_files(scene.code) == [f"weights.bin{HISTORY}"]


def test_repository_that_git_cannot_read_is_no_pass(scene: Scene) -> None:
    (scene.code / ".git" / "HEAD").write_text("nothing")
    with pytest.raises(LifecycleError, match="git refused"):
        model_files(scene.code)
    assert decided(scene, "pilot")["models_not_in_git"].verdict is Verdict.FAIL


def test_of_the_history_elsewhere_only_large_files_count(scene: Scene) -> None:
    (scene.code / "dags").mkdir()
    for name, content in (
        ("dags/old.onnx", b"a"),
        ("fixture.pkl", b"b"),
        ("dump", bytes(11 << 20)),
    ):
        scene.commit(name, content)
        scene.git("rm", "-q", name)
        scene.git("commit", "-q", "-m", "Remove it")
    scene.commit("here.pkl", b"tracked now, elsewhere")
    (scene.code / "dags").mkdir(exist_ok=True)
    scene.commit("dags/dag.py", b"")
    found = model_files(scene.code / "dags")
    assert found == ["here.pkl", f"dags/old.onnx{HISTORY}", f"dump{HISTORY}"]
