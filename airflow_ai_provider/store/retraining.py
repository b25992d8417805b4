"""Retrainings in the ledger: which was decided last, and which is under way."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateKind, Origin, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import gate_record


def last_decided(
    store: Store, model_name: str, *, before: date, but_of: Origin
) -> tuple[date | None, datetime | None]:
    """Return the newest window's end before ``before`` that led to a retraining, and when one did.

    The moment is that of the newest decision, whatever its window, but of the task ``but_of``.
    """
    with store.read() as connection:
        rows = connection.execute(_yes(model_name)).all()
    ends = [
        date.fromisoformat(row.evidence["window_end"])
        for row in rows
        if row.evidence.get("window_end")
    ]
    moments = [datetime.fromisoformat(row.created_at) for row in rows if not _is_of(row, but_of)]
    return max((end for end in ends if end < before), default=None), max(moments, default=None)


def under_way(
    connection: sa.Connection,
    model_name: str,
    *,
    now: datetime,
    within: timedelta,
    but_of: Origin,
) -> str | None:
    """Return the record of the retraining that is under way; None when there is none.

    One is from its decision until a candidate of the model is judged, or ``within`` is over.
    """
    for row in reversed(connection.execute(_yes(model_name)).all()):
        if datetime.fromisoformat(row.created_at) < now - within:
            return None
        if _is_of(row, but_of):
            continue
        judged = connection.execute(
            sa.select(gate_record.c.id)
            .where(
                gate_record.c.kind == GateKind.MODEL.value,
                gate_record.c.subject.startswith(f"mlflow://{model_name}/", autoescape=True),
                gate_record.c.sequence > row.sequence,
            )
            .limit(1)
        ).first()
        return None if judged else str(row.id)
    return None


def _yes(model_name: str) -> sa.Select[tuple[object, ...]]:
    subject = gate_record.c.subject
    return (
        sa.select(
            gate_record.c.id,
            gate_record.c.sequence,
            gate_record.c.created_at,
            gate_record.c.evidence,
            gate_record.c.dag_id,
            gate_record.c.run_id,
            gate_record.c.task_id,
            gate_record.c.map_index,
        )
        .where(
            gate_record.c.kind == GateKind.RETRAIN.value,
            gate_record.c.verdict == Verdict.PASS.value,
            subject.startswith(f"mlflow://{model_name}/", autoescape=True),
        )
        .order_by(gate_record.c.sequence)
    )


def _is_of(row: sa.Row[tuple[object, ...]], origin: Origin) -> bool:
    if origin.task_id is None:
        return False
    place = (origin.dag_id, origin.run_id, origin.task_id, origin.map_index)
    return (row.dag_id, row.run_id, row.task_id, row.map_index) == place
