"""Feedback as a page shows it: how much came in, live quality, and why (not) to retrain."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.gate import GateKind, GateRecord, Verdict
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.core.promotion.evidence import version_subject
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger
from airflow_ai_provider.store.schema import feedback_batch, feedback_metric

PER_PAGE = 50
_DECISIONS = 10


def feedback_view(
    store: Store, *, search: str = "", page: int = 1, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """Return one page of models with live metrics, and the counts of all batches."""
    counts = ("read", "stored", "revised", "duplicates", "quarantined")
    name = feedback_metric.c.model_name
    models = (
        sa.select(name, sa.func.max(feedback_metric.c.computed_at).label("at"))
        .where(name.not_in(sorted(sight.models)))
        .group_by(name)
        .order_by(name)
        .limit(PER_PAGE + 1)
        .offset((page - 1) * PER_PAGE)
    )
    if search:
        models = models.where(name.icontains(search, autoescape=True))
    with store.read() as connection:
        found = connection.execute(models).all()
        totals = connection.execute(
            sa.select(*(sa.func.sum(feedback_batch.c[c]).label(c) for c in counts))
        ).one()
        newest = connection.execute(sa.select(sa.func.max(feedback_batch.c.created_at))).scalar()
    return {
        "models": [{"name": row.model_name, "at": row.at} for row in found[:PER_PAGE]],
        "counts": {c: int(getattr(totals, c) or 0) for c in counts},
        "newest": newest,
        "page": {"number": page, "more": len(found) > PER_PAGE},
        "search": search,
    }


def model_feedback_view(
    store: Store, name: str, *, sight: Sight = EVERYTHING
) -> dict[str, Any] | None:
    """Return one model's ``points``, of whole models without slices, and ``decisions``."""
    if not sight.shows_model(name):
        return None
    rows = MetricSeries(store).read(name)
    decisions = Ledger(store).search(
        kind=GateKind.RETRAIN,
        subject_prefix=version_subject(name, ""),
        newest_first=True,
        limit=_DECISIONS,
    )
    if not rows and not decisions:
        return None
    return {
        "name": name,
        "points": rows,
        "decisions": [
            {
                "id": record.id,
                "version": record.subject.rpartition("/")[2],
                "verdict": record.verdict,
                "decision": _decision(record),
                "at": record.created_at,
                "by": record.decided_by,
                "criteria": sight.cut(record.criteria),
            }
            for record in decisions
        ],
    }


def _decision(record: GateRecord) -> str:
    said = record.evidence.get("decision")
    if isinstance(said, str):
        return said
    return "retrain" if Verdict(record.verdict).lets_pass else "no retraining"
