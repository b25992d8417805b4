"""The append-only ledger of gate records."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import LedgerError
from airflow_ai_provider.core.gate import (
    GENESIS,
    Break,
    GateDraft,
    GateKind,
    GateRecord,
    first_break,
    seal,
    trouble_with,
)
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import gate_record, ledger_head
from airflow_ai_provider.store.upsert import dialect_insert

_FIELDS = [column for column in gate_record.columns if column.name not in {"decision_key"}]


class Ledger:
    """Gate records, in the order in which they were decided."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(self, draft: GateDraft, *, key: str | None = None) -> GateRecord:
        """Write ``draft`` as the next record and return it.

        A decision's ``key`` makes the call idempotent: a record that was written under it is
        returned as it stands, so that a retried task leaves one record.
        """
        with self.store.write() as connection:
            return self.append_in(connection, draft, key=key)

    def lock(self, connection: sa.Connection) -> None:
        """Let nobody else append until the caller's transaction ends."""
        _head(connection)

    def append_in(
        self, connection: sa.Connection, draft: GateDraft, *, key: str | None = None
    ) -> GateRecord:
        """Do as ``append`` inside the caller's own transaction of ``Store.write``."""
        sequence, previous = _head(connection)
        if key is not None:
            standing = connection.execute(
                sa.select(*_FIELDS).where(gate_record.c.decision_key == key)
            ).first()
            if standing:
                return _record(standing)
        record = seal(
            draft,
            record_id=uuid.uuid4().hex,
            created_at=self.store.utcnow(connection),
            previous_hash=previous,
        )
        values = {field: getattr(record, field) for field in GateRecord.__dataclass_fields__}
        connection.execute(
            gate_record.insert().values(sequence=sequence + 1, decision_key=key, **values)
        )
        moved = connection.execute(
            ledger_head.update()
            .where(ledger_head.c.id == 1, ledger_head.c.sequence == sequence)
            .values(sequence=sequence + 1, hash=record.hash)
        )
        if moved.rowcount != 1:
            raise LedgerError("The ledger's head moved during a write.", remedy="Try again.")
        return record

    def get(self, record_id: str) -> GateRecord:
        """Return the record ``record_id``.

        :raises LedgerError: there is none.
        """
        with self.store.read() as connection:
            row = connection.execute(
                sa.select(*_FIELDS).where(gate_record.c.id == record_id)
            ).first()
        if row is None:
            raise LedgerError(
                f"There is no gate record {record_id}.", remedy="Run `airflow-ai ledger verify`."
            )
        return _record(row)

    def find(self, key: str) -> GateRecord | None:
        """Return the record that was written under a decision's ``key``; None when none was."""
        with self.store.read() as connection:
            return self.find_in(connection, key)

    def find_in(self, connection: sa.Connection, key: str) -> GateRecord | None:
        """Do as ``find`` inside the caller's own transaction."""
        row = connection.execute(
            sa.select(*_FIELDS).where(gate_record.c.decision_key == key)
        ).first()
        return _record(row) if row else None

    def search(
        self,
        *,
        kind: GateKind | None = None,
        kinds: Collection[GateKind] | None = None,
        subject: str | None = None,
        subject_prefix: str | None = None,
        subject_or_below: str | None = None,
        but_below: Collection[str] = (),
        verdict: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[GateRecord]:
        """Return records by kind and subject, oldest first unless said.

        Left out are subjects that are one of ``but_below``, or go on from it with ``/`` or ``@``.
        """
        statement = sa.select(*_FIELDS)
        if kind is not None:
            statement = statement.where(gate_record.c.kind == kind.value)
        if kinds is not None:
            statement = statement.where(gate_record.c.kind.in_([k.value for k in kinds]))
        if subject is not None:
            statement = statement.where(gate_record.c.subject == subject)
        if subject_prefix is not None:
            statement = statement.where(
                gate_record.c.subject.startswith(subject_prefix, autoescape=True)
            )
        if subject_or_below is not None:
            below = gate_record.c.subject.startswith(f"{subject_or_below}/", autoescape=True)
            statement = statement.where((gate_record.c.subject == subject_or_below) | below)
        statement = statement.where(*_not_below(but_below))
        if verdict is not None:
            statement = statement.where(gate_record.c.verdict == verdict)
        order = gate_record.c.sequence
        statement = statement.order_by(order.desc() if newest_first else order)
        with self.store.read() as connection:
            return [
                _record(row)
                for row in connection.execute(statement.limit(limit).offset(offset or None))
            ]

    def check(self, record_ids: Collection[str]) -> None:
        """Look whether these records stand unaltered in the chain, and whether any record is gone.

        Only these are digested, so that it costs the same however long the ledger is; ``verify``
        digests all.

        :raises LedgerError: one is missing or was altered: nothing can rest on it.
        """
        at = gate_record.c.sequence
        numbers = sa.select(sa.func.count()).select_from(gate_record).scalar_subquery()
        with self.store.read() as connection:
            head = connection.execute(
                sa.select(ledger_head.c.sequence, ledger_head.c.hash, numbers.label("there"))
            ).first()
            rows = connection.execute(
                sa.select(*_FIELDS).where(gate_record.c.id.in_(record_ids)).order_by(at)
            ).all()
            beside = {row.sequence + step for row in rows for step in (-1, 1)}
            near = {
                row.sequence: row
                for row in connection.execute(
                    sa.select(at, gate_record.c.hash, gate_record.c.previous_hash).where(
                        at.in_(beside)
                    )
                )
            }
        gone = sorted(set(record_ids) - {row.id for row in rows})
        if gone:
            raise _broken(gone[0], "it is not there")
        if head is not None and head.there < head.sequence:
            raise _broken(None, f"{head.sequence - head.there} of {head.sequence} are not there")
        for row in rows:
            before, after = near.get(row.sequence - 1), near.get(row.sequence + 1)
            first, last = row.sequence == 1, head is not None and row.sequence == head.sequence
            reason = trouble_with(
                _record(row),
                before=before.hash if before else (GENESIS if first else None),
                after=after.previous_hash if after else (head.hash if head and last else None),
            )
            if reason is not None:
                raise _broken(row.id, reason)

    def verify(self) -> tuple[int, Break | None]:
        """Return how many records there are, and the first break of the chain if there is one."""
        with self.store.read() as connection:
            head = connection.execute(sa.select(ledger_head.c.sequence, ledger_head.c.hash)).first()
            rows = connection.execute(sa.select(*_FIELDS).order_by(gate_record.c.sequence)).all()
        broken = first_break(_numbered(rows), tuple(head) if head else (0, GENESIS))
        return len(rows), broken


def _not_below(left_out: Collection[str]) -> Iterator[sa.ColumnElement[bool]]:
    """Yield a condition for each length of a beginning: there may be thousands of them."""
    if left_out:
        yield gate_record.c.subject.not_in(sorted(left_out))
    for length in sorted({len(beginning) for beginning in left_out}):
        begins = [b + end for b in left_out if len(b) == length for end in "/@"]
        # compared as it is: LIKE takes no notice of case on SQLite
        yield sa.func.substr(gate_record.c.subject, 1, length + 1).not_in(sorted(begins))


def _broken(record_id: str | None, reason: str) -> LedgerError:
    where = f" at record {record_id}" if record_id else ""
    return LedgerError(
        f"The chain of gate records does not hold{where}: {reason}.",
        remedy="Run `airflow-ai ledger verify`; nothing can rest on it.",
        record=record_id,
    )


def _head(connection: sa.Connection) -> tuple[int, str]:
    """Lock the head, so that the writers are one after another, and return it."""
    locked = sa.select(ledger_head.c.sequence, ledger_head.c.hash).with_for_update()
    row = connection.execute(locked).first()
    if row is None:  # of two that find none, one makes it and the other waits for that one
        first = dialect_insert(connection, ledger_head).values(id=1, sequence=0, hash=GENESIS)
        connection.execute(first.on_conflict_do_nothing())
        row = connection.execute(locked).one()
    return int(row.sequence), str(row.hash)


def _record(row: Any) -> GateRecord:
    values = dict(row._mapping)
    values.pop("sequence")
    return GateRecord(**values)


def _numbered(rows: Any) -> Iterator[tuple[int, GateRecord]]:
    for row in rows:
        yield int(row.sequence), _record(row)
