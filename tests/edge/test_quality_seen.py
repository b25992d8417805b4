"""A gate is seen in Airflow: its link, its page, its stats and its lineage."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_ai_provider.core.lifecycle.visible import EVERYTHING
from airflow_ai_provider.core.quality.lineage import named, of_quality
from airflow_ai_provider.core.quality.result import DataSeen
from airflow_ai_provider.links.quality import QualityReportLink, page_of
from airflow_ai_provider.operators.drift import DriftGateOperator
from airflow_ai_provider.operators.quality import DataQualityGateOperator
from airflow_ai_provider.plugins._guard import sight_of_user
from airflow_ai_provider.plugins.quality import add_quality_routes
from airflow_ai_provider.services.quality import check
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gate_reports import GateReports
from airflow_ai_provider.store.ledger import Ledger
from tests.edge.airflow_versions import telling

OPENLINEAGE = importlib.util.find_spec("airflow.providers.openlineage") is not None
HOSTILE = "<script>alert(1)</script>"
SUITE = {
    "name": "orders",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "amount", "min_value": 0},
        },
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "who", "value_set": ["a"]},
            "severity": "warning",
        },
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "who"}},
    ],
}


class Events:
    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        json.dumps(extra)


class TaskInstance(SimpleNamespace):
    def xcom_push(self, key: str, value: Any) -> None:
        json.dumps(value)
        self.pushed[key] = value


def context_of(operator: Any) -> Any:
    ti = TaskInstance(
        dag_id="d", run_id="r 1/2", task_id=operator.task_id, map_index=-1, try_number=1,
        pushed={}, task=operator,
    )  # fmt: skip
    return {"ti": ti, "outlet_events": defaultdict(Events)}


class FakeBackend:
    """A stats backend that remembers what was said with tags."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, ...], float] = {}

    def gauge(
        self, stat: str, value: float, *, tags: dict[str, str] | None = None, **_: Any
    ) -> None:
        self.said[(stat, *(tags or {}).values())] = value

    def incr(self, stat: str, count: int = 1, *, tags: dict[str, str] | None = None) -> None:
        self.said[(stat, *(tags or {}).values())] = count


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    fake = FakeBackend()
    with telling(fake):
        yield fake


@pytest.fixture
def client(here: Store) -> TestClient:
    app = FastAPI()
    add_quality_routes(app)
    app.dependency_overrides[sight_of_user] = lambda: EVERYTHING
    return TestClient(app)


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "orders.csv"
    rows = [f"{i},a" for i in range(20)] + [f"-5,{HOSTILE}", "-6,", "3,b"]
    file.write_text("amount,who\n" + "\n".join(rows))
    return str(file)


def gate(**arguments: Any) -> DataQualityGateOperator:
    return DataQualityGateOperator(
        **{"task_id": "gate", "suite": SUITE, "dataset": "orders", "partition": "1"} | arguments
    )


def refused(operator: Any) -> Any:
    context = context_of(operator)
    with pytest.raises(AirflowFailException):
        operator.execute(context)
    return context


def followed(client: TestClient, context: Any) -> str:
    """Open what the link of a task instance leads to."""
    address = context["ti"].pushed[QualityReportLink().xcom_key]
    assert address.startswith("/airflow-ai/quality/task?")
    found = client.get(address.removeprefix("/airflow-ai"))
    assert found.status_code == 200
    assert "script-src" not in found.headers["content-security-policy"]
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert "<script" not in found.text
    return found.text


def test_the_link_leads_to_the_page_of_a_gate_that_failed(
    client: TestClient, here: Store, data: str
) -> None:
    context = refused(gate(data=data))
    page = followed(client, context)
    for said in (
        "ai-data://orders/1",
        "failed",
        "expect_column_values_to_be_between",
        "at least 0",
    ):
        assert said in page
    assert page.count("<figure>") == 3
    assert "&lt;script&gt;alert(1)" in page
    [record] = Ledger(here).search()
    assert client.get(f"/quality/record/{record.id}").status_code == 200
    assert client.get("/quality/record/none").status_code == 404


def test_data_without_rows_are_seen_to_be_that(
    client: TestClient, tmp_path: Path, backend: FakeBackend
) -> None:
    (tmp_path / "empty.csv").write_text("amount,who\n")
    page = followed(client, refused(gate(data=str(tmp_path / "empty.csv"))))
    assert "The data have no rows" in page
    assert backend.said[("ai_quality.rows", "data", "orders", "orders")] == 0
    assert backend.said[("ai_quality.failed", "data", "orders", "orders", "critical")] == 1


def test_the_link_is_there_before_anything_was_looked_at(
    client: TestClient, tmp_path: Path
) -> None:
    context = refused(gate(data=str(tmp_path / "none.csv")))
    page = followed(client, context)
    assert "no decision yet" in page
    assert 'http-equiv="refresh"' in page


def test_a_list_shows_each_data_set_and_its_past(client: TestClient, data: str) -> None:
    assert "No data gate" in client.get("/quality/list").text
    refused(gate(data=data))
    gate(data=data, on_fail="warn", partition="2").execute(context_of(gate(data=data)))
    listed = client.get("/quality/list").text
    assert listed.count("ai-data%3A%2F%2Forders") == 1
    assert 'class="spark"' in listed
    past = client.get("/quality/dataset", params={"name": "ai-data://orders"}).text
    assert past.index(">2</a>") < past.index(">1</a>")
    nothing = client.get("/quality/dataset", params={"name": HOSTILE})
    assert "no decision on this data set" in nothing.text
    assert "<script" not in nothing.text


def test_a_record_without_a_report_shows_itself(client: TestClient, here: Store, data: str) -> None:
    result = check(data, SUITE)
    record = Ledger(here).append(result.draft())
    page = client.get(f"/quality/record/{record.id}").text
    assert "was not kept" in page
    assert "expect_column_values_to_be_between(amount)" in page
    assert "23" in page


def test_a_gate_may_keep_values_to_itself(client: TestClient, here: Store, data: str) -> None:
    page = followed(client, refused(gate(data=data, report_values=False)))
    assert "alert(1)" not in page
    assert "Values of rows are not kept" in page
    [record] = Ledger(here).search()
    assert "alert(1)" not in str(GateReports(here).find(record.id))


def test_a_drift_gate_has_the_same_page(client: TestClient, tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("x\n" + "\n".join(str(i) for i in range(200)))
    new.write_text("x\n" + "\n".join(str(i + 500) for i in range(200)))
    operator = DriftGateOperator(
        task_id="drift", data=str(new), reference=str(old), dataset="orders", partition="1"
    )
    page = followed(client, refused(operator))
    assert page.count("<figure>") == 1
    assert "reference" in page
    assert "psi is" in page


def test_the_address_is_that_of_airflows_own_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.org/airflow")
    address = page_of(dag_id="d", run_id="manual__2026-01-02T03:04:05+00:00", task_id="g.t")
    assert address == (
        "https://example.org/airflow/airflow-ai/quality/task?dag_id=d"
        "&run_id=manual__2026-01-02T03%3A04%3A05%2B00%3A00&task_id=g.t&map_index=-1"
    )


def test_the_stats_say_how_many_rows_and_what_failed(
    here: Store, data: str, backend: FakeBackend
) -> None:
    refused(gate(data=data))
    tags = ("data", "orders", "orders")
    assert backend.said[("ai_quality.rows", *tags)] == 23
    assert 0 < backend.said[("ai_quality.seconds", *tags)] < 60
    assert backend.said[("ai_quality.failed", *tags, "critical")] == 2
    assert backend.said[("ai_quality.failed", *tags, "warning")] == 1
    assert backend.said[("ai_quality.rows.data.orders",)] == 23


FILE = {"rows": 1, "kind": "files"}
TABLE = {"rows": 1, "kind": "table"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (DataSeen(path="/data/x.csv", **FILE), ("file", "/data/x.csv")),
        (DataSeen(path="file:///data/a%20b.csv", **FILE), ("file", "/data/a b.csv")),
        (DataSeen(path="s3://conn@bucket/a/b.parquet", **FILE), ("s3://bucket", "a/b.parquet")),
        (DataSeen(path="gs://bucket/a", **FILE), ("gs://bucket", "a")),
        (
            DataSeen(path="postgresql://db:5433/sales/public.orders", **TABLE),
            ("postgres://db:5433", "sales.public.orders"),
        ),
        (
            DataSeen(path="postgresql://db/sales/orders", **TABLE),
            ("postgres://db:5432", "sales.public.orders"),
        ),
        (
            DataSeen(path="mysql://db:3306/sales/orders", **TABLE),
            ("mysql://db:3306", "sales.orders"),
        ),
        (
            DataSeen(path="sqlite:///srv/d.db/orders", **TABLE),
            ("file", "/srv/d.db/orders"),
        ),
        (
            DataSeen(path="postgresql://db/sales?query=abc", rows=1, kind="query"),
            ("postgres://db:5432", "sales.query-abc"),
        ),
        (DataSeen(path="frame", rows=1, kind="frame"), ("ai-data", "orders/1")),
    ],
)  # fmt: skip
def test_data_are_named_as_openlineage_names_them(
    seen: DataSeen, expected: tuple[str, str]
) -> None:
    assert named(seen, "orders", "1") == expected


def test_a_frame_of_no_data_set_has_no_name() -> None:
    assert named(DataSeen(path="frame", rows=1, kind="frame"), None, None) is None


def test_lineage_has_figures_and_no_values(data: str) -> None:
    looked = of_quality(check(data, SUITE))
    assert looked is not None
    assert (looked.namespace, looked.name, looked.rows) == ("file", data, 23)
    assert looked.size == Path(data).stat().st_size
    assert looked.columns == {"amount": {"nullCount": 0}, "who": {"nullCount": 1}}
    first, second, third = looked.asserted
    assert (first.assertion, first.success, first.column) == (
        "expect_column_values_to_be_between", False, "amount",
    )  # fmt: skip
    assert (first.severity, second.severity) == ("error", "warn")
    assert (first.expected, first.actual) == ("min_value=0", "2 unexpected")
    assert not third.success
    assert "alert" not in str(looked)


def test_a_gate_that_refused_tells_its_lineage(here: Store, data: str) -> None:
    operator = gate(data=data)
    refused(operator)
    found = operator.get_openlineage_facets_on_failure(None)
    if not OPENLINEAGE:
        assert found is None  # Airflow asks only where its OpenLineage provider is
        return
    [dataset] = found.inputs
    assert (dataset.namespace, dataset.name) == ("file", data)
    metrics = dataset.inputFacets["dataQualityMetrics"]
    assert (metrics.rowCount, metrics.bytes) == (23, Path(data).stat().st_size)
    assert metrics.columnMetrics["who"].nullCount == 1
    asserted = dataset.inputFacets["dataQualityAssertions"].assertions
    assert [(a.success, a.column) for a in asserted] == [
        (False, "amount"), (False, "who"), (False, "who"),
    ]  # fmt: skip
    tags = {tag.key: tag.value for tag in found.run_facets["tags"].tags}
    [record] = Ledger(here).search()
    assert tags["airflow_ai.gate_record"] == record.id
    assert tags["airflow_ai.verdict"] == "fail"
    assert operator.get_openlineage_facets_on_complete(None).inputs == found.inputs


def test_a_gate_that_did_not_look_tells_only_the_name(here: Store, tmp_path: Path) -> None:
    operator = gate(data=str(tmp_path / "none.csv"))
    refused(operator)
    found = operator.get_openlineage_facets_on_failure(None)
    if not OPENLINEAGE:
        assert found is None
        return
    [dataset] = found.inputs
    assert (dataset.name, dict(dataset.inputFacets or {})) == (str(tmp_path / "none.csv"), {})
    assert found.run_facets == {}
    assert operator.get_openlineage_facets_on_start().inputs == found.inputs
