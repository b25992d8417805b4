"""What the store knows around projects, in few queries: gates, live metrics, devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateKind, GateRecord
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import (
    feedback_metric,
    gate_record,
    gpu_request,
    lease,
    lease_device,
)

_FIELDS = [gate_record.c[name] for name in GateRecord.__dataclass_fields__]


@dataclass(frozen=True, kw_only=True)
class PhaseDecided:
    """A decision on a project, without its criteria: of which subject, how, and when."""

    subject: str
    verdict: str
    at: datetime
    by: str


@dataclass(frozen=True, kw_only=True)
class DeviceUse:
    """Hours in which a project's tasks held devices, by phase: whole ones, and shares of one."""

    phase: str | None
    whole_hours: float
    shared_hours: float


class ProjectFigures:
    """The figures of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def phase_decisions(self, subjects: Collection[str]) -> list[PhaseDecided]:
        """Return the phase decisions on exactly these subjects, oldest first."""
        columns = gate_record.c
        statement = (
            sa.select(columns.subject, columns.verdict, columns.created_at, columns.decided_by)
            .where(columns.subject.in_(list(subjects)), columns.kind == GateKind.PHASE.value)
            .order_by(columns.sequence)
        )
        with self.store.read() as connection:
            return [
                PhaseDecided(
                    subject=row.subject,
                    verdict=row.verdict,
                    at=datetime.fromisoformat(row.created_at),
                    by=row.decided_by,
                )
                for row in connection.execute(statement)
            ]

    def records(self, subjects: Sequence[str], *, limit: int) -> list[GateRecord]:
        """Return the newest records on these subjects or below them, the newest first."""
        named = [
            (gate_record.c.subject == subject)
            | gate_record.c.subject.startswith(f"{subject}/", autoescape=True)
            for subject in subjects
        ]
        statement = (
            sa.select(*_FIELDS)
            .where(sa.or_(sa.false(), *named))
            .order_by(gate_record.c.sequence.desc())
            .limit(limit)
        )
        with self.store.read() as connection:
            return [GateRecord(**row._mapping) for row in connection.execute(statement)]

    def live_metrics(self, models: Sequence[str], metrics: Collection[str]) -> list[dict[str, Any]]:
        """Return the points of the named metrics over all rows of these models, in order."""
        columns = feedback_metric.c
        statement = (
            sa.select(
                columns.model_name, columns.model_version, columns.partition, columns.metric,
                columns.value, columns.low, columns.high, columns.n, columns.computed_at,
            )
            .where(
                columns.model_name.in_(list(models)),
                columns.metric.in_(list(metrics)),
                columns.slice == "",
            )
            .order_by(columns.partition, columns.computed_at)
        )  # fmt: skip
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def device_use(self, project: str) -> list[DeviceUse]:
        """Return the hours of devices that tasks of ``project`` held, as far as leases are kept."""
        whole = sa.func.sum(sa.case((lease_device.c.memory_mib.is_(None), 1), else_=0))
        shared = sa.func.sum(sa.case((lease_device.c.memory_mib.is_not(None), 1), else_=0))
        phase = gpu_request.c.spec["phase"].as_string()
        statement = (
            sa.select(
                phase.label("phase"),
                lease.c.activated_at,
                lease.c.released_at,
                whole.label("whole"),
                shared.label("shared"),
            )
            .select_from(lease.join(gpu_request).join(lease_device))
            .where(
                gpu_request.c.spec["project"].as_string() == project,
                lease.c.activated_at.is_not(None),
            )
            .group_by(lease.c.id, gpu_request.c.id)  # both keys: the rest depends on them
        )
        with self.store.read() as connection:
            now = self.store.utcnow(connection)
            return _summed([dict(row._mapping) for row in connection.execute(statement)], now)


def _summed(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[DeviceUse]:
    hours: dict[str | None, tuple[float, float]] = {}
    for row in rows:
        held = ((row["released_at"] or now) - row["activated_at"]).total_seconds() / 3600
        whole, shared = hours.get(row["phase"], (0.0, 0.0))
        hours[row["phase"]] = (whole + held * row["whole"], shared + held * row["shared"])
    return [
        DeviceUse(phase=phase, whole_hours=whole, shared_hours=shared)
        for phase, (whole, shared) in hours.items()
    ]
