"""Quotas of teams, projects and phases in the store; a change of one plans the queue with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from airflow_ai_provider.core.errors import QuotaError
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_queue import Turn
from airflow_ai_provider.store.gpu_rows import read_quotas
from airflow_ai_provider.store.gpu_turns import Turns
from airflow_ai_provider.store.schema import gpu_quota

__all__ = ["find_quota", "read_quotas", "remove_quota", "set_quota"]


def set_quota(turns: Turns, quota: Quota) -> None:
    """Write ``quota`` in the place of the one of the same pool, kind and name, if there is one."""

    def work(turn: Turn) -> None:
        dialect = sqlite if turn.connection.dialect.name == "sqlite" else postgresql
        values = asdict(quota)
        turn.connection.execute(
            dialect.insert(gpu_quota)
            .values(values)
            .on_conflict_do_update(
                index_elements=[*gpu_quota.primary_key],
                set_={c.name: values[c.name] for c in gpu_quota.c if not c.primary_key},
            )
        )

    turns.decide(work)


def remove_quota(turns: Turns, *, pool: str, kind: str, name: str) -> Quota:
    """Take a quota away and return it.

    :raises QuotaError: there is none.
    """

    def work(turn: Turn) -> Any:
        return turn.connection.execute(
            gpu_quota.delete().where(*_same(pool, kind, name)).returning(*gpu_quota.c)
        ).first()

    row = turns.decide(work)
    if row is None:
        raise QuotaError(
            f"The {kind} {name!r} has no quota in pool {pool!r}.",
            remedy="Look at `airflow-ai gpu quota list`.",
            pool=pool,
            kind=kind,
            name=name,
        )
    return Quota(**row._mapping)


def find_quota(store: Store, *, pool: str, kind: str, name: str) -> Quota | None:
    """Return the quota of that name; None when there is none."""
    with store.read() as connection:
        row = connection.execute(sa.select(gpu_quota).where(*_same(pool, kind, name))).first()
    return None if row is None else Quota(**row._mapping)


def _same(pool: str, kind: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (gpu_quota.c.pool == pool, gpu_quota.c.kind == kind, gpu_quota.c.name == name)
