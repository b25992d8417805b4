"""A store as large as a busy company's, for the pages' figures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import (
    GENESIS,
    Criterion,
    GateDraft,
    GateKind,
    GateRecord,
    Verdict,
    seal,
)
from airflow_ai_provider.core.gpu.lease import Host, Process, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.lifecycle import Projects
from airflow_ai_provider.store.schema import (
    gate_record,
    ledger_head,
    model_place,
    promotion_state,
)
from airflow_ai_provider.testing import fake_devices

PROJECTS, HOSTS, PER_HOST, MODELS, RECORDS, FEEDBACK = 50, 25, 8, 1_000, 100_000, 1_000_000
ENVIRONMENTS = ("dev", "test", "staging", "production")
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_AT_ONCE = 5_000
_MILESTONES = 12


def fill(store: Store) -> None:
    """Fill an empty store on PostgreSQL."""
    _projects(store)
    _ledger(store)
    _models(store)
    _devices(store)
    _feedback(store)


def _projects(store: Store) -> None:
    projects = Projects(store)
    for number in range(PROJECTS):
        milestones = [
            {
                "name": f"step_{step}",
                "phase": ("discovery", "pilot", "production")[step * 3 // _MILESTONES],
                "owner": "sponsor",
                "after": [f"step_{step - 1}"] if step else [],
                "estimate": {"best": 2, "likely": 5, "worst": 12},
                "deliverables": [],
            }
            for step in range(_MILESTONES)
        ]
        plan = {
            "business_need": "Fewer complaints about what is late. " * 3,
            "people": {"sponsor": {"user": "sponsor"}},
            "kpis": [{"name": "score", "kind": "human", "target": "at least 4"}],
            "use_cases": [{"name": f"model{number}", "title": f"Model {number}", "pilot": True}],
            "milestones": milestones,
            "risks": [],
        }
        projects.note(
            name=f"project{number}", title=f"Project {number}", owner="ml", path="p.yaml",
            digest="d", plan=plan, text="",
        )  # fmt: skip


def _ledger(store: Store) -> None:
    previous, rows = GENESIS, []
    with store.write() as connection:
        for sequence, draft in enumerate(_drafts(), 1):
            record = seal(
                draft,
                record_id=uuid.uuid4().hex,
                created_at=_START + timedelta(minutes=sequence),
                previous_hash=previous,
            )
            previous = record.hash
            rows.append({"sequence": sequence, **_values(record)})
            if len(rows) == _AT_ONCE:
                connection.execute(gate_record.insert(), rows)
                rows = []
        if rows:
            connection.execute(gate_record.insert(), rows)
        connection.execute(ledger_head.insert().values(id=1, sequence=RECORDS, hash=previous))


def _values(record: GateRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in GateRecord.__dataclass_fields__}


def _drafts() -> Iterator[GateDraft]:
    criterion = Criterion(
        name="rows", limit=1, observed=2, verdict=Verdict.PASS, sentence="There are rows enough."
    )
    moves = MODELS * len(ENVIRONMENTS)
    for number in range(moves):
        model, place = divmod(number, len(ENVIRONMENTS))
        yield GateDraft(
            kind=GateKind.PROMOTION,
            subject=f"mlflow://model{model}/1",
            verdict=Verdict.PASS,
            evidence={
                "model_name": f"model{model}",
                "environment": ENVIRONMENTS[place],
                "from": None,
                "to": "1",
                "why": "Version 1 came through the one before.",
            },
        )
    for number in range(RECORDS - moves):
        yield GateDraft(
            kind=GateKind.DATA,
            subject=f"ai-data://source{number % 300}/part{number}",
            verdict=Verdict.PASS if number % 9 else Verdict.FAIL,
            criteria=(criterion,) * 5,
        )


def _models(store: Store) -> None:
    with store.write() as connection:
        found = connection.execute(
            sa.select(gate_record.c.id, gate_record.c.created_at, gate_record.c.evidence).where(
                gate_record.c.kind == GateKind.PROMOTION.value
            )
        ).all()
        names = sorted({row.evidence["model_name"] for row in found})
        connection.execute(
            promotion_state.insert(), [{"model_name": name, "revision": 4} for name in names]
        )
        connection.execute(
            model_place.insert(),
            [
                {
                    "model_name": row.evidence["model_name"],
                    "environment": row.evidence["environment"],
                    "version": "1",
                    "since": row.created_at,
                    "record": row.id,
                }
                for row in found
            ],
        )


def _devices(store: Store) -> None:
    for number in range(HOSTS):
        name = f"gpu-{number:02}"
        gpu = GpuStore(store, Host(name=name, boot_id="b"))
        for holder in range(PER_HOST + 4):
            gpu.ask(
                Ticket(holder=f"{name}/{holder}", request=GpuRequest(gpus=1), host=name),
                process=Process(pid=holder + 1, start=1, uid=0),
                devices=fake_devices(PER_HOST, host=name),
            )


def _feedback(store: Store) -> None:
    with store.write() as connection:
        batch = connection.exec_driver_sql(
            "INSERT INTO feedback_batch (sources, read, stored, revised, duplicates, quarantined,"
            f" news, created_at) VALUES ('[]', {FEEDBACK}, {FEEDBACK}, 0, 0, 0, '{{}}', now())"
            " RETURNING id"
        ).scalar_one()
        connection.exec_driver_sql(
            "INSERT INTO feedback (feedback_id, content_hash, model_name, observed_at, score,"
            " prediction_id, model_version, source_kind, batch_id)"
            " SELECT 'f' || n, md5(n::text) || md5(n::text), 'model' || n %% 50,"
            " '2026-01-01'::timestamptz + n * interval '30 seconds', 1 + n %% 5, 'p' || n, '1',"
            f" 'person', {batch} FROM generate_series(1, {FEEDBACK}) AS n"
        )
    MetricSeries(store).write(
        [
            {"model_name": f"model{model}", "model_version": version, "slice": "",
             "partition": f"2026-{month:02}", "metric": metric, "value": 3.0 + month / 12,
             "low": 2.9, "high": 4.1, "n": 100}
            for model in range(50)
            for version in ("1", "2")
            for month in range(1, 13)
            for metric in ("score", "coverage", "gap", "roc_auc")
        ]
    )  # fmt: skip
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
