"""Read what the report tells from the store and from Airflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.demo.facts import Facts, LeaseUse, LiveMonth, runs_of
from airflow_ai_provider.demo.ledger import Gates
from airflow_ai_provider.demo.people import Answer
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_metric, lease, lease_device


def read_facts(gates: Gates, runs: Iterable[Mapping[str, Any]], answers: Sequence[Answer]) -> Facts:
    """Return everything that the report tells; ``runs`` are as Airflow's API lists them."""
    store = gates.store()
    return Facts(
        runs=runs_of(runs, datetime.now(timezone.utc)),
        records=gates.records(),
        leases=_leases(store) if store else [],
        live=_live(store) if store else [],
        answers=answers,
    )


def _leases(store: Store) -> list[LeaseUse]:
    statement = (
        sa.select(lease, lease_device.c.device_uuid)
        .join(lease_device, lease_device.c.lease_id == lease.c.id)
        .order_by(lease.c.granted_at)
    )
    with store.read() as connection:
        rows = connection.execute(statement).all()
    return [
        LeaseUse(
            lease=f"{row.id}:{row.fence}",
            device=row.device_uuid,
            task=_task(row),
            state=row.state,
            began=row.granted_at,
            ended=row.released_at,
        )
        for row in rows
    ]


def _task(row: Any) -> str:
    if row.task_id is None:
        return "outside Airflow"
    mapped = f"[{row.map_index}]" if (row.map_index or 0) >= 0 and row.map_index is not None else ""
    return f"{row.dag_id}.{row.task_id}{mapped}"


def _live(store: Store) -> list[LiveMonth]:
    table = feedback_metric
    statement = sa.select(table).where(table.c.slice == "", table.c.value.is_not(None))
    order = (table.c.partition, table.c.model_name, table.c.model_version)
    found: dict[tuple[str, str, str], LiveMonth] = {}
    with store.read() as connection:
        for row in connection.execute(statement.order_by(*order)):
            key = (row.model_name, row.model_version, row.partition)
            before = found.get(key)
            figures = dict(before.figures) if before else {}
            figures[row.metric] = (row.value, row.low, row.high)
            found[key] = LiveMonth(
                model=row.model_name,
                version=row.model_version,
                month=row.partition,
                figures=figures,
                n=max(row.n, before.n if before else 0),
            )
    return list(found.values())
