"""The runs and files of models on one MLflow server, through MLflow's own client."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_ai_provider.adapters.mlflow import (
    RegistrySettings,
    client_of,
    logged_model_id,
    process_pointed_at,
    translated,
)
from airflow_ai_provider.adapters.model_tree import sha256_of
from airflow_ai_provider.core.promotion.artifacts import model_files
from airflow_ai_provider.core.promotion.copying import (
    COPY_TAG,
    MODEL_FOLDER,
    SOURCE_TAG,
    ModelDescription,
)

EXPERIMENT = "airflow-ai copies"
_BATCH = 100  # MLflow takes at most this many parameters at once


class MlflowFiles:
    """The port ``ModelFiles`` on a server, or on SQLite."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._places: dict[tuple[str, str], Any] = {}

    def describe(self, name: str, version: str) -> ModelDescription:
        """Return what the server knows of a version."""
        with self._asking() as client:
            found = client.get_model_version(name, version)
            metrics, params = _of_run(client, found.run_id)
            model_id = logged_model_id(found.source or "")
            if model_id:
                logged = client.get_logged_model(model_id)
                metrics = {**{m.key: m.value for m in logged.metrics or ()}, **metrics}
                params = {**(logged.params or {}), **params}
            return ModelDescription(
                address=self._settings.address,
                name=name,
                version=str(found.version),
                status=found.status or "READY",
                run_id=found.run_id or None,
                files=_listed(self._place_of_version(name, version)),
                tags=dict(found.tags or {}),
                metrics=metrics,
                params=params,
            )

    def fetch(self, name: str, version: str, path: str, into: Path) -> None:
        """Write one file of a version to ``into``."""
        with self._asking():
            _fetch(self._place_of_version(name, version), path, into)

    def digests(self, name: str, version: str) -> tuple[str, dict[str, str]]:
        """Return where a version's files are and the SHA-256 of each, fetched one by one."""
        with self._asking(), tempfile.TemporaryDirectory() as folder:
            place, file = self._place_of_version(name, version), Path(folder) / "file"
            found = {}
            for path in _listed(place):
                _fetch(place, path, file)
                found[path] = sha256_of(file)
            return str(place.artifact_uri), found

    def find_copy(self, key: str) -> str | None:
        """Return the run that was started for the copy."""
        with self._asking() as client:
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return None
            runs = client.search_runs(
                [experiment.experiment_id], f"tags.`{COPY_TAG}` = '{key}'", max_results=1
            )
            return str(runs[0].info.run_id) if runs else None

    def start_copy(self, key: str, model: ModelDescription) -> str:
        """Start the run that will hold the copy."""
        with self._asking() as client:
            experiment = client.get_experiment_by_name(EXPERIMENT)
            place = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
            run = client.create_run(
                place,
                run_name=f"{model.name} {model.version}",
                tags={COPY_TAG: key, SOURCE_TAG: model.told},
            )
            return str(run.info.run_id)

    def log(self, run_id: str, model: ModelDescription) -> None:
        """Give the run the metrics and parameters; the same time each time, so once."""
        from mlflow.entities import Metric, Param

        with self._asking() as client:
            begun = client.get_run(run_id).info.start_time
            metrics = [Metric(key, value, begun, 0) for key, value in model.metrics.items()]
            params = [Param(key, value) for key, value in model.params.items()]
            for start in range(0, max(len(metrics), len(params)), _BATCH):
                part = slice(start, start + _BATCH)
                client.log_batch(run_id, metrics=metrics[part], params=params[part])

    def copied(self, run_id: str) -> Mapping[str, int]:
        """Return the files that the run holds."""
        with self._asking() as client:
            return _listed(self._place_of_run(client, run_id))

    def store(self, run_id: str, path: str, file: Path) -> None:
        """Store one file under the run."""
        with self._asking() as client:
            folder = path.rpartition("/")[0] or None
            self._place_of_run(client, run_id).log_artifact(str(file), folder)

    def fetch_copied(self, run_id: str, path: str, into: Path) -> None:
        """Write one file of the run to ``into``."""
        with self._asking() as client:
            _fetch(self._place_of_run(client, run_id), path, into)

    def finish(self, run_id: str, tags: Mapping[str, str]) -> str:
        """End the run and return the address of the model in it."""
        with self._asking() as client:
            for key, value in tags.items():
                client.set_tag(run_id, key, value)
            client.set_terminated(run_id, "FINISHED")
            return f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"

    def _place_of_version(self, name: str, version: str) -> Any:
        place = self._places.get((name, version))
        if place is None:
            uri = self._client.get_model_version_download_uri(name, version)
            model_id = logged_model_id(uri)
            if model_id:
                uri = self._client.get_logged_model(model_id).artifact_location
            place = self._places[name, version] = self._place(uri)
        return place

    def _place_of_run(self, client: Any, run_id: str) -> Any:
        place = self._places.get(("", run_id))
        if place is None:
            uri = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"
            place = self._places["", run_id] = self._place(uri)
        return place

    def _place(self, uri: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        settings = self._settings
        return get_artifact_repository(
            uri, tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
        )

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        with process_pointed_at(self._settings):
            if self._client is None:
                self._client = client_of(self._settings)
            with translated(self._settings.address):
                yield self._client


def _of_run(client: Any, run_id: str | None) -> tuple[dict[str, float], dict[str, str]]:
    if not run_id:
        return {}, {}
    found = client.get_run(run_id).data
    return dict(found.metrics), dict(found.params)


def _listed(place: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    waiting: list[str | None] = [None]
    while waiting:
        for item in place.list_artifacts(waiting.pop()):
            if item.is_dir:
                waiting.append(item.path)
            else:
                found[item.path] = int(item.file_size or 0)
    return {path: found[path] for path in model_files(found)}


def _fetch(place: Any, path: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        fetched = place.download_artifacts(path, dst_path=folder)
        shutil.move(fetched, into)
