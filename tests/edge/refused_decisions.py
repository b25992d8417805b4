"""Refused: what was decided does not stand, or is not about what is there."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.promotion.environments import EnvironmentPath
from airflow_ai_provider.store.evidence import Evidences
from airflow_ai_provider.store.schema import evidence as evidence_table
from airflow_ai_provider.store.schema import gate_record
from tests.edge.guarded_scene import FILES, Act, Scene
from tests.edge.refusal_cases import FOR_GOOD, HTTP, refusal

CHECKS = "services/promotion/checks.py"


@refusal(f"{CHECKS}:check_order#2", FOR_GOOD, says="was never in staging")
def step_that_was_skipped(scene: Scene) -> Act:
    return scene.promoting("production", decision=scene.decide())


@refusal(f"{CHECKS}:check_order#2", says="refused this version")
def decision_that_refused(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide(verdict=Verdict.FAIL))


@refusal(f"{CHECKS}:override_by#1", says="An override needs who and why")
def override_without_a_reason(scene: Scene) -> Act:
    return scene.promoting("production", override={"by": "ada"})


@refusal("core/promotion/environments.py:index#1", says="no environment 'latest'")
def environment_that_is_none(scene: Scene) -> Act:
    return scene.promoting("latest")


@refusal("core/promotion/environments.py:__post_init__#1", says="MLflow takes no such alias")
def path_with_an_alias_that_mlflow_forbids(_scene: Scene) -> Act:
    return lambda: EnvironmentPath(names=("dev", "v2"), decision_from="dev")


@refusal("core/promotion/environments.py:__post_init__#2", says="needs different names")
def path_that_names_an_environment_twice(_scene: Scene) -> Act:
    return lambda: EnvironmentPath(names=("dev", "dev"), decision_from="dev")


@refusal(f"{CHECKS}:read_record#1", says="There is no model record nowhere")
def decision_that_nobody_wrote(scene: Scene) -> Act:
    return scene.promoting(decision="nowhere")


@refusal(f"{CHECKS}:read_record#2", says="is of kind approval, not model")
def decision_of_another_kind(scene: Scene) -> Act:
    return scene.promoting(decision=scene.approve())


@refusal(f"{CHECKS}:read_record#3", says="was changed after it was written")
def decision_that_was_altered(scene: Scene) -> Act:
    decision = scene.decide(verdict=Verdict.FAIL)
    alter(scene, decision, verdict="pass")
    return scene.promoting(decision=decision)


@refusal(f"{CHECKS}:_decision#1", says="is about .*/2, not about version 1")
def decision_on_another_version(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide("2"))


@refusal(f"{CHECKS}:_bound_hash#1", says="The evidence changed since decision")
def other_evidence_than_was_judged(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide(), evidence_hash="f" * 64)


@refusal(f"{CHECKS}:standing_approval#1", says="There is no approval record nowhere")
def approval_that_nobody_gave(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide(), approval="nowhere")


@refusal(f"{CHECKS}:standing_approval#2", says="sponsor answered no")
def approval_that_is_a_no(scene: Scene) -> Act:
    said = scene.approve(verdict=Verdict.FAIL)
    return scene.promoting(decision=scene.decide(), approval=said)


@refusal(f"{CHECKS}:standing_approval#2", says="it was given on other evidence")
def approval_of_other_evidence(scene: Scene) -> Act:
    said = scene.approve(evidence_hash="f" * 64)
    return scene.promoting(decision=scene.decide(), approval=said)


@refusal(f"{CHECKS}:standing_approval#2", says="ml submitted what is approved")
def approval_by_who_submitted(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide(), approval=scene.approve(by="ml"))


@refusal("services/promotion/bound.py:_same_run#1", says="it was made anew")
def version_that_was_made_anew(scene: Scene) -> Act:
    decision = scene.decide(run_id=scene.runs[0])
    scene.http.ask("DELETE", "registered-models/delete", {"name": scene.name})
    scene.hands.create_model(scene.name)
    scene.version()
    return scene.promoting(decision=decision)


@refusal("services/promotion/bound.py:_same_files#1", says="changed since they were judged")
def files_that_changed(scene: Scene) -> Act:
    decision = scene.decide(measured={"artifact_digest": scene.digest()})
    scene.write(scene.runs[0], "data/weights.bin", bytes(200))
    return scene.promoting(decision=decision, approval=scene.approve())


@refusal("adapters/mlflow_artifacts.py:served_digest#1", says="has no files in mlflow-artifacts:/")
def files_that_are_gone(scene: Scene) -> Act:
    decision = scene.decide(measured={"artifact_digest": scene.digest()})
    for path in FILES:
        scene.remove(scene.runs[0], path)
    return scene.promoting(decision=decision)


@refusal(f"{HTTP}:_digest#1", f"{HTTP}:_send#3", says="does not answer: IncompleteRead")
def file_that_comes_short(scene: Scene) -> Act:
    decision = scene.decide(measured={"artifact_digest": scene.digest()})
    scene.proxy.on("GET", "weights.bin", short=True)
    return scene.promoting(decision=decision)


@refusal("store/evidence.py:find#1", says="was changed after it was stored")
def evidence_that_changed_in_the_store(scene: Scene) -> Act:
    kept = Evidences(scene.ledger.store).keep({"model_name": scene.name})
    row = evidence_table.update().where(evidence_table.c.hash == kept)
    with scene.ledger.store.write() as connection:
        connection.execute(row.values(content="{}"))
    return scene.promoting(decision=scene.decide(evidence_hash=kept))


@refusal("store/ledger.py:check#1", says="does not hold at record nowhere: it is not there")
def data_gate_that_is_missing(scene: Scene) -> Act:
    return scene.promoting(decision=scene.decide(training={"gates": ["nowhere"]}))


@refusal("store/ledger.py:check#2", says="does not hold: 1 of 3 are not there")
def chain_with_a_gap(scene: Scene) -> Act:
    gone, _between, decision = scene.decide(), scene.decide(), scene.decide()
    with scene.ledger.store.write() as connection:
        connection.execute(gate_record.delete().where(gate_record.c.id == gone))
    return scene.promoting(decision=decision)


@refusal("store/ledger.py:check#3", says="its content was changed after it was written")
def data_gate_that_was_altered(scene: Scene) -> Act:
    draft = GateDraft(kind=GateKind.DATA, subject="ai-data://d/1", verdict=Verdict.FAIL)
    data = scene.ledger.append(draft).id
    decision = scene.decide(training={"gates": [data]})
    alter(scene, data, verdict="pass")
    return scene.promoting(decision=decision)


def alter(scene: Scene, record: str, **values: Any) -> None:
    """Change a gate record behind the ledger's back."""
    row = gate_record.update().where(gate_record.c.id == record)
    with scene.ledger.store.write() as connection:
        connection.execute(row.values(**values))
