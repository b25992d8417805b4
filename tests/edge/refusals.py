"""What tasks are refused: one case each, with the place in the code that refuses.

A case sets its scene and returns what is then done, which must be refused; ``moves`` says that an
alias was moved all the same, by the task or by the hand that the case is about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.promotion.copying import MANIFEST_TAG
from airflow_ai_provider.core.promotion.environments import EnvironmentPath
from airflow_ai_provider.hooks.promotion import ModelRegistryHook
from airflow_ai_provider.sensors.promotion import AliasDriftSensor, ModelVersionSensor
from airflow_ai_provider.services.promotion import PromotionOrder, promote
from airflow_ai_provider.store.evidence import Evidences
from airflow_ai_provider.store.promotion import Claim, Promotions
from airflow_ai_provider.store.schema import evidence as evidence_table
from airflow_ai_provider.store.schema import gate_record
from tests.edge.guarded_scene import ANYHOW, FILES, Act, Scene
from tests.edge.promotion_scene import context_of
from tests.mlflow_server import ADMIN, ADMIN_PASSWORD, free_port
from tests.mlflow_tokens import token_of

NOBODY_SERVES = {"url": "http://127.0.0.1:1/invocations", "inputs": [[1]], "patience": 0}
MOVE = ("POST", "registered-models/alias")


@dataclass(frozen=True)
class Case:
    """One refusal: ``sites`` are where the code refuses, ``says`` matches what is said."""

    set_scene: Callable[[Scene], Act]
    sites: tuple[str, ...]
    says: str
    moves: bool

    @property
    def name(self) -> str:
        return self.set_scene.__name__


CASES: list[Case] = []


def refusal(*sites: str, says: str, moves: bool = False) -> Callable[[Any], Any]:
    """Make a case of the function."""

    def keep(set_scene: Callable[[Scene], Act]) -> Callable[[Scene], Act]:
        CASES.append(Case(set_scene, sites, says, moves))
        return set_scene

    return keep


_STRANGER = {"path": "stranger", "is_dir": False, "file_size": 1}

HTTP = "adapters/mlflow_http.py"
FOR_GOOD = "operators/_moves.py:for_good#1"
CHECKS = "services/promotion/checks.py"
COPYING = "services/promotion/copying.py"

# --- who asks ----------------------------------------------------------------------------------


@refusal(f"{HTTP}:_send#1", FOR_GOOD, says=r"does not let this user in \(401\).*Check login")
def wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1", says=r"\(401\): The token has expired\. .*may be wrong, or have expired"
)
def expired_token(scene: Scene) -> Act:
    scene.connect(login=None, token=token_of("editor", -1))
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): This is no token")
def invalid_token(scene: Scene) -> Act:
    scene.connect(login=None, token="letmein")
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): You are not authenticated")
def no_login_at_all(scene: Scene) -> Act:
    scene.connect(login=None)
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"\(401\): The token has expired")
def token_that_expires_before_the_move(scene: Scene) -> Act:
    soon = token_of("editor", 1000)
    scene.connect(login=None, token=soon)
    late = b'{"error_code": "UNAUTHENTICATED", "message": "The token has expired."}'
    scene.proxy.on(*MOVE, status=401, says=late)
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1",
    says=r"does not let reader do this \(403\): Permission denied.*permission EDIT on the model m",
)
def reader_may_not_move(scene: Scene) -> Act:
    scene.connect("reader")
    return scene.promoting()


@refusal(
    f"{HTTP}:_send#1", says=r"does not let reader do this \(403\).*permission READ on the model"
)
def stranger_may_not_even_look(scene: Scene) -> Act:
    scene.users.grant("reader", scene.name, "DENY")
    scene.connect("reader")
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"does not let reader .*permission EDIT on the model")
def reader_may_not_go_back(scene: Scene) -> Act:
    for version in ("1", "2"):
        scene.promoting("dev", version)()
    scene.connect("reader")
    return scene.going_back()


@refusal(f"{HTTP}:_send#1", says=r"does not let mover .*permission MANAGE on the model", moves=True)
def mover_may_not_take_an_alias_away(scene: Scene) -> Act:
    scene.users.grant("mover", scene.name, "EDIT")
    scene.connect("mover")
    return scene.promoting(smoke_check=NOBODY_SERVES)


@refusal(f"{HTTP}:_send#1", says="does not let reader .*permission EDIT on the model prod.m")
def reader_may_not_make_a_copy(scene: Scene) -> Act:
    scene.hands.create_model(f"prod.{scene.name}")
    act = scene.copying()
    scene.target("reader")
    return act


@refusal(
    "adapters/mlflow.py:translated#2", says=r"does not let this user do this \(.*authenticated"
)
def copy_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.copying()


@refusal("sensors/promotion.py:poke#1", f"{HTTP}:_send#1", says=r"\(401\)")
def sensor_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name, environment="dev")
    return lambda: sensor.poke(context_of(sensor))


@refusal("sensors/promotion.py:poke#2", f"{HTTP}:_send#1", says=r"\(401\)")
def watch_with_a_wrong_password(scene: Scene) -> Act:
    scene.promoting()()
    scene.connect(password="not-the-password")
    sensor = AliasDriftSensor(task_id="watch", model_name=scene.name)
    return lambda: sensor.poke(context_of(sensor))


@refusal("operators/promotion.py:execute#1", f"{HTTP}:_send#1", says=r"\(401\)")
def gate_with_a_wrong_password(scene: Scene) -> Act:
    scene.connect(password="not-the-password")
    return scene.judging(
        [{"kind": "budget", "cost": "load_s", "max": 9}],
        costs={"load_s": 1.0},
        reference_kind="champion",
        reference_version="1",
    )


# --- what the server does ----------------------------------------------------------------------


@refusal(f"{HTTP}:_send#1", FOR_GOOD, says="does not know it: .*not found")
def unknown_model(scene: Scene) -> Act:
    scene.connect(ADMIN, ADMIN_PASSWORD)
    return scene.promoting(model_name="nobody-made-this")


@refusal(f"{HTTP}:_send#1", says=r"permission READ .*The same is said of what is not there")
def unknown_model_and_no_admin(scene: Scene) -> Act:
    return scene.promoting(model_name="nobody-made-this")


@refusal(f"{HTTP}:_send#1", says="does not know it: .*version=9")
def unknown_version(scene: Scene) -> Act:
    return scene.promoting(version="9")


@refusal(f"{HTTP}:_send#1", says="does not know it: ")
def version_deleted_before_the_move(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, before=lambda: scene.delete_version("1"))
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says=r"refused \(INVALID_PARAMETER_VALUE\).*reserved")
def alias_that_mlflow_forbids(scene: Scene) -> Act:
    registry = ModelRegistryHook().get_conn()
    return lambda: registry.set_alias(scene.name, "v1", "1")


@refusal(f"{HTTP}:_send#1", says="answers 429: so says the proxy")
def too_many_requests(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", status=429)
    return scene.promoting()


@refusal(f"{HTTP}:_send#1", says="answers 500: so says the proxy")
def broken_server(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, status=500)
    return scene.promoting()


@refusal(f"{HTTP}:_send#2", says="does not answer: .*refused")
def nobody_listens(scene: Scene) -> Act:
    scene.proxy.url = f"http://127.0.0.1:{free_port()}"
    scene.connect()
    return scene.promoting()


@refusal(f"{HTTP}:_send#3", says="does not answer: ")
def server_that_goes_away(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, before=lambda: setattr(scene.proxy, "away", True), cut=True)
    return scene.promoting()


@refusal("adapters/mlflow.py:translated#1", says="does not answer: ")
def copy_from_a_server_that_is_away(scene: Scene) -> Act:
    scene.proxy.url = f"http://127.0.0.1:{free_port()}"
    scene.connect()
    return scene.copying()


@refusal("adapters/mlflow.py:translated#1", says="does not answer: .*500")
def copy_of_files_that_are_not_sent(scene: Scene) -> Act:
    scene.proxy.on("GET", "mlflow-artifacts", status=500)
    return scene.copying()


@refusal("adapters/mlflow.py:translated#3", says="does not let this user do this .*403")
def copy_of_files_that_nobody_may_see(scene: Scene) -> Act:
    scene.proxy.on("GET", "mlflow-artifacts", status=403)
    return scene.copying()


@refusal(f"{HTTP}:_document#1", says="answered, but not as MLflow does")
def server_that_is_a_web_page(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=lambda _: b"<html>welcome</html>")
    return scene.promoting()


@refusal(f"{HTTP}:_document#2", says="answered, but not as MLflow does")
def server_that_answers_a_list(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=lambda _: b"[1]")
    return scene.promoting()


@refusal(f"{HTTP}:part#1", says="answered, but not as MLflow does")
def server_that_answers_nothing(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", answer=lambda _: b"{}")
    return scene.promoting()


@refusal(f"{CHECKS}:check_order#1", says="Version 1 .* is PENDING_REGISTRATION, not READY")
def version_whose_files_are_not_all_there(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=_pending)
    return scene.promoting()


def changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """Return what changes an answer in JSON."""

    def altered(answer: bytes) -> bytes:
        document = json.loads(answer)
        change(document)
        return json.dumps(document).encode()

    return altered


def _pending(answer: bytes) -> bytes:
    return answer.replace(b'"READY"', b'"PENDING_REGISTRATION"')


# --- what was decided --------------------------------------------------------------------------


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


# --- who else moves ----------------------------------------------------------------------------


@refusal(
    "services/promotion/moving.py:_move_alias#1",
    "services/promotion/moving.py:make_move#1",
    says="names 2, not 1 as expected: moved by somebody outside Airflow.*Alarm .* is on record",
)
def alias_moved_by_hand_before_the_move(scene: Scene) -> Act:
    scene.promoting()()
    scene.hands.set_alias(scene.name, "dev", "2")
    scene.version()
    return scene.promoting(version="3")


@refusal(
    "services/promotion/moving.py:_move_alias#2",
    says="names 2, not 1 as expected: moved by somebody outside Airflow",
    moves=True,
)
def alias_moved_by_hand_right_after_the_move(scene: Scene) -> Act:
    scene.proxy.on(*MOVE, after=lambda: scene.hands.set_alias(scene.name, "dev", "2"))
    return scene.promoting()


@refusal("services/promotion/moving.py:begin#1", says="names 2, not 1 .*moved by d/r/to_dev_2")
def retry_of_a_move_that_another_undid(scene: Scene) -> Act:
    scene.promoting()()
    scene.promoting(version="2")()
    return scene.promoting()


@refusal("store/promotion.py:claim#1", says="d/r/other is moving m.* right now")
def another_move_in_progress(scene: Scene) -> Act:
    promotions = Promotions(scene.ledger.store)
    move = {"version": "2", "environment": "dev"}
    promotions.claim(Claim(model_name=scene.name, key="other", by="d/r/other", move=move))
    return lambda: promote(
        PromotionOrder(model_name=scene.name, version="1", environment="dev"),
        promotions=promotions,
        registry=ModelRegistryHook().get_conn(),
        key="mine",
        moved_by="d/r/mine",
        patience=0.0,
    )


@refusal("store/promotion.py:renew#1", says="was taken over meanwhile")
def taken_for_dead_before_the_move(scene: Scene) -> Act:
    scene.proxy.on("GET", "registered-models/get", before=lambda: drop_claim(scene))
    return scene.promoting()


@refusal("store/promotion.py:complete#1", says="was taken over meanwhile", moves=True)
def taken_for_dead_after_the_move(scene: Scene) -> Act:
    scene.proxy.on("POST", "model-versions/set-tag", before=lambda: drop_claim(scene))
    return scene.promoting()


def drop_claim(scene: Scene) -> None:
    promotions = Promotions(scene.ledger.store)
    claim = promotions.claimed(scene.name)
    if claim is not None:
        promotions.release(claim)


# --- the smoke check and the way back ----------------------------------------------------------


@refusal(
    "services/promotion/checked.py:promote_checked#3", says="taken back to version 1", moves=True
)
def endpoint_that_does_not_serve(scene: Scene) -> Act:
    scene.promoting()()
    return scene.promoting(version="2", smoke_check=NOBODY_SERVES)


@refusal("services/promotion/checked.py:promote_checked#1", says="taken back to version 1")
def retry_after_the_endpoint_did_not_serve(scene: Scene) -> Act:
    scene.promoting()()
    act = scene.promoting(version="2", smoke_check=NOBODY_SERVES)
    try:
        act()
    except Exception:  # noqa: BLE001 - the case before says which
        return act
    raise AssertionError("the smoke check passed")


@refusal(
    "services/promotion/checked.py:promote_checked#2", says="there before this task, and stays"
)
def endpoint_that_does_not_serve_what_was_there(scene: Scene) -> Act:
    scene.promoting()()
    return scene.promoting(task_id="again", smoke_check=NOBODY_SERVES)


@refusal("services/promotion/rolling_back.py:_target#1", says="has no previous version")
def way_back_to_nothing(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back()


@refusal("services/promotion/rolling_back.py:_target#2", says="it is deleted")
def way_back_to_what_is_deleted(scene: Scene) -> Act:
    for version in ("1", "2"):
        scene.promoting("dev", version)()
    scene.delete_version("1")
    return scene.going_back(override=ANYHOW)


@refusal("services/promotion/rolling_back.py:_may#1", says="version 2 was never there")
def way_back_to_a_stranger(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back(target="2")


@refusal("services/promotion/rolling_back.py:roll_back#1", says="holds version 1 already")
def way_back_to_where_it_is(scene: Scene) -> Act:
    scene.promoting()()
    return scene.going_back(target="1")


# --- approval ----------------------------------------------------------------------------------

APPROVAL = "core/promotion/approval.py"
ANSWER = "operators/promotion.py:execute_complete#1"
QUESTION = "operators/promotion.py:_request#2"


@refusal(f"{APPROVAL}:answered#1", ANSWER, says="changed since it was shown")
def answer_on_what_changed_meanwhile(scene: Scene) -> Act:
    shown = scene.fingerprint()
    return scene.answering(asked=shown, evidence={"model_name": scene.name, "version": "2"})


@refusal(f"{APPROVAL}:answered#2", ANSWER, says="names nobody who gave it")
def answer_of_nobody(scene: Scene) -> Act:
    return scene.answering(by=None)


@refusal(f"{APPROVAL}:answered#3", ANSWER, says="ml submitted .* and may not approve it")
def answer_of_who_submitted(scene: Scene) -> Act:
    return scene.answering(by="ml")


@refusal(f"{APPROVAL}:answered#4", ANSWER, says="viewer is not among those asked")
def answer_of_a_stranger(scene: Scene) -> Act:
    return scene.answering(by="viewer")


@refusal(f"{APPROVAL}:_comment#1", ANSWER, says="a text of at most 2000 characters")
def answer_with_a_book(scene: Scene) -> Act:
    return scene.answering(comment="x" * 2001)


@refusal(f"{APPROVAL}:approval_request#1", QUESTION, says="must be a dict, not str")
def question_about_a_text(scene: Scene) -> Act:
    return scene.asking(evidence="good")


@refusal(f"{APPROVAL}:approval_request#2", QUESTION, says="does not fit its own hash")
def question_about_evidence_that_was_changed(scene: Scene) -> Act:
    return scene.asking(evidence={"evidence_hash": "x", "evidence": {}})


@refusal(f"{APPROVAL}:approval_request#3", QUESTION, says="but ml, who submitted it")
def question_to_who_submitted(scene: Scene) -> Act:
    return scene.asking(assigned_users="ml")


@refusal("operators/promotion.py:_request#1", says="no default answer")
def question_with_a_default(scene: Scene) -> Act:
    return scene.asking(defaults="Approve")


@refusal("operators/promotion.py:_submitter#1", QUESTION, says="nobody knows who submitted")
def question_that_nobody_submitted(scene: Scene) -> Act:
    return scene.asking(user=None)


# --- the copy ----------------------------------------------------------------------------------


@refusal(f"{COPYING}:copy_model#1", FOR_GOOD, says="needs a name of its own")
def copy_under_its_own_name(scene: Scene) -> Act:
    return scene.copying(target_name=scene.name)


@refusal(f"{COPYING}:_check#1", says="is PENDING_REGISTRATION, not READY")
def copy_of_a_version_that_is_not_ready(scene: Scene) -> Act:
    scene.proxy.on("GET", "model-versions/get", answer=_pending)
    return scene.copying()


@refusal(f"{COPYING}:_check#2", says="has no files")
def copy_of_nothing(scene: Scene) -> Act:
    for path in FILES:
        scene.remove(scene.runs[0], path)
    return scene.copying()


@refusal(f"{COPYING}:_fetch_all#1", says="came with 12 of 13 bytes")
def copy_of_a_file_that_comes_short(scene: Scene) -> Act:
    def longer(listing: Any) -> None:
        for item in listing.get("files", []):
            item["file_size"] = int(item.get("file_size") or 0) + 1

    scene.proxy.on("GET", "mlflow-artifacts/artifacts?", answer=changed(longer))
    return scene.copying()


@refusal(f"{COPYING}:_fetch_all#2", says="are not those that were once copied there")
def copy_of_a_copy_that_was_changed(scene: Scene) -> Act:
    scene.hands.set_tags(scene.name, "1", {MANIFEST_TAG: "0" * 64})
    return scene.copying()


@refusal(f"{COPYING}:_store_all#1", says="arrived changed")
def copy_that_is_spoilt_on_its_way(scene: Scene) -> Act:
    act = scene.copying()
    scene.target("editor", by_proxy=True)
    scene.proxy.on("GET", "/artifacts/model/MLmodel", skip=1, answer=lambda _: b"flavors: []\n")
    return act


@refusal(f"{COPYING}:_store_all#2", says="holds files that are not the model's: .*stranger")
def copy_beside_a_strange_file(scene: Scene) -> Act:
    def with_a_stranger(listing: Any) -> None:
        listing["files"] = [*listing.get("files", []), _STRANGER]

    act = scene.copying()
    scene.connect_directly()
    scene.target("editor", by_proxy=True)
    scene.proxy.on("GET", "mlflow-artifacts/artifacts?", answer=changed(with_a_stranger))
    return act


@refusal(f"{COPYING}:__enter__#1", says="belongs to somebody else")
def copy_by_a_folder_of_somebody_else(scene: Scene) -> Act:
    real, link = scene.folder / "real", scene.folder / "link"
    real.mkdir()
    link.symlink_to(real)
    return scene.copying(work_dir=str(link))


@refusal(
    "services/promotion/copy_turn.py:__enter__#1", says="d/r/other .* is copying .*/1 on .* now"
)
def copy_that_another_task_makes(scene: Scene) -> Act:
    return scene.copying_beside_another()


# --- gate, sensor and registration -------------------------------------------------------------

JUDGING = "services/promotion/judging.py"
GATE = "operators/promotion.py:execute#1"


@refusal("operators/_gate.py:conclude#1", says="loss")
def candidate_without_the_metric(scene: Scene) -> Act:
    return scene.judging([{"kind": "reported", "figure": "loss", "max": 0.3}], run={"metrics": {}})


@refusal("operators/_gate.py:conclude#1", says="loss")
def candidate_whose_metric_is_no_number(scene: Scene) -> Act:
    said = {"metrics": {"loss": "NaN"}}
    return scene.judging([{"kind": "reported", "figure": "loss", "max": 0.3}], run=said)


@refusal(f"{JUDGING}:load_criteria#1", GATE, says="cannot be read")
def criteria_that_are_not_there(scene: Scene) -> Act:
    return scene.judging("/nowhere.yaml")


@refusal(f"{JUDGING}:load_criteria#2", GATE, says="are no YAML")
def criteria_that_are_no_yaml(scene: Scene) -> Act:
    file = scene.folder / "criteria.yaml"
    file.write_text("- [", encoding="utf-8")
    return scene.judging(str(file))


@refusal(f"{JUDGING}:_looked_up#1", GATE, says="which is not found")
def criterion_of_a_function_that_is_not_there(scene: Scene) -> Act:
    return scene.judging([{"kind": "custom", "call": "tests.nowhere:f", "min": 1}])


@refusal(f"{JUDGING}:_looked_up#2", GATE, says="is no function")
def criterion_of_no_function(scene: Scene) -> Act:
    return scene.judging([{"kind": "custom", "call": "tests.mlflow_server:ADMIN", "min": 1}])


@refusal(
    "services/promotion/awaiting.py:read_wanted#1",
    "sensors/promotion.py:_wanted#1",
    says="No model",
)
def sensor_of_no_model(_scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name="")
    return lambda: sensor.poke(context_of(sensor))


@refusal("services/promotion/awaiting.py:read_wanted#2", says="no version number")
def sensor_of_no_number(scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name, newer_than="soon")
    return lambda: sensor.poke(context_of(sensor))


@refusal("sensors/promotion.py:execute_complete#1", says="refused for good")
def sensor_whose_trigger_was_refused(scene: Scene) -> Act:
    sensor = ModelVersionSensor(task_id="wait", model_name=scene.name)
    return lambda: sensor.execute_complete(context_of(sensor), {"error": "refused for good"})


@refusal("services/promotion/registration.py:register#1", says="lacks run_id or model_uri")
def registration_without_a_run(scene: Scene) -> Act:
    return lambda: ModelRegistryHook().register({"model_name": scene.name, "version": "1"})


@refusal("adapters/mlflow.py:split_run_uri#1", says="is no address of a logged model")
def registration_of_no_address(scene: Scene) -> Act:
    said = {"model_name": scene.name, "run_id": "r", "model_uri": "runs:/r"}
    return lambda: ModelRegistryHook().register(said)
