"""Where each model's versions are now, one row per model and environment.

The ledger is what counts; this is what its moves come to, kept beside it by the same transaction,
so that a list of a thousand models is one query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateRecord, Verdict
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import model_place, promotion_state
from airflow_ai_provider.store.upsert import dialect_insert


class ModelPlaces:
    """The places of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(
        self, *, search: str, limit: int, offset: int, but: Collection[str] = ()
    ) -> tuple[list[str], bool]:
        """Return names of models that contain ``search``, in order, and whether there are more.

        Those in ``but`` are left out.
        """
        column = promotion_state.c.model_name
        statement = sa.select(column).order_by(column).limit(limit + 1).offset(offset)
        statement = statement.where(column.not_in(sorted(but)))
        if search:
            statement = statement.where(column.icontains(search, autoescape=True))
        with self.store.read() as connection:
            found = list(connection.execute(statement).scalars())
        return found[:limit], len(found) > limit

    def of(self, names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Return for each model and environment ``{"version", "since", "record"}``."""
        place = model_place.c
        found: dict[str, dict[str, dict[str, Any]]] = {}
        with self.store.read() as connection:
            for row in connection.execute(
                sa.select(model_place).where(
                    place.model_name.in_(names), place.version.is_not(None)
                )
            ):
                found.setdefault(row.model_name, {})[row.environment] = {
                    "version": row.version,
                    "since": row.since,
                    "record": row.record,
                }
        return found


def keep_place(connection: sa.Connection, model_name: str, record: GateRecord) -> None:
    """Keep what a move's ``record`` comes to, in the transaction that wrote it."""
    evidence: Mapping[str, Any] = record.evidence
    if "environment" not in evidence or not Verdict(record.verdict).lets_pass:
        return
    values = {
        "version": evidence.get("to"),
        "since": record.created_at,
        "record": record.id,
    }
    new = dialect_insert(connection, model_place).values(
        model_name=model_name, environment=evidence["environment"], **values
    )
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["model_name", "environment"],
            set_={key: new.excluded[key] for key in values},
        )
    )
