"""The drift gate's operator, with a context made by hand and a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)
from fsspec.implementations.memory import MemoryFileSystem

from airflow_ai_provider.assets import data_alias, data_asset
from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.drift_scene import gate, write
from tests.edge.task_context import context_of


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return write(tmp_path / "reference.parquet")


@pytest.fixture
def little(tmp_path: Path) -> str:
    return write(tmp_path / "little.parquet", add=15.0)


def test_data_like_the_reference_pass_with_a_record_and_an_event(
    ledger: Ledger, same: str, profile: str
) -> None:
    operator = gate(data=same, reference=profile)
    context = context_of(operator)

    report = operator.execute(context)

    assert (report["success"], report["verdict"], report["failed"]) == (True, "pass", [])
    assert (report["compared"], report["drifted"]) == (2, 0)
    record = ledger.get(report["record"])
    assert (record.kind, record.subject) == ("drift", "ai-data://orders/1")
    assert record.evidence["reference"]["profile"] is True
    assert record.evidence["data"]["digest"] == report["data"]["digest"]
    assert {c["name"] for c in record.criteria} >= {"psi(amount)", "ks(amount)", "psi(kind)"}
    [(asset, extra)] = context["outlet_events"][data_alias("orders")].added
    assert (asset, extra) == (data_asset("orders", "1"), report)


def test_drifted_data_fail_without_retry_after_report_and_record(
    ledger: Ledger, moved: str, reference: str
) -> None:
    operator = gate(data=moved, reference=reference)
    context = context_of(operator)

    with pytest.raises(AirflowFailException, match="amount"):
        operator.execute(context)

    report = context["ti"].pushed["return_value"]
    assert not report["success"]
    assert {f["column"] for f in report["failed"]} == {"amount"}
    assert len(json.dumps(report)) < 8 * 1024
    assert ledger.get(report["record"]).verdict == "fail"
    assert not context["outlet_events"]


def test_a_retry_leaves_one_record(ledger: Ledger, moved: str, reference: str) -> None:
    for attempt in (1, 2):
        operator = gate(data=moved, reference=reference)
        with pytest.raises(AirflowFailException):
            operator.execute(context_of(operator, try_number=attempt))
    assert len(ledger.search(kind=GateKind.DRIFT)) == 1


def test_a_limit_of_a_lesser_severity_only_warns(
    ledger: Ledger, little: str, reference: str
) -> None:
    limits = {"thresholds": {"ks": {"warning": 0.1, "critical": 0.5}}, "methods": ["ks"]}
    operator = gate(data=little, reference=reference, **limits)
    report = operator.execute(context_of(operator))
    assert (report["success"], report["verdict"]) == (True, "warn")
    strict = gate(data=little, reference=reference, fail_on="warning", **limits)
    with pytest.raises(AirflowFailException):
        strict.execute(context_of(strict))


def test_on_fail_skip_and_warn(ledger: Ledger, moved: str, reference: str) -> None:
    skipping = gate(data=moved, reference=reference, on_fail="skip")
    with pytest.raises(AirflowSkipException):
        skipping.execute(context_of(skipping))
    warning = gate(data=moved, reference=reference, on_fail="warn")
    context = context_of(warning, run_id="other")
    report = warning.execute(context)
    assert (report["success"], report["verdict"]) == (False, "warn")
    assert ledger.get(report["record"]).verdict == "warn"
    assert context["outlet_events"][data_alias("orders")].added


@pytest.mark.parametrize(("which", "skipped"), [("moved", ["train"]), ("same", ["look"])])
def test_on_fail_branch_takes_the_way_that_was_named(
    ledger: Ledger, reference: str, which: str, skipped: list[str], request: pytest.FixtureRequest
) -> None:
    with DAG("d"):
        operator = gate(
            data=request.getfixturevalue(which),
            reference=reference,
            on_fail="branch",
            branch_task_ids=["look"],
        )
        operator >> [EmptyOperator(task_id="train"), EmptyOperator(task_id="look")]
    context = context_of(operator)
    with pytest.raises(DownstreamTasksSkipped) as raised:
        operator.execute(context)
    assert list(raised.value.tasks) == skipped
    assert context["ti"].pushed["return_value"]["record"]


def test_an_absent_reference_fails_and_leaves_no_record(
    ledger: Ledger, same: str, tmp_path: Path
) -> None:
    operator = gate(data=same, reference=str(tmp_path / "absent.json"))
    with pytest.raises(AirflowFailException, match=r"absent\.json"):
        operator.execute(context_of(operator))
    assert ledger.search() == []


def test_settings_that_mean_nothing_fail_without_retry(
    ledger: Ledger, same: str, reference: str
) -> None:
    operator = gate(data=same, reference=reference, methods=["median"])
    with pytest.raises(AirflowFailException, match="median"):
        operator.execute(context_of(operator))


def test_a_reference_elsewhere_is_fetched(
    ledger: Ledger, same: str, profile: str, elsewhere: MemoryFileSystem
) -> None:
    elsewhere.pipe("/drift/profile.json", Path(profile).read_bytes())
    operator = gate(data=same, reference="memory://drift/profile.json")
    report = operator.execute(context_of(operator))
    assert report["reference"]["path"] == "memory://drift/profile.json"
    assert report["reference"]["profile"] is True


def test_every_template_field_is_rendered(ledger: Ledger, same: str, reference: str) -> None:
    with DAG("d"):
        operator = gate(
            data="{{ data }}",
            reference="{{ reference }}",
            thresholds={"psi": "{{ limit }}"},
            columns=["{{ column }}"],
            methods=["{{ method }}"],
            partition="{{ part }}",
        )
    context = context_of(operator)
    values = {"data": same, "reference": reference, "limit": 0.3, "column": "amount", "part": "7"}
    values["method"] = "psi"
    operator.render_template_fields({**context, **values})
    report = operator.execute(context)
    assert (report["compared"], report["partition"]) == (1, "7")
    [criterion] = ledger.get(report["record"]).criteria
    assert criterion["limit"] == {"critical": 0.3}


def test_the_alias_is_an_outlet_only_of_a_named_data_set_that_is_announced() -> None:
    given = {"data": "x", "reference": "y"}
    assert gate(**given).outlets == [data_alias("orders")]
    assert gate(**given, announce=False).outlets == []
    assert gate(**{**given, "dataset": "{{ params.name }}"}).outlets == []
