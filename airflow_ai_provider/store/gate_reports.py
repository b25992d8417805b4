"""What the pages about gate records show, beside the ledger and no part of its chain.

Reports are bounded in size and in number: the oldest ones go, their records stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateDraft, GateKind, GateRecord
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import gate_record, gate_report
from airflow_ai_provider.store.upsert import dialect_insert

KEPT = 2_000  # reports; each is at most core.quality.page.values.MOST_BYTES
JUDGED = (GateKind.DATA, GateKind.DRIFT)


class GateReports:
    """The reports in one store."""

    def __init__(self, store: Store, *, keep: int = KEPT) -> None:
        self.store = store
        self._ledger = Ledger(store)
        self._keep = keep

    def append(
        self, draft: GateDraft, document: Mapping[str, Any], *, key: str | None = None
    ) -> GateRecord:
        """Write ``draft`` as the next record, and its report, both or neither.

        A record that was written under ``key`` before is returned as it stands, with its report.
        """
        with self.store.write() as connection:
            record = self._ledger.append_in(connection, draft, key=key)
            insert = dialect_insert(connection, gate_report)
            values = {"record": record.id, "document": dict(document)}
            connection.execute(insert.values(**values).on_conflict_do_nothing())
            oldest = (
                sa.select(gate_report.c.sequence)
                .order_by(gate_report.c.sequence.desc())
                .offset(self._keep)
                .limit(1)
            ).scalar_subquery()
            connection.execute(gate_report.delete().where(gate_report.c.sequence <= oldest))
        return record

    def find(self, record: str) -> dict[str, Any] | None:
        """Return the report of ``record``; None where none was kept, or it was too old."""
        statement = sa.select(gate_report.c.document).where(gate_report.c.record == record)
        with self.store.read() as connection:
            found = connection.execute(statement).scalar_one_or_none()
        return None if found is None else dict(found)

    def newest_of_task(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> GateRecord | None:
        """Return what a task last decided of data in a run; None when it decided nothing yet."""
        of_task = (
            gate_record.c.dag_id == dag_id,
            gate_record.c.task_id == task_id,
            gate_record.c.run_id == run_id,
            gate_record.c.map_index == map_index,
            gate_record.c.kind.in_([kind.value for kind in JUDGED]),
        )
        statement = sa.select(gate_record.c.id).where(*of_task)
        newest = statement.order_by(gate_record.c.sequence.desc()).limit(1)
        with self.store.read() as connection:
            found = connection.execute(newest).scalar_one_or_none()
        return None if found is None else self._ledger.get(found)

    def decisions(self, data_set: str | None = None, *, limit: int = 200) -> list[GateRecord]:
        """Return the newest data and drift gates, of ``data_set`` and its parts where one is said.

        The newest first.
        """
        where: list[sa.ColumnElement[bool]] = [
            gate_record.c.kind.in_([kind.value for kind in JUDGED])
        ]
        if data_set is not None:
            parts = gate_record.c.subject.startswith(f"{data_set}/", autoescape=True)
            where.append(sa.or_(gate_record.c.subject == data_set, parts))
        columns = [c for c in gate_record.columns if c.name not in {"decision_key", "sequence"}]
        newest = sa.select(*columns).where(*where).order_by(gate_record.c.sequence.desc())
        with self.store.read() as connection:
            rows = connection.execute(newest.limit(limit)).all()
        return [GateRecord(**dict(row._mapping)) for row in rows]
