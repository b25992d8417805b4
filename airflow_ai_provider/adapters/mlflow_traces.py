"""The traces on an MLflow server and what was said of them: over HTTP, or through MLflow's client.

As with the registry (``mlflow.py``) a server is asked directly: ``import mlflow`` costs five
seconds of CPU. SQLite goes through ``MlflowClient``. Spans are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from airflow_ai_provider.adapters.mlflow import (
    RegistrySettings,
    client_of,
    moment,
    translated,
)
from airflow_ai_provider.core.errors import RegistryError, RegistryNotFoundError
from airflow_ai_provider.core.promotion.assessments import (
    BY,
    AssessedTrace,
    Assessment,
    Traces,
)

MOST = 100_000  # traces of one version; beyond it a filter is asked for
_PAGE = 200
_TRACES = "3.0/mlflow/traces/search"
_ORDER = ["timestamp_ms ASC"]  # what comes in while pages are read stands at the end
_EXPERIMENTS = "2.0/mlflow/experiments"


def open_traces(settings: RegistrySettings) -> Traces:
    """Return the traces on the tracking server that ``settings`` name; nothing is asked yet."""
    tracking = replace(settings, registry_uri=None)
    if not tracking.is_server:
        return ClientTraces(tracking)
    from airflow_ai_provider.adapters.mlflow_rest import RestRegistry

    return RestTraces(RestRegistry(tracking))


class Asked(Protocol):
    """A server that answers in JSON; errors as of ``ModelRegistry``."""

    @property
    def address(self) -> str:
        """Where it is, without secrets."""

    def ask(self, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a question that changes nothing."""


class RestTraces:
    """Traces behind an MLflow server."""

    def __init__(self, server: Asked, *, most: int = MOST) -> None:
        self._server = server
        self._most = most

    def find_experiments(self, names: Sequence[str]) -> list[str]:
        """Return the ids of the experiments ``names``; of all when none is named."""
        if names:
            return [self._experiment(name) for name in names]
        found: list[str] = []
        said: dict[str, Any] = {"max_results": 1000, "view_type": "ACTIVE_ONLY"}
        while True:
            page = self._server.ask("POST", f"{_EXPERIMENTS}/search", said)
            with self._understood():
                found += [str(item["experiment_id"]) for item in page.get("experiments", [])]
            said["page_token"] = page.get("next_page_token")
            if not said["page_token"]:
                return found

    def search(self, experiments: Sequence[str], said: str) -> Iterator[AssessedTrace]:
        """Yield the traces that the filter finds."""
        places = [
            {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
            for experiment in experiments
        ]
        asked: dict[str, Any] = {
            "locations": places,
            "filter": said,
            "max_results": _PAGE,
            "order_by": _ORDER,
        }
        count = 0
        while places:
            page = self._server.ask("POST", _TRACES, asked)
            with self._understood():
                found = [_trace_in_json(item) for item in page.get("traces", [])]
            count = _counted(count + len(found), self._most, said)
            yield from found
            asked["page_token"] = page.get("next_page_token")
            if not asked["page_token"]:
                return

    def _experiment(self, name: str) -> str:
        try:
            by_name = {"experiment_name": name}
            found = self._server.ask("GET", f"{_EXPERIMENTS}/get-by-name", by_name)
        except RegistryNotFoundError:
            if not name.isdigit():
                raise
            found = self._server.ask("GET", f"{_EXPERIMENTS}/get", {"experiment_id": name})
        with self._understood():
            return str(found["experiment"]["experiment_id"])

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise RegistryError(
                f"{self._server.address} answered, but not as MLflow 3 does.",
                remedy="Check the tracking URI of the connection, and the version of the server.",
            ) from error


class ClientTraces:
    """Traces behind MLflow's own client."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings

    def find_experiments(self, names: Sequence[str]) -> list[str]:
        """Return the ids of the experiments ``names``; of all when none is named."""
        client = client_of(self._settings)
        with translated(self._settings.address):
            if names:
                return [self._experiment(client, name) for name in names]
            found: list[str] = []
            page: str | None = None
            while True:
                rows = client.search_experiments(max_results=1000, page_token=page)
                found += [str(row.experiment_id) for row in rows]
                page = rows.token
                if not page:
                    return found

    def search(self, experiments: Sequence[str], said: str) -> Iterator[AssessedTrace]:
        """Yield the traces that the filter finds."""
        client = client_of(self._settings)
        count, page = 0, None
        while experiments:
            with translated(self._settings.address):
                rows = client.search_traces(
                    locations=list(experiments),
                    filter_string=said,
                    max_results=_PAGE,
                    order_by=_ORDER,
                    include_spans=False,
                    page_token=page,
                )
            count = _counted(count + len(rows), MOST, said)
            yield from map(_trace, rows)
            page = rows.token
            if not page:
                return

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None and name.isdigit():
            found = client.get_experiment(name)
        if found is None:
            raise RegistryNotFoundError(
                f"The server {self._settings.address} has no experiment {name!r}.",
                remedy="Check the name of the experiment that the application logs its traces to.",
            )
        return str(found.experiment_id)


def _counted(count: int, most: int, said: str) -> int:
    if count > most:
        raise RegistryError(
            f"More than {most:,} traces are found by {said!r}.",
            remedy="Name the experiments, or a narrower filter.",
        )
    return count


def _trace(found: Any) -> AssessedTrace:
    info = found.info
    return AssessedTrace(
        id=info.trace_id,
        experiment=str(info.experiment_id),
        assessments=tuple(
            Assessment(
                id=item.assessment_id or "",
                name=item.name,
                value=item.feedback.value,
                by=BY.get(item.source.source_type, item.source.source_type),
                source=_named(item.source.source_id),
                span_id=item.span_id,
                made_at=moment(item.last_update_time_ms) or "",
                rationale=item.rationale,
                holds=item.valid is not False,
            )
            for item in info.assessments or ()
            if item.feedback is not None
        ),
    )


def _trace_in_json(found: Mapping[str, Any]) -> AssessedTrace:
    place = found.get("trace_location", {}).get("mlflow_experiment", {})
    return AssessedTrace(
        id=found["trace_id"],
        experiment=str(place.get("experiment_id", "")),
        assessments=tuple(
            _assessment_in_json(item) for item in found.get("assessments", ()) if "feedback" in item
        ),
    )


def _assessment_in_json(found: Mapping[str, Any]) -> Assessment:
    source = found.get("source", {})
    kind = str(source.get("source_type", ""))
    return Assessment(
        id=found.get("assessment_id", ""),
        name=found["assessment_name"],
        value=found["feedback"].get("value"),
        by=BY.get(kind, kind),
        source=_named(source.get("source_id")),
        span_id=found.get("span_id") or None,
        made_at=found.get("last_update_time", ""),
        rationale=found.get("rationale") or None,
        holds=found.get("valid", True) is not False,
    )


def _named(source: str | None) -> str | None:
    """Return who assessed; MLflow says ``default`` of who gave no name."""
    return None if source in {None, "", "default"} else source
