"""What there is of feedback, in one look: counts, live figures, the queue, retrainings."""

from __future__ import annotations

from typing import Any

from airflow_ai_provider.core.gate import GateKind
from airflow_ai_provider.core.lifecycle.visible import EVERYTHING, Sight
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.exception_figures import queue_figures
from airflow_ai_provider.store.feedback_series import MetricSeries
from airflow_ai_provider.store.ledger import Ledger

SHOWN = ("coverage", "gap", "roc_auc", "log_loss", "mos", "agreement", "exception_rate")


def feedback_status(
    store: Store, *, delta: str | None = None, sight: Sight = EVERYTHING
) -> dict[str, Any]:
    """Return the counts over all time, and under the models' names what is known of each.

    ``exceptions`` is the queue; ``live`` the newest figures of each version with their partition;
    ``decision`` the newest retrain decision. ``delta`` is a further table to read. Models out of
    ``sight`` are left out.
    """
    counts = FeedbackService(store, delta=delta).status()
    queues, series = _seen(queue_figures(store), sight), MetricSeries(store)
    counts = {**counts, "models": _seen(counts["models"], sight)}
    models = sorted(_seen({*counts["models"], *queues, *series.models()}, sight))
    return {
        **counts,
        "exceptions": queues,
        "live": {name: found for name in models if (found := _live(series, name))},
        "decisions": {name: said for name in models if (said := _decided(store, name))},
    }


def _seen(found: Any, sight: Sight) -> Any:
    """Return the names, or what is said by name, without models that are out of sight."""
    if isinstance(found, dict):
        return {name: said for name, said in found.items() if sight.shows_model(name)}
    return [name for name in found if sight.shows_model(name)]


def _live(series: MetricSeries, model_name: str) -> dict[str, dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for point in series.read(model_name):  # by partition: the last one stays
        if point["metric"] not in SHOWN:
            continue
        found = newest.setdefault(point["model_version"], {})
        if found.get("partition") != point["partition"]:
            found.clear()
            found["partition"] = point["partition"]
        if point["value"] is not None:
            found[point["metric"]] = point["value"]
    return newest


def _decided(store: Store, model_name: str) -> dict[str, Any] | None:
    subject = f"mlflow://{model_name}"
    found = Ledger(store).search(
        kind=GateKind.RETRAIN, subject_or_below=subject, newest_first=True, limit=1
    )
    if not found:
        return None
    record = found[0]
    return {
        "retrain": record.verdict == "pass",
        "at": record.created_at,
        "partition": record.evidence.get("partition"),
        "summary": record.evidence.get("summary"),
        "record": record.id,
    }
