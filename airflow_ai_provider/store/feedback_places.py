"""Which Delta tables hold feedback on a model, besides the store: whoever reads it finds them."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import feedback_place
from airflow_ai_provider.store.upsert import dialect_insert


def note_place(connection: sa.Connection, address: str, models: Iterable[str]) -> None:
    """Note that the table at ``address`` holds feedback on ``models``."""
    rows = [{"model_name": model, "address": address} for model in sorted(set(models))]
    if rows:
        connection.execute(
            dialect_insert(connection, feedback_place).on_conflict_do_nothing(), rows
        )


def places(store: Store, model_name: str | None = None) -> dict[str, list[str]]:
    """Return the addresses of tables with the models that each holds, of one model if named."""
    table = feedback_place.c
    statement = sa.select(table.address, table.model_name).order_by(table.address, table.model_name)
    if model_name is not None:
        statement = statement.where(table.model_name == model_name)
    found: dict[str, list[str]] = {}
    with store.read() as connection:
        for address, model in connection.execute(statement):
            found.setdefault(address, []).append(model)
    return found


def drop_place(store: Store, address: str) -> int:
    """Note that the table at ``address`` is read no longer; return of how many models it was."""
    with store.write() as connection:
        gone = feedback_place.delete().where(feedback_place.c.address == address)
        return int(connection.execute(gone).rowcount)
