"""All of the store's tables, which ``tables`` holds by topic.

Alembic migrations in ``migrations/versions`` build the same tables; a test holds the two together.
"""

from __future__ import annotations

from airflow_ai_provider.store.tables.base import UtcDateTime, metadata
from airflow_ai_provider.store.tables.exceptions import exception_case, exception_seat
from airflow_ai_provider.store.tables.feedback import (
    feedback,
    feedback_batch,
    feedback_export,
    feedback_forgotten,
    feedback_metric,
    feedback_place,
    feedback_position,
    feedback_quarantine,
    feedback_watch,
)
from airflow_ai_provider.store.tables.gpu import (
    device,
    gpu_change,
    gpu_quota,
    gpu_request,
    host,
    lease,
    lease_device,
)
from airflow_ai_provider.store.tables.ledger import gate_record, gate_report, ledger_head
from airflow_ai_provider.store.tables.lifecycle import deliverable, project, project_version
from airflow_ai_provider.store.tables.promotion import evidence, model_place, promotion_state

__all__ = [
    "UtcDateTime",
    "deliverable",
    "device",
    "evidence",
    "exception_case",
    "exception_seat",
    "feedback",
    "feedback_batch",
    "feedback_export",
    "feedback_forgotten",
    "feedback_metric",
    "feedback_place",
    "feedback_position",
    "feedback_quarantine",
    "feedback_watch",
    "gate_record",
    "gate_report",
    "gpu_change",
    "gpu_quota",
    "gpu_request",
    "host",
    "lease",
    "lease_device",
    "ledger_head",
    "metadata",
    "model_place",
    "project",
    "project_version",
    "promotion_state",
]
