"""The plugin's routes answer those who are logged in, and nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_ai_provider.core.feedback.exceptions import Asking, Finding, Reason
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exceptions import ExceptionQueue
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.testing import fake_devices
from tests.airflow_made import make_airflow

pytestmark = [pytest.mark.slow, pytest.mark.every_airflow, pytest.mark.timeout(240)]

PATHS = [
    "/airflow-ai/ledger",
    "/airflow-ai/ledger?kind=model",
    "/airflow-ai/ledger?limit=0",
    "/airflow-ai/ledger/verify",
    "/airflow-ai/ledger/none",
    "/airflow-ai/gpu",
    "/airflow-ai/gpu/lease/none",
    "/airflow-ai/promotion/history?model=m",
    "/airflow-ai/promotion/history?model=m&at=2026-01-01T00:00:00Z",
    "/airflow-ai/promotion/history?model=m&at=yesterday",
    "/airflow-ai/promotion/alarms?model=m",
    "/airflow-ai/quality/list",
    "/airflow-ai/quality/dataset?name=ai-data://x",
    "/airflow-ai/quality/task?dag_id=d&run_id=r&task_id=t",
    "/airflow-ai/quality/record/none",
    "/airflow-ai/feedback/schema",
    "/airflow-ai/exceptions",
    "/airflow-ai/exceptions/mine",
    "/airflow-ai/feedback/metrics?model=m",
    "/airflow-ai/openapi.json",
    "/airflow-ai/docs",
]
UI = {
    "": 307,
    "/board": 200,
    "/project?name=none": 404,
    "/gpus": 200,
    "/models": 200,
    "/models?page=0": 422,
    "/model?name=none": 404,
    "/feedback": 200,
    "/exceptions": 200,
    "/exceptions?page=0": 422,
    "/live?name=none": 404,
    "/ledger": 200,
    "/ledger?kind=data&subject=ai-data": 200,
    "/ledger?kind=nonsense": 422,
    "/ledger/verify": 200,
    "/ledger/export": 200,
    "/record?id=none": 404,
    "/static/ui.css": 200,
    "/static/none": 404,
}
PATHS += [f"/airflow-ai/ui{page}" for page in UI]


JSON, LINES = "application/json", "application/x-ndjson"
FEEDBACK = "/airflow-ai/feedback"
GOOD = {"feedback_id": "h1", "model_name": "m", "observed_at": "2013-06-10T00:00:00Z", "score": 4}
LATER = {**GOOD, "observed_at": "2013-06-11T00:00:00Z", "score": 5}
EVENT = {
    "action": "ANNOTATION_CREATED",
    "project": {"id": 7},
    "task": {"id": 1, "data": {"model_name": "m", "prediction_id": "p1"}},
    "annotation": {
        "id": 3,
        "completed_by": 2,
        "updated_at": "2013-06-11T00:00:00Z",
        "result": [{"type": "rating", "from_name": "q", "to_name": "t", "value": {"rating": 4}}],
    },
}
POSTS = [
    ["nobody", None, FEEDBACK, JSON, json.dumps(GOOD)],
    ["a viewer", "viewer", FEEDBACK, JSON, json.dumps(GOOD)],
    ["one", "op", FEEDBACK, JSON, json.dumps(GOOD)],
    ["many", "op", FEEDBACK, JSON, json.dumps([GOOD, LATER, {**GOOD, "score": 9}, [], LATER])],
    ["lines", "admin", FEEDBACK, LINES, f"{json.dumps(LATER)}\n\n{{broken\n"],
    ["nothing", "op", FEEDBACK, JSON, "[]"],
    ["no JSON", "op", FEEDBACK, JSON, "{"],
    ["a form", "op", FEEDBACK, "application/x-www-form-urlencoded", "feedback_id=1"],
    ["too large", "op", FEEDBACK, JSON, 16 * 2**20],
    ["too many", "op", FEEDBACK, JSON, json.dumps([0] * 10_001)],
    ["an event", "op", f"{FEEDBACK}/label-studio", JSON, json.dumps(EVENT)],
    ["other event", "op", f"{FEEDBACK}/label-studio", JSON, '{"action": "PROJECT_CREATED"}'],
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    store = Store.open(f"sqlite:///{home / 'airflow_ai.db'}")
    record = Ledger(store).append(
        GateDraft(kind=GateKind.DATA, subject="ai-data://x/1", verdict=Verdict.PASS)
    )
    lease = hold_a_device(store)
    findings = [
        Finding(model_name="m", prediction_id=f"p{n}", reason=Reason.DISPUTED, urgency=n / 9)
        for n in range(5)
    ]
    ExceptionQueue(store).add(findings, Asking(labels={"late": 1, "in time": 0}, dag_id="d"))
    pages = [f"/airflow-ai/gpu/lease/{lease}", f"/airflow-ai/quality/record/{record.id}"]
    paths = [*PATHS, *pages, "/api/v2/plugins"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"ml": "secret", "viewer": "secret"}))
    env |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ml:op,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
    }
    make_airflow(home)
    told = home / "answers.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.edge.plugin_answers", str(told)], env=env, text=True,
        input=json.dumps({"paths": paths, "posts": POSTS}), capture_output=True, check=False,
    )  # fmt: skip
    assert told.exists(), done.stdout + done.stderr
    return {"lease": lease, "record": record.id, **json.loads(told.read_text())}


def hold_a_device(store: Store) -> str:
    """Let a holder with a hostile name hold one of three devices; return the lease's id."""
    gpu = GpuStore(store, Host(name="box", boot_id="b"))
    asked = gpu.ask(
        Ticket(holder="<script>alert(1)</script>", request=GpuRequest(gpus=1)),
        process=Process(pid=1, start=1, uid=0),
        devices=fake_devices(3, host="box"),
    )
    assert asked.lease is not None
    return asked.lease.id


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_nothing(answers: dict[str, Any], path: str) -> None:
    status, _ = answers[f"None {path}"]
    assert status in {401, 404}
    assert status == 401 or path.endswith(("json", "docs"))


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_who_is_logged_in_reads_the_ledger(answers: dict[str, Any], role: str) -> None:
    status, records = answers[f"{role} /airflow-ai/ledger"]
    assert status == 200
    assert [record["subject"] for record in records] == ["ai-data://x/1"]
    assert answers[f"{role} /airflow-ai/ledger?kind=model"] == [200, []]
    assert answers[f"{role} /airflow-ai/ledger?limit=0"][0] == 422
    assert answers[f"{role} /airflow-ai/ledger/none"][0] == 404
    verified = {"records": 1, "ok": True, "first_bad": None}
    assert answers[f"{role} /airflow-ai/ledger/verify"] == [200, verified]


@pytest.mark.parametrize("path", ["/airflow-ai/openapi.json", "/airflow-ai/docs"])
def test_what_fastapi_adds_by_itself_is_left_out(answers: dict[str, Any], path: str) -> None:
    assert {answers[f"{role} {path}"][0] for role in (None, "admin")} == {404}


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_who_is_logged_in_sees_the_pool(answers: dict[str, Any], role: str) -> None:
    status, pool = answers[f"{role} /airflow-ai/gpu"]
    assert status == 200
    assert [device["uuid"] for device in pool["devices"]] == ["fake:0", "fake:1", "fake:2"]
    assert pool["queue"] == []
    assert answers[f"{role} /airflow-ai/gpu/lease/none"][0] == 404


def test_the_page_of_a_lease_is_for_those_who_are_logged_in(answers: dict[str, Any]) -> None:
    path = f"/airflow-ai/gpu/lease/{answers['lease']}"
    assert answers[f"None {path}"][0] == 401
    status, page = answers[f"viewer {path}"]
    assert status == 200
    assert answers["lease"] in page
    assert "fake:0" in page
    assert '<meta http-equiv="refresh"' in page
    assert "<script>" not in page


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_who_is_logged_in_reads_a_models_history(answers: dict[str, Any], role: str) -> None:
    paths = [path for path in PATHS if path.startswith("/airflow-ai/promotion/")]
    statuses = [answers[f"{role} {path}"][0] for path in paths]
    assert statuses == [200, 200, 422, 200]
    assert answers[f"{role} {paths[0]}"][1] == []


@pytest.mark.parametrize("role", [None, "viewer", "user", "op", "admin"])
def test_the_pages_of_the_gates_are_for_those_who_are_logged_in(
    answers: dict[str, Any], role: str | None
) -> None:
    pages = [path for path in PATHS if path.startswith("/airflow-ai/quality/")]
    found = [answers[f"{role} {path}"] for path in pages]
    found.append(answers[f"{role} /airflow-ai/quality/record/{answers['record']}"])
    if role is None:
        assert [status for status, _ in found] == [401] * 5
        assert "ai-data" not in str(found)
        return
    assert [status for status, _ in found] == [200, 200, 200, 404, 200]
    listed, past, waiting, _, page = (text for _, text in found)
    assert all("ai-data://x" in text for text in (listed, past, page))
    assert "no decision yet" in waiting
    assert "was not kept" in page


@pytest.mark.parametrize("role", ["viewer", "user", "op", "admin"])
def test_who_is_logged_in_sees_every_page(answers: dict[str, Any], role: str) -> None:
    found = {page: answers[f"{role} /airflow-ai/ui{page}"][0] for page in UI}
    assert found == UI
    page = answers[f"{role} /airflow-ai/ui/gpus"][1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "ai-data://x/1" in answers[f"{role} /airflow-ai/ui/ledger"][1]
    assert answers[f"{role} /airflow-ai/ui/ledger/verify"][1]["ok"] is True


def test_the_list_of_gates_stands_in_airflows_menu(answers: dict[str, Any]) -> None:
    status, plugins = answers["admin /api/v2/plugins"]
    assert status == 200
    [ours] = [p for p in plugins["plugins"] if p["name"] == "airflow_ai"]
    pages, view = ours["external_views"]
    assert (pages["href"], pages["nav_top_level"]) == ("/airflow-ai/ui/board", True)
    assert view["href"] == "/airflow-ai/quality/list"
    assert (view["destination"], view["category"]) == ("nav", "browse")


def test_airflows_pools_mirror_the_devices(answers: dict[str, Any]) -> None:
    (first, second, repaired), mirror = answers["mirror ml secret"]
    assert first == [
        {"pool": "gpu_default", "before": None, "after": 3, "reason": "3 healthy devices"}
    ]
    assert second == []
    assert [(c["before"], c["after"]) for c in repaired] == [(9, 3)]
    assert (mirror["slots"], mirror["include_deferred"]) == (3, False)
    assert mirror["description"].startswith("Mirror of")


@pytest.mark.parametrize(
    ("who", "words"), [("viewer secret", "read, create and edit pools"), ("ml wrong", "password")]
)
def test_who_may_not_change_pools_is_told_what_to_do(
    answers: dict[str, Any], who: str, words: str
) -> None:
    kind, said = answers[f"mirror {who}"]
    assert kind == "AirflowApiRefusedError"
    assert words in said


def test_feedback_is_taken_from_who_may_make_asset_events(answers: dict[str, Any]) -> None:
    assert answers["nobody"][0] == 401
    assert answers["a viewer"][0] == 403
    assert answers["viewer /airflow-ai/feedback/schema"][1]["title"] == "FeedbackRecord"


def test_feedback_is_answered_record_by_record(answers: dict[str, Any]) -> None:
    status, one = answers["one"]
    assert status == 200
    assert one["records"] == [{"outcome": "stored", "feedback_id": "h1"}]
    _, many = answers["many"]
    outcomes = [record["outcome"] for record in many["records"]]
    assert outcomes == ["duplicate", "revised", "quarantined", "quarantined", "duplicate"]
    assert many["records"][2]["reason"] == "score must lie between 1 and 5, this is 9"
    counts = [many[n] for n in ("read", "stored", "revised", "duplicates", "quarantined")]
    assert counts == [5, 0, 1, 2, 2]
    _, lines = answers["lines"]
    assert [record["outcome"] for record in lines["records"]] == ["duplicate", "quarantined"]
    assert answers["nothing"] == [200, {**dict.fromkeys(many, 0), "batch": None, "records": []}]


@pytest.mark.parametrize(
    ("name", "status"), [("no JSON", 400), ("a form", 415), ("too large", 413), ("too many", 413)]
)
def test_a_body_that_is_no_feedback_is_refused(
    answers: dict[str, Any], name: str, status: int
) -> None:
    assert answers[name][0] == status
    assert answers[name][1]["detail"]


def test_label_studio_tells_of_an_annotation(answers: dict[str, Any]) -> None:
    status, told = answers["an event"]
    assert status == 200
    assert told["records"] == [{"outcome": "stored", "feedback_id": "label-studio/7/3"}]
    assert answers["other event"][1]["read"] == 0


def test_who_may_not_answer_for_the_dag_claims_nothing(answers: dict[str, Any]) -> None:
    assert {status for status, _ in answers["review None"]} == {401}
    seen, claimed, *rest, mine = answers["review viewer"]
    assert seen[0] in {200, 403}  # a viewer may look, where the auth manager lets one
    assert claimed[0] == 403
    assert {status for status, _ in rest} == {404}
    assert mine == [200, []]


@pytest.mark.parametrize("whose_token", [None, "viewer"])
def test_another_site_cannot_answer_in_somebodys_name(
    answers: dict[str, Any], whose_token: str | None
) -> None:
    seen, *changes, mine = answers[f"review cookie {whose_token}"]
    assert (seen[0], len(seen[1])) == (200, 5)
    assert {status for status, _ in changes} == {403}
    assert mine == [200, []]


@pytest.mark.parametrize(("who", "open_before"), [("cookie op", 5), ("user", 4)])
def test_people_claim_answer_and_give_back(
    answers: dict[str, Any], who: str, open_before: int
) -> None:
    seen, claimed, wrong, right, again, returned, mine = answers[f"review {who}"]
    assert (seen[0], len(seen[1])) == (200, open_before)
    assert [case["prediction_id"] for case in claimed[1]] == (
        ["p4", "p3"] if open_before == 5 else ["p3", "p2"]
    )
    assert (wrong[0], "no answer" in wrong[1]["detail"]) == (409, True)
    assert (right[0], right[1]["case"]) == (200, claimed[1][0]["id"])
    assert right[1]["batch"] is not None
    assert again[0] == 409
    assert returned == [200, {"case": claimed[1][1]["id"]}]
    assert mine == [200, []]
