"""The report as a task, sent by a notifier, and deadlines set by the plan."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from airflow_ai_provider.core.errors import LifecycleError, ProjectFileError
from airflow_ai_provider.notifications.deadlines import milestone_deadline, planned_end
from airflow_ai_provider.operators.project_report import ProjectReportOperator
from airflow_ai_provider.store.engine import Store
from tests.services.project_scene import HOSTILE, NAME, TEMPLATE, lived, plan_of

SENT: list[str] = []


class Postbox(BaseNotifier):
    """Keeps what it is told to send."""

    template_fields = ("message",)

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def notify(self, context: Any) -> None:
        SENT.append(f"{self.message} ({context['report']['phase']})")


class Broken(BaseNotifier):
    """Never sends anything."""

    def notify(self, context: Any) -> None:
        raise ConnectionError(context["report"]["project"])


@pytest.fixture
def store(here: Store) -> Store:
    SENT.clear()
    return here


def context_of(operator: Any) -> dict[str, Any]:
    dag = SimpleNamespace(get_template_env=lambda **_: None)
    return {"ti": SimpleNamespace(task=operator), "task": operator, "run_id": "r", "_dag": dag}


def test_it_writes_both_files_and_sends_them(store: Store, tmp_path: Path) -> None:
    lived(store, plan_of(title=HOSTILE))
    operator = ProjectReportOperator(
        task_id="report",
        project=NAME,
        html=str(tmp_path / "out" / "report.html"),
        markdown=str(tmp_path / "out" / "report.md"),
        notifiers=[Postbox("{{ report.project }} ends by {{ report.p50 }}")],
        risks_fired={"season": "Calibration left its band."},
        money_spent={"pilot": "EUR 10"},
        kpi_values={"answer_time": [{"at": "2026-01-01", "value": 31}]},
    )
    result = operator.execute(context_of(operator))
    assert json.loads(json.dumps(result)) == result
    page = Path(result["html"]).read_text()
    assert "<script" not in page
    assert "Calibration left its band." in page
    assert "EUR 10" in page
    assert result["text"] == Path(result["markdown"]).read_text()
    sent = f"{NAME} ends by {result['p50']} (pilot)"
    assert sent in SENT
    assert len(SENT) == 1
    assert result["waiting_for"] == ["ml"]
    assert "discovery" in result["late"]


def test_kpis_that_a_query_tells_are_asked_for(store: Store, tmp_path: Path) -> None:
    asked = {"kind": "business", "target": "at least two"}
    measures = {
        "known": {"query": {"sql": "select 2 + 1", "conn_id": None}, "at_least": 2},
        "wrong": {"query": {"sql": "select nothing", "conn_id": None}, "at_least": 2},
        "away": {"query": {"sql": "select 1", "conn_id": "no_such"}, "at_least": 2},
    }
    kpis = [{"name": name, "measure": measure, **asked} for name, measure in measures.items()]
    risk = {"likelihood": 1, "impact": 1, "owner": "sponsor", "mitigation": "look"}
    risks = [{"name": "low", "trigger": {"kpi": "known", "below": 5}, **risk}]
    lived(store, plan_of(kpis=kpis, risks=risks))
    page = tmp_path / "report.html"
    operator = ProjectReportOperator(task_id="report", project=NAME, html=str(page))
    operator.execute(context_of(operator))
    text = page.read_text()
    assert "3 (met)" in text
    assert "known is 3, below 5." in text
    assert "not measured: the query fails" in text
    assert "not measured: there is no connection no_such" in text


def test_a_notifier_that_fails_keeps_no_other_from_being_sent(store: Store) -> None:
    lived(store)
    operator = ProjectReportOperator(
        task_id="report", project=NAME, notifiers=[Broken(), Postbox("sent")]
    )
    with pytest.raises(ConnectionError, match=NAME):
        operator.execute(context_of(operator))
    assert SENT == ["sent (pilot)"]


def test_nothing_is_written_that_nobody_asked_for(store: Store, tmp_path: Path) -> None:
    lived(store)
    before = {p.name for p in tmp_path.iterdir()}
    operator = ProjectReportOperator(task_id="report", project=NAME, notifiers=Postbox("sent"))
    result = operator.execute(context_of(operator))
    assert (result["html"], result["markdown"]) == (None, None)
    assert result["text"].startswith("# Late arrivals")
    assert {p.name for p in tmp_path.iterdir()} == before
    assert SENT == ["sent (pilot)"]


def test_a_report_is_written_for_those_who_may_see_the_project(
    store: Store, tmp_path: Path
) -> None:
    uses = [
        {**use, "visible_to": ["role:Op"] if number else None}
        for number, use in enumerate(plan_of()["use_cases"])
    ]
    lived(store, plan_of(use_cases=uses, visible_to=["sponsor", "role:Op"]))

    def told(**readers: Any) -> str:
        page = tmp_path / "report.html"
        operator = ProjectReportOperator(task_id="report", project=NAME, html=str(page), **readers)
        text = operator.execute(context_of(operator))["text"]
        return str(text) + page.read_text()

    name, few = uses[0]["name"], uses[1]["name"]
    for readers, shown in (({}, False), ({"readers": ["sponsor"]}, False),
                           ({"readers": ["role:Op"]}, True)):  # fmt: skip
        found = told(**readers)
        assert name in found
        assert (few in found) is shown
    with pytest.raises(AirflowFailException, match="knows no project"):
        told(readers=["sponsor", "user:eve"])


def test_the_project_may_be_named_by_its_file(store: Store) -> None:
    lived(store)
    operator = ProjectReportOperator(task_id="report", project=TEMPLATE.name)
    dag = SimpleNamespace(fileloc=str(TEMPLATE.with_name("x.py")))
    assert operator.execute(context_of(operator) | {"dag": dag})["project"] == NAME


def test_an_unknown_project_and_a_path_that_is_none_fail_the_task(
    store: Store, tmp_path: Path
) -> None:
    operator = ProjectReportOperator(task_id="report", project="nothing")
    with pytest.raises(AirflowFailException, match="knows no project nothing"):
        operator.execute(context_of(operator))
    lived(store)
    (tmp_path / "file").write_text("")
    operator = ProjectReportOperator(
        task_id="report", project=NAME, html=str(tmp_path / "file" / "x.html")
    )
    with pytest.raises(AirflowFailException, match="cannot be written"):
        operator.execute(context_of(operator))


def test_a_deadline_is_the_evening_on_which_the_plan_expects_the_milestone_to_end() -> None:
    # discovery takes 5.5 days, the pilots 10.8: the seventeenth working day
    assert planned_end(TEMPLATE, "pilots", start=date(2026, 3, 2)) == date(2026, 3, 24)
    callback = AsyncCallback("tests.edge.test_project_report.Postbox", kwargs={"message": "late"})
    alert = milestone_deadline(
        TEMPLATE, "pilots", start=date(2026, 3, 2), callback=callback, grace=timedelta(hours=8)
    )
    said = alert.reference.serialize_reference()
    assert said["datetime"] == datetime(2026, 3, 25, tzinfo=timezone.utc).timestamp()
    assert alert.interval == timedelta(hours=8)


def test_a_dag_with_such_a_deadline_is_one_for_airflow() -> None:
    callback = AsyncCallback("tests.edge.test_project_report.Postbox", kwargs={"message": "late"})
    alert = milestone_deadline(TEMPLATE, "pilots", start=date(2026, 3, 2), callback=callback)
    dag = DAG("pilot", schedule=None, deadline=alert)
    kept = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    assert "FixedDatetimeDeadline" in json.dumps(kept)
    assert DagSerialization.from_dict(kept).deadline


def test_a_deadline_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="Name one of discovery, pilots"):
        planned_end(TEMPLATE, "what", start=date(2026, 3, 2))
    with pytest.raises(ProjectFileError):
        planned_end(tmp_path / "none.yaml", "pilots", start=date(2026, 3, 2))
