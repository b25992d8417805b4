"""Reports beside the ledger: with their record or not at all, and never too many."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateDraft, GateKind, Origin, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gate_reports import GateReports
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import gate_report


def draft(subject: str = "ai-data://orders/1", **fields: Any) -> GateDraft:
    return GateDraft(
        **{"kind": GateKind.DATA, "subject": subject, "verdict": Verdict.PASS} | fields
    )


def of_task(run: str, **fields: Any) -> GateDraft:
    origin = Origin(dag_id="d", run_id=run, task_id="gate", map_index=-1, try_number=1)
    return draft(origin=origin, **fields)


def test_a_report_stands_beside_its_record(store: Store) -> None:
    reports = GateReports(store)
    document = {"title": "Grüße, \N{SNOWMAN}", "findings": [{"n": 1.5, "none": None}]}
    record = reports.append(draft(), document)
    assert reports.find(record.id) == document
    assert Ledger(store).get(record.id) == record
    assert Ledger(store).verify() == (1, None)
    assert reports.find("none") is None


def test_a_retried_decision_keeps_its_one_report(store: Store) -> None:
    reports = GateReports(store)
    first = reports.append(draft(), {"n": 1}, key="k")
    again = reports.append(draft(), {"n": 2}, key="k")
    assert again == first
    assert reports.find(first.id) == {"n": 1}


def test_a_report_that_cannot_be_kept_leaves_no_record(store: Store) -> None:
    with pytest.raises((sa.exc.StatementError, TypeError)):
        GateReports(store).append(draft(), {"n": object()})
    assert Ledger(store).verify() == (0, None)


def test_the_oldest_reports_go_and_their_records_stay(store: Store) -> None:
    reports = GateReports(store, keep=3)
    records = [reports.append(draft(f"ai-data://orders/{n}"), {"n": n}) for n in range(5)]
    assert [reports.find(r.id) for r in records] == [None, None, {"n": 2}, {"n": 3}, {"n": 4}]
    assert Ledger(store).verify() == (5, None)
    with store.read() as connection:
        count = sa.select(sa.func.count()).select_from(gate_report)
        assert connection.execute(count).scalar_one() == 3


def test_the_newest_decision_of_a_task_is_found(store: Store) -> None:
    reports, ledger = GateReports(store), Ledger(store)
    assert reports.newest_of_task("d", "r1", "gate") is None
    reports.append(of_task("r1", verdict=Verdict.FAIL), {})
    newest = reports.append(of_task("r1"), {})
    reports.append(of_task("r2"), {})
    ledger.append(of_task("r1", kind=GateKind.OVERRIDE))
    assert reports.newest_of_task("d", "r1", "gate") == newest
    assert reports.newest_of_task("d", "r1", "other") is None
    assert reports.newest_of_task("d", "r1", "gate", 0) is None


def test_decisions_are_those_of_one_data_set_and_its_parts(store: Store) -> None:
    ledger = Ledger(store)
    for subject in ("ai-data://or", "ai-data://or/1", "ai-data://orders/1", "ai-data://o_/1"):
        ledger.append(draft(subject))
    ledger.append(draft("ai-data://or/2", kind=GateKind.DRIFT))
    ledger.append(draft("ai-data://or/3", kind=GateKind.OVERRIDE))
    reports = GateReports(store)
    found = [record.subject for record in reports.decisions("ai-data://or")]
    assert found == ["ai-data://or/2", "ai-data://or/1", "ai-data://or"]
    assert len(reports.decisions()) == 5
    assert [r.subject for r in reports.decisions(limit=1)] == ["ai-data://or/2"]
    assert [r.subject for r in reports.decisions("ai-data://o_")] == ["ai-data://o_/1"]
