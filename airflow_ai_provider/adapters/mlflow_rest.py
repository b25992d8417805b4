"""MLflow's model registry over its REST API, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ai_provider.adapters import mlflow
from airflow_ai_provider.adapters.mlflow import RegistrySettings
from airflow_ai_provider.adapters.mlflow_http import MlflowHttp
from airflow_ai_provider.core.errors import RegistryError
from airflow_ai_provider.core.promotion.registry import ModelVersion

_PAGE = 200


class RestRegistry:
    """A registry behind an MLflow server."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._http = MlflowHttp(settings)

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        return self._http.base

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias."""
        found = self._model(name)
        return {a["alias"]: str(a["version"]) for a in found.get("aliases", [])}

    def changed_at(self, name: str) -> str | None:
        """Return when MLflow last noted a change of the model."""
        return mlflow.moment(self._model(name).get("last_updated_timestamp"))

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""
        found = self._http.ask("GET", "model-versions/get", {"name": name, "version": version})
        return _version(self._http.part(found, "model_version"))

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Return the versions of the model, oldest first."""
        query: dict[str, Any] = {
            "filter": mlflow.version_filter(name, run_id),
            "max_results": _PAGE,
        }
        found: list[ModelVersion] = []
        while True:
            page = self._http.ask("GET", "model-versions/search", query)
            found.extend(map(_version, page.get("model_versions", [])))
            query["page_token"] = page.get("next_page_token")
            if not query["page_token"]:
                return sorted(found, key=lambda version: int(version.version))

    def create_model(self, name: str) -> None:
        """Make the registered model."""
        try:
            self._http.ask("POST", "registered-models/create", {"name": name})
        except RegistryError as error:
            if not mlflow.exists_already(error):
                raise

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the next version."""
        source, model_id = model_uri, mlflow.logged_model_id(model_uri)
        if model_id is None and model_uri.startswith("runs:/"):
            source, model_id = self._source_of_run(model_uri)
        body = {
            "name": name,
            "source": source,
            "run_id": run_id,
            "model_id": model_id,
            "tags": _pairs(tags),
        }
        made = self._http.ask("POST", "model-versions/create", body, repeatable=False)
        return _version(self._http.part(made, "model_version"))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Move the alias."""
        body = {"name": name, "alias": alias, "version": version}
        self._http.ask("POST", "registered-models/alias", body)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away."""
        self._http.ask("DELETE", "registered-models/alias", {"name": name, "alias": alias})

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for pair in _pairs(tags):
            tag = {"name": name, "version": version, **pair}
            self._http.ask("POST", "model-versions/set-tag", tag)

    def artifact_digest(self, name: str, version: str) -> str:
        """Return the digest of the files of a version."""
        from airflow_ai_provider.adapters.mlflow_artifacts import served_digest

        return served_digest(self._settings, self._http, name, version)

    def ask(self, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the server's answer to a question that changes nothing, asked under ``/api``."""
        return self._http.ask(method, path, fields, api="/api")

    def _model(self, name: str) -> dict[str, Any]:
        answer = self._http.ask("GET", "registered-models/get", {"name": name})
        return self._http.part(answer, "registered_model")

    def _source_of_run(self, model_uri: str) -> tuple[str, str | None]:
        run_id, path = mlflow.split_run_uri(model_uri)
        run = self._http.part(self._http.ask("GET", "runs/get", {"run_id": run_id}), "run")
        info = self._http.part(run, "info")
        query = {
            "experiment_ids": [info["experiment_id"]],
            "filter": f"name = '{path}' AND source_run_id = '{run_id}'",
        }
        models = self._http.ask("POST", "logged-models/search", query).get("models", [])
        if models:
            model_id = models[0]["info"]["model_id"]
            return f"models:/{model_id}", model_id
        return f"{info['artifact_uri']}/{path}", None


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in tags.items()]


def _version(found: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        name=found["name"],
        version=str(found["version"]),
        run_id=found.get("run_id") or None,
        source=found.get("source") or None,
        status=found.get("status") or "READY",
        tags={tag["key"]: tag.get("value", "") for tag in found.get("tags", [])},
        created_by=found.get("user_id") or None,
        created_at=mlflow.moment(found.get("creation_timestamp")),
    )
