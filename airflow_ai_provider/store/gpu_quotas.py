"""Quotas of teams, projects and phases in the store; the planner reads them with the queue."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from airflow_ai_provider.core.errors import QuotaError
from airflow_ai_provider.core.gpu.fair_share import KINDS, Quota
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.schema import gpu_quota


def read_quotas(connection: sa.Connection) -> list[Quota]:
    """Return every quota, by pool, then teams before projects before phases, then name."""
    rows = connection.execute(sa.select(gpu_quota)).mappings()
    found = [Quota(**row) for row in rows]
    return sorted(found, key=lambda q: (q.pool, KINDS.index(q.kind), q.name))


def set_quota(store: Store, quota: Quota) -> None:
    """Write ``quota`` in the place of the one of the same pool, kind and name, if there is one."""
    with store.write() as connection:
        connection.execute(gpu_quota.delete().where(*_same(quota.pool, quota.kind, quota.name)))
        connection.execute(gpu_quota.insert().values(**asdict(quota)))


def remove_quota(store: Store, *, pool: str, kind: str, name: str) -> Quota:
    """Take a quota away and return it.

    :raises QuotaError: there is none.
    """
    with store.write() as connection:
        row = connection.execute(
            gpu_quota.delete().where(*_same(pool, kind, name)).returning(*gpu_quota.c)
        ).first()
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
