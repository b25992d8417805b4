"""Assessments on MLflow's traces as feedback: what people, judges and code say of an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_ai_provider.core.errors import FeedbackSourceError, in_one_line
from airflow_ai_provider.core.feedback.source import Position, SourceRecord

_PAGE = 200
_SOURCE = "mlflow"
_OF_TRACE = ("model_name", "model_version", "partition")  # tags


class MlflowAssessments:
    """The assessments on the traces of one experiment.

    A boolean or a text is the label, a number the value, and the score (1 to 5) when the
    assessment is called one of ``scores``. The prediction is the trace's client request id, else
    the trace's own; model name, version and partition are tags of the trace. An assessment that
    overrides another is a revision of it. A trace of long ago may be assessed today, so every read
    asks for all traces that are not older than ``days``.

    :param connect: returns MLflow's client.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        experiment: str,
        *,
        address: str,
        scores: Collection[str] = ("score", "rating"),
        days: float | None = None,
    ) -> None:
        self._connect, self._experiment, self._address = connect, str(experiment), address
        self._scores, self._days = frozenset(scores), days

    @property
    def name(self) -> str:
        """The experiment's address."""
        return f"{self._address}#experiment/{self._experiment}"

    def read(self, position: Position | None) -> Iterator[SourceRecord]:
        """Yield every assessment that was not deleted."""
        import mlflow

        try:
            client = self._connect()
            experiment = client.get_experiment_by_name(self._experiment)
            if experiment is None:
                experiment = client.get_experiment(self._experiment)
            for trace in self._traces(client, experiment.experiment_id):
                yield from self._of_trace(trace.info)
        except mlflow.exceptions.MlflowException as error:
            raise FeedbackSourceError(
                f"{self.name} cannot be read: {in_one_line(error)}.",
                remedy="Check the connection and the experiment's name.",
            ) from error

    def position(self) -> Position | None:
        """Return nothing: a trace of long ago may be assessed today."""
        return None

    def _traces(self, client: Any, experiment: str) -> Iterator[Any]:
        since = None
        if self._days is not None:
            moment = datetime.now(timezone.utc) - timedelta(days=self._days)
            since = f"timestamp_ms > {int(moment.timestamp() * 1000)}"
        token = None
        while True:
            page = client.search_traces(
                locations=[experiment],
                filter_string=since,
                max_results=_PAGE,
                order_by=["timestamp_ms ASC"],
                page_token=token,
                include_spans=False,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _of_trace(self, trace: Any) -> Iterator[SourceRecord]:
        kept = [found for found in trace.assessments or () if hasattr(found, "value")]
        first = {found.assessment_id: found.overrides for found in kept}
        for found in kept:
            place = f"trace {trace.trace_id}, assessment {found.assessment_id}"[:100]
            raw = found.to_dictionary()
            error = getattr(found, "error", None)
            if error is not None:
                yield SourceRecord(place, raw, None, f"it failed: {error.error_code}")
                continue
            yield SourceRecord(place, raw, self._document(trace, found, first))

    def _document(self, trace: Any, found: Any, first: dict[str, str | None]) -> dict[str, Any]:
        value, origin = found.value, found.assessment_id
        while first.get(origin):
            origin = first[origin]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        field = ("score" if found.name in self._scores else "value") if is_number else "label"
        person = found.source.source_type == "HUMAN"
        moment = datetime.fromtimestamp(found.last_update_time_ms / 1000, tz=timezone.utc)
        tags = trace.tags or {}
        return {
            **{name: tags[name] for name in _OF_TRACE if tags.get(name)},
            "feedback_id": f"{_SOURCE}/{origin}",
            "observed_at": moment,
            field: value,
            "prediction_id": trace.client_request_id or trace.trace_id,
            "source": f"{_SOURCE}/{found.source.source_id}"[:250],
            "source_kind": "person" if person else "system",
            "comment": found.rationale,
            "attributes": {
                "name": found.name,
                "trace": trace.trace_id,
                "person": found.source.source_id if person else None,
            },
        }
