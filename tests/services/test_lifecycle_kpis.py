"""KPI values from gates, feedback and queries; risks that fired; what nobody can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gate import Criterion, GateDraft, GateKind, Verdict
from airflow_ai_provider.core.lifecycle.kpis import Kpi, KpiMeasure
from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.services.kpi_values import fired_risks, kpi_values
from airflow_ai_provider.services.lifecycle import load_project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger

GOOD = load_project(Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml")


def asking(**measure: Any) -> Project:
    """The project with one KPI, measured so."""
    kpi = Kpi(name="figure", kind="cost", target="10", measure=KpiMeasure(**measure, at_least=10.0))
    return GOOD.model_copy(update={"kpis": (kpi,)})


def judged(store: Store, observed: Any, subject: str = "mlflow://flight_delays/1") -> None:
    criterion = Criterion(
        name="ranks", limit=0.7, observed=observed, verdict=Verdict.PASS, sentence="x"
    )
    draft = GateDraft(
        kind=GateKind.MODEL, subject=subject, verdict=Verdict.PASS, criteria=(criterion,)
    )
    Ledger(store).append(draft)


def test_the_newest_gate_that_observed_it_counts(store: Store) -> None:
    values = {value.name: value for value in kpi_values(GOOD, store)}
    assert "no gate of" in str(values["ranking_quality"].problem)
    judged(store, 0.66)
    judged(store, 0.75)
    judged(store, None)
    judged(store, 0.1, subject="mlflow://flight_delays_2/1")
    value = {value.name: value for value in kpi_values(GOOD, store)}["ranking_quality"]
    assert (value.value, value.met, value.problem, value.source) == (0.75, True, None, "gate")


def test_the_newest_partition_of_a_live_metric_counts_and_fires_its_risk(store: Store) -> None:
    for partition, gap in (("2013-05", -0.08), ("2013-04", 0.01)):
        point = {
            "model_name": "flight_delays", "model_version": "1", "partition": partition,
            "slice": "", "metric": "gap", "value": gap, "low": None, "high": None, "n": 5,
        }  # fmt: skip
        MetricSeries(store).write([point])
    values = kpi_values(GOOD, store)
    value = {value.name: value for value in values}["trusted_probability"]
    assert (value.value, value.met, value.at) == (-0.08, False, "2013-05")
    assert fired_risks(GOOD, values) == {"season": True}


@pytest.mark.parametrize(
    ("query", "value", "problem"),
    [
        ({"sql": "SELECT 12"}, 12.0, None),
        ({"sql": "SELECT 3"}, 3.0, None),
        ({"sql": "SELECT 1, 2"}, None, "not one value"),
        ({"sql": "SELECT 1 FROM range(3)"}, None, "2 rows"),
        ({"sql": "SELECT 'many'"}, None, "no number"),
        ({"sql": "SELECT FROM"}, None, "the query fails"),
        ({"sql": "SELECT 11", "conn_id": "db"}, 11.0, None),
        ({"sql": "SELECT nothing", "conn_id": "db"}, None, "the query fails"),
    ],
)
def test_query_is_one_number_or_says_why_not(
    store: Store, query: dict[str, Any], value: float | None, problem: str | None
) -> None:
    (found,) = kpi_values(asking(query=query), store, address=lambda _: "sqlite://")
    assert found.value == value
    assert (problem or "") in (found.problem or "")
    assert (found.problem is None) == (value is not None)
    assert found.met == (None if value is None else value >= 10)


def test_connection_outside_airflow_is_not_asked(store: Store) -> None:
    (found,) = kpi_values(asking(query={"sql": "SELECT 1", "conn_id": "db"}), store)
    assert "inside Airflow only" in str(found.problem)


@given(
    low=st.none() | st.floats(-1e6, 1e6),
    high=st.none() | st.floats(-1e6, 1e6),
    value=st.floats(-1e6, 1e6),
)
def test_bounds_are_met_when_the_value_lies_between(low: Any, high: Any, value: float) -> None:
    within = (low is None or low <= value) and (high is None or value <= high)
    assert KpiMeasure(at_least=low, at_most=high).meets(value) is within
