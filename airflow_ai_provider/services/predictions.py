"""What a model predicted, kept; and joined to what became of it, as a training set.

In a scoring task::

    FeedbackHook().log_predictions(
        "/data/predictions", frame, model_name="churn", version="7", features=["age", "plan"]
    )

and where the next version is trained, with labels that had thirty days to come::

    FeedbackHook().training_set(
        "/data/churn.parquet", "/data/predictions", model_name="churn",
        label_window=timedelta(days=30),
    )
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters import prediction_days, training_set
from airflow_ai_provider.adapters.prediction_days import LoggedPredictions, LogPlace
from airflow_ai_provider.adapters.training_set import TrainingSet, Window
from airflow_ai_provider.core.errors import FeedbackError
from airflow_ai_provider.core.gate import digest
from airflow_ai_provider.store.feedback_records import FeedbackRecords


def log_predictions(
    root: str | Path,
    rows: Any,
    *,
    model_name: str,
    version: str,
    features: Sequence[str] | None = None,
    partition: str | None = None,
    predicted_at: datetime | None = None,
    key: Any = None,
) -> LoggedPredictions:
    """Add predictions to the log at ``root``: Parquet by model, version and day.

    ``rows`` (a dict of columns, a pandas DataFrame or the path of a Parquet file) has
    ``prediction_id``, unique, and ``score``, a finite number. ``day`` and ``predicted_at`` may be
    columns of it; otherwise they are ``predicted_at``, in UTC, now unless given. ``features`` are
    the further columns to keep: None keeps every column, ``[]`` none. ``key`` is what stays the
    same over the tries of a task (the hook takes the task instance's ids): the same key again
    replaces. Without one every call adds, and of a prediction logged twice the newest counts.

    :raises FeedbackSourceError: a column is missing or holds what it may not; nothing was written.
    :raises FeedbackSinkError: the folder cannot be written to, or is full.
    """
    at = predicted_at or datetime.now(timezone.utc)
    if at.tzinfo is None:
        raise FeedbackError("predicted_at has no time zone.", remedy="Give one, such as UTC.")
    place = LogPlace(
        model_name=model_name,
        version=str(version),
        partition=partition,
        key=uuid.uuid4().hex if key is None else digest(key)[:32],
        predicted_at=at.astimezone(timezone.utc),
    )
    return prediction_days.write_days(str(root), rows, place=place, features=features)


def make_training_set(
    target: str | Path,
    predictions: str | Path,
    records: FeedbackRecords,
    *,
    model_name: str,
    version: str | None = None,
    label_window: timedelta | None = None,
    as_of: datetime | None = None,
    features: Sequence[str] | None = None,
) -> TrainingSet:
    """Join the log at ``predictions`` with feedback and write the rows to the file ``target``.

    A row has ``prediction_id``, ``model_name``, ``model_version``, ``predicted_at``, the columns of
    the log (or only ``features``), and what was said: ``feedback_id``, ``label`` (as text),
    ``label_number``, ``value``, ``opinion`` (1 to 5), ``label_source`` and ``observed_at``. Labels
    count when observed by ``as_of`` (now unless given) and within ``label_window`` of the
    prediction; a prediction whose window is still open then is left out, so that what comes early
    does not stand for all. The same ``as_of`` on the same feedback makes the same set.

    :raises FeedbackSourceError: the log cannot be read or lacks a column.
    """
    moment = as_of or datetime.now(timezone.utc)
    if moment.tzinfo is None:
        raise FeedbackError("as_of has no time zone.", remedy="Give one, such as UTC.")
    return training_set.write_training_set(
        Path(target),
        str(predictions),
        records.said(model_name),
        model_name=model_name,
        version=version,
        window=Window(as_of=moment, length=label_window),
        features=features,
    )
