"""What a project's KPIs are today: from gate records, from feedback, or from a query."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_ai_provider.core.errors import AirflowAiError, DataReadError, LifecycleError
from airflow_ai_provider.core.gate import GateRecord
from airflow_ai_provider.core.lifecycle.kpis import (
    FeedbackFigure,
    GateFigure,
    Kpi,
    KpiValue,
    QueryFigure,
)
from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger

_PAGE = 100

Address = Callable[[str], str]
"""The database URL behind the id of an Airflow connection."""


def kpi_values(project: Project, store: Store, *, address: Address | None = None) -> list[KpiValue]:
    """Return each KPI as it stands; what nobody can tell says why in ``problem``.

    ``address`` turns a query's ``conn_id`` into a database URL; without it such queries are not
    asked.
    """
    return [_value(kpi, store, address) for kpi in project.kpis]


def query_values(
    kpis: Iterable[Mapping[str, Any]], store: Store, *, address: Address | None = None
) -> list[KpiValue]:
    """Return those of a stored plan's KPIs that a query tells, as ``kpi_values`` does."""
    asked = (kpi for kpi in kpis if (kpi.get("measure") or {}).get("query"))
    return [_value(Kpi.model_validate_json(json.dumps(kpi)), store, address) for kpi in asked]


def fired_risks(project: Project, values: list[KpiValue]) -> dict[str, bool | None]:
    """Return, of each risk with a trigger, whether it has come true; None: nobody knows."""
    known = {value.name: value.value for value in values}
    found: dict[str, bool | None] = {}
    for risk in project.risks:
        if risk.trigger is None:
            continue
        value, trigger = known.get(risk.trigger.kpi), risk.trigger
        if value is None:
            found[risk.name] = None
        elif trigger.above is not None:
            found[risk.name] = value > trigger.above
        else:
            found[risk.name] = trigger.below is not None and value < trigger.below
    return found


def _value(kpi: Kpi, store: Store, address: Address | None) -> KpiValue:
    about: dict[str, Any] = {"name": kpi.name, "kind": kpi.kind, "target": kpi.target}
    measure = kpi.measure
    if measure is None:
        return KpiValue(**about, problem="the project file names no measure")
    about["source"] = measure.sources[0]
    try:
        if measure.gate:
            value, at = _of_gate(measure.gate, store)
        elif measure.feedback:
            value, at = _of_feedback(measure.feedback, store)
        else:
            assert measure.query is not None  # noqa: S101 - the parser lets nothing else through
            value, at = _of_query(measure.query, address), None
    except AirflowAiError as error:
        return KpiValue(**about, problem=error.message)
    return KpiValue(**about, value=value, at=at, met=measure.meets(value))


def _of_gate(wanted: GateFigure, store: Store) -> tuple[float, str]:
    """Return what the newest record that has the criterion observed, and when."""
    ledger, offset = Ledger(store), 0
    while page := ledger.search(
        subject_or_below=wanted.subject, newest_first=True, limit=_PAGE, offset=offset
    ):
        for record in page:
            value = _observed(record, wanted.criterion)
            if value is not None:
                return value, record.created_at
        offset += _PAGE
    raise LifecycleError(f"no gate of {wanted.subject} has observed {wanted.criterion}")


def _observed(record: GateRecord, criterion: str) -> float | None:
    for found in record.criteria:
        value = found["observed"]
        if found["name"] == criterion and isinstance(value, (int, float)):
            return float(value)
    return None


def _of_feedback(wanted: FeedbackFigure, store: Store) -> tuple[float, str]:
    """Return the newest value of a live metric, and its partition."""
    points = MetricSeries(store).read(wanted.model, metric=wanted.metric)
    known = [point for point in points if point["value"] is not None]
    if not known:
        raise LifecycleError(f"nobody measured {wanted.metric} of {wanted.model} live")
    newest = max(known, key=lambda point: (point["partition"], point["computed_at"]))
    return float(newest["value"]), str(newest["partition"])


def _of_query(wanted: QueryFigure, address: Address | None) -> float:
    if wanted.conn_id is None:
        rows = _from_files(wanted.sql)
    elif address is None:
        raise LifecycleError(f"the connection {wanted.conn_id} is known inside Airflow only")
    else:
        rows = _from_database(wanted.sql, address(wanted.conn_id))
    if len(rows) != 1 or len(rows[0]) != 1:
        raise LifecycleError(f"the query returns {len(rows)} rows, not one value")
    try:
        return float(rows[0][0])
    except (TypeError, ValueError) as error:
        raise LifecycleError(f"the query returns {rows[0][0]!r}, no number") from error


def _from_files(sql: str) -> list[Any]:
    import duckdb

    try:
        with duckdb.connect() as connection:
            return list(connection.execute(sql).fetchmany(2))
    except duckdb.Error as error:
        raise DataReadError(f"the query fails: {str(error).splitlines()[0]}") from error


def _from_database(sql: str, url: str) -> list[Any]:
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(sa.text(sql)).fetchmany(2))
    except sa.exc.SQLAlchemyError as error:
        raise DataReadError(f"the query fails: {type(error).__name__}") from error
    finally:
        engine.dispose()
