"""Evidence from a process of its own, and approval by several people, as Airflow runs them."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import ApprovalError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.operators.approval_quorum import ApprovalQuorumOperator
from airflow_ai_provider.operators.model_evidence import ModelEvidenceOperator
from airflow_ai_provider.operators.promotion import PromotionApprovalOperator
from airflow_ai_provider.services.promotion import PromotionOrder, promote
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.promotion import Promotions
from airflow_ai_provider.task_groups.approval import approved_by_several
from airflow_ai_provider.testing import FakeRegistry


class TaskInstance(SimpleNamespace):
    def xcom_push(self, key, value):
        self.pushed[key] = json.loads(json.dumps(value))


def context_of(operator, user="ml"):
    ti = TaskInstance(
        dag_id="d", run_id="r", task_id=operator.task_id, map_index=-1, try_number=1, pushed={}
    )
    return {
        "ti": ti,
        "dag_run": SimpleNamespace(triggering_user_name=user),
        "outlet_events": defaultdict(lambda: SimpleNamespace(extra=None)),
    }


@pytest.fixture
def store(here, monkeypatch):
    mlflow = {"conn_type": "mlflow", "host": "http://127.0.0.1:9"}
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(mlflow))
    return here


# --- a process of its own ----------------------------------------------------------------------


def measure(tmp_path, name, **evidence):
    operator = ModelEvidenceOperator(
        task_id="measure",
        evidence={"model_name": "m", "model_uri": str(tmp_path), **evidence},
        loader=f"tests.toy_models:{name}",
        time_limit="2",
        memory_limit="2GiB",
    )
    return operator.execute(context_of(operator))


def test_what_a_model_costs_becomes_evidence(store, tmp_path):
    found = measure(tmp_path, "constant", costs={"load_s": 0.0, "price": 3})
    assert found["measured"]["loads"] is True
    assert found["costs"]["load_s"] > 0
    assert found["costs"]["price"] == 3
    assert json.loads(json.dumps(found)) == found


def test_a_model_that_loads_for_ever_is_evidence_too(store, tmp_path):
    found = measure(tmp_path, "hangs", costs={"p95_ms": 0.1})
    assert found["measured"]["loads"] is False
    assert found["measured"]["failure"] == "while loading, it was not done within 2 s"
    assert found["costs"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evidence": {"model_name": "m"}}, "lacks model_uri"),
        ({"evidence": None}, "must be a JSON object"),
        ({"memory_limit": "much"}, "no amount of memory"),
        ({"time_limit": "long"}, "is no time limit"),
        ({"time_limit": 0}, "Write limits above zero"),
    ],
)
def test_what_cannot_be_measured_at_all_fails(store, arguments, message):
    said = {"evidence": {"model_name": "m", "model_uri": "x"}, **arguments}
    operator = ModelEvidenceOperator(task_id="measure", **said)
    with pytest.raises(AirflowFailException, match=message):
        operator.execute(context_of(operator))


# --- n of m ------------------------------------------------------------------------------------


def approval_of(ledger, by, verdict=Verdict.PASS, decision=None):
    said = {
        "evidence_hash": "e" * 64,
        "decision": decision,
        "submitter": "ml",
        "project": None,
    }
    draft = GateDraft(
        kind=GateKind.APPROVAL,
        subject="mlflow://m/1",
        verdict=verdict,
        evidence=said,
        decided_by=by,
    )
    return ledger.append(draft).id


def agree(*records, needed=None):
    operator = ApprovalQuorumOperator(task_id="agreed", approvals=list(records), needed=needed)
    context = context_of(operator)
    return operator.execute(context), context


def test_two_different_people_agree(store):
    ledger = Ledger(store)
    first, second = approval_of(ledger, "ann"), approval_of(ledger, "ben")
    result, _ = agree(first, second, needed="2")
    assert result["approved"] is True
    record = ledger.get(result["record"])
    assert (record.kind, record.decided_by) == ("approval", "ann, ben")
    assert agree(first, second)[0]["record"] == result["record"], "a retry leaves one record"


def test_one_person_twice_does_not(store):
    ledger = Ledger(store)
    operator = ApprovalQuorumOperator(
        task_id="agreed", approvals=[approval_of(ledger, "ann"), approval_of(ledger, "ann")]
    )
    context = context_of(operator)
    with pytest.raises(AirflowFailException, match="1 of 2 different people agreed: ann"):
        operator.execute(context)
    assert context["ti"].pushed["return_value"]["approved"] is False
    assert ledger.get(context["ti"].pushed["return_value"]["record"]).verdict == "fail"


def test_what_is_no_approval_is_refused(store):
    with pytest.raises(AirflowFailException, match="There is no approval record nowhere"):
        agree("nowhere")


def test_a_promotion_rests_on_every_single_approval(store):
    ledger, registry = Ledger(store), FakeRegistry()
    registry.create_model("m")
    registry.create_version("m", model_uri="x", run_id=None, tags={})
    records = [approval_of(ledger, "ann"), approval_of(ledger, "ben")]
    result, _ = agree(*records)

    def moved(approval):
        return promote(
            PromotionOrder(
                model_name="m",
                version="1",
                environment="dev",
                approval=approval,
                evidence_hash="e" * 64,
            ),
            promotions=Promotions(store),
            registry=registry,
            key=f"k{approval}",
            moved_by="test",
            decided_by="test",
        )

    assert moved(result["record"]).record.decided_by == "ann, ben"
    forged = ledger.append(
        GateDraft(
            kind=GateKind.APPROVAL,
            subject="mlflow://m/1",
            verdict=Verdict.PASS,
            evidence={"evidence_hash": "e" * 64, "approvals": [records[0], "gone"]},
            decided_by="ann, cyd",
        )
    )
    with pytest.raises(ApprovalError, match="There is no approval record gone"):
        moved(forged.id)
    refused = approval_of(ledger, "dan", Verdict.FAIL)
    forged = ledger.append(
        GateDraft(
            kind=GateKind.APPROVAL,
            subject="mlflow://m/1",
            verdict=Verdict.PASS,
            evidence={"evidence_hash": "e" * 64, "approvals": [records[0], refused]},
            decided_by="ann, dan",
        )
    )
    with pytest.raises(ApprovalError, match="dan answered no"):
        moved(forged.id)


def test_the_group_asks_so_many_times_and_checks():
    with DAG("d", schedule=None, start_date=datetime(2025, 1, 1, tzinfo=timezone.utc)) as dag:
        approved_by_several(
            {"model_name": "m"}, needed=3, subject="May it go?", approvers=["ann", "ben", "cyd"]
        )
    group = "approved_by_several"
    questions = {f"{group}.approve_{number}" for number in (1, 2, 3)}
    assert set(dag.task_ids) == {*questions, f"{group}.agreed"}
    check = dag.get_task(f"{group}.agreed")
    assert check.upstream_task_ids == questions
    assert check.needed == 3
    assert dag.get_task(f"{group}.approve_2").subject == "May it go? (2 of 3)"


# --- who submitted it --------------------------------------------------------------------------


def request(tmp_path, user, **arguments):
    operator = PromotionApprovalOperator(
        task_id="approve",
        subject="May it go?",
        evidence={"model_name": "m"},
        assigned_users=["sponsor", "ml"],
        **arguments,
    )
    return operator._request(context_of(operator, user=user))


@pytest.fixture
def project_file(tmp_path):
    from pathlib import Path

    source = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
    path = tmp_path / "project.yaml"
    path.write_text(source.read_text())
    return str(path)


def test_who_triggered_the_run_submitted_it(store, tmp_path, project_file):
    assert request(tmp_path, "sponsor", project_file=project_file).submitter == "sponsor"
    assert request(tmp_path, "sponsor", submitter="ml").submitter == "ml"


def test_of_a_run_that_an_asset_caused_the_project_s_owner_did(store, tmp_path, project_file):
    found = request(tmp_path, None, project_file=project_file)
    assert found.submitter == "ml"
    assert found.may_answer == ("sponsor",)


def test_where_nobody_knows_nobody_is_asked(store, tmp_path):
    with pytest.raises(AirflowFailException, match="nobody knows who submitted"):
        request(tmp_path, None)
    with pytest.raises(AirflowFailException, match="no project file"):
        request(tmp_path, None, project_file=str(tmp_path / "none.yaml"))
