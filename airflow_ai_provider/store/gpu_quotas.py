"""Quotas in the store."""

from __future__ import annotations

import sqlalchemy as sa

from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.store.schema import gpu_quota


def read_quotas(connection: sa.Connection) -> list[Quota]:
    """Return every quota."""
    return [Quota(**row._mapping) for row in connection.execute(sa.select(gpu_quota))]
