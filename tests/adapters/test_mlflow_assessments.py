"""Assessments on traces in a real MLflow on SQLite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.adapters.mlflow_assessments import MlflowAssessments
from airflow_ai_provider.core.errors import FeedbackSourceError
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.record import SourceKind
from airflow_ai_provider.services.feedback import FeedbackService
from tests.stores import store_in_memory


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"  # a trace is there when it ended
    import mlflow

    folder: Path = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("chat", artifact_location=str(folder))
    mlflow.set_experiment("chat")
    return mlflow.MlflowClient()


def answer(number: int) -> str:
    import mlflow

    with mlflow.start_span("answer") as span:
        mlflow.update_current_trace(
            client_request_id=f"p{number}", tags={"model_name": "chat", "model_version": "3"}
        )
    return str(span.trace_id)


@pytest.mark.slow
def test_assessments_are_feedback(client: Any) -> None:
    import mlflow
    from mlflow.entities import AssessmentSource

    anna = AssessmentSource(source_type="HUMAN", source_id="anna")
    judge = AssessmentSource(source_type="LLM_JUDGE", source_id="judge")
    trace = answer(1)
    mlflow.log_feedback(trace_id=trace, name="correct", value=True, source=anna, rationale="yes")
    rated = mlflow.log_feedback(trace_id=trace, name="rating", value=2, source=anna)
    mlflow.log_feedback(trace_id=trace, name="length", value=7.5, source=judge)
    mlflow.log_feedback(trace_id=trace, name="bad", error=ValueError("no"), source=judge)
    source = MlflowAssessments(lambda: client, "chat", address="http://mlflow")
    store = store_in_memory()
    service = FeedbackService(store)

    found = service.ingest_from([source])
    assert (found.read, found.stored, found.quarantined) == (4, 3, 1)
    records = [parse(r.document) for r in source.read(None) if r.problem is None]
    kept = {str(record.attributes["name"]): record for record in records}
    assert (kept["correct"].label, kept["correct"].comment) == (True, "yes")
    assert (kept["rating"].score, kept["rating"].attributes["person"]) == (2, "anna")
    assert kept["length"].source_kind is SourceKind.SYSTEM
    assert {r.prediction_id for r in records} == {"p1"}
    assert {(r.model_name, r.model_version) for r in records} == {("chat", "3")}

    mlflow.override_feedback(
        trace_id=trace, assessment_id=rated.assessment_id, value=5, source=anna
    )
    again = service.ingest_from([source])
    assert (again.stored, again.revised, again.duplicates) == (0, 1, 3)
    assert service.count("chat") == 3


def test_an_experiment_that_is_not_there_is_named(client: Any) -> None:
    source = MlflowAssessments(lambda: client, "none", address="http://mlflow")
    with pytest.raises(FeedbackSourceError, match="http://mlflow#experiment/none"):
        list(source.read(None))
