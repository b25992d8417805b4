"""A registry behind MLflow's own client: SQLite, and registries without MLflow's REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_ai_provider.adapters.mlflow import (
    RegistrySettings,
    client_of,
    exists_already,
    logged_model_id,
    moment,
    split_run_uri,
    translated,
    version_filter,
)
from airflow_ai_provider.core.errors import RegistryError
from airflow_ai_provider.core.promotion.registry import ModelVersion


class ClientRegistry:
    """A registry behind MLflow's own client."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._client: Any = None

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        return self._settings.address

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version under each alias."""
        with self._asking() as client:
            registry = _for_prompts_too(client)
            # to get a model MLflow reads every version of it, to search it does not
            models = registry.search_registered_models(filter_string=f"name = '{name}'")
            model = models[0] if models else registry.get_registered_model(name)
        return {str(alias): str(version) for alias, version in model.aliases.items()}

    def changed_at(self, name: str) -> str | None:
        """Return when MLflow last noted a change of the model."""
        with self._asking() as client:
            return moment(client.get_registered_model(name).last_updated_timestamp)

    def get_version(self, name: str, version: str) -> ModelVersion:
        """Return one version."""
        with self._asking() as client:
            return _version(_for_prompts_too(client).get_model_version(name, version))

    def find_versions(self, name: str, *, run_id: str | None = None) -> list[ModelVersion]:
        """Return the versions of the model, oldest first."""
        found: list[ModelVersion] = []
        page: str | None = None
        while True:
            with self._asking() as client:
                rows = client.search_model_versions(version_filter(name, run_id), page_token=page)
            found.extend(map(_version, rows))
            page = rows.token
            if not page:
                return sorted(found, key=lambda version: int(version.version))

    def create_model(self, name: str) -> None:
        """Make the registered model."""
        try:
            with self._asking() as client:
                client.create_registered_model(name)
        except RegistryError as error:
            if not exists_already(error):
                raise

    def create_version(
        self, name: str, *, model_uri: str, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the next version."""
        model_id = logged_model_id(model_uri)
        with self._asking() as client:
            source = model_uri
            if model_id is None and model_uri.startswith("runs:/"):
                source, model_id = _source_of_run(client, model_uri)
            made = client.create_model_version(
                name,
                source,
                run_id=run_id,
                tags=dict(tags),
                model_id=model_id,
                await_creation_for=30,
            )
            return _version(made)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Move the alias."""
        with self._asking() as client:
            _for_prompts_too(client).set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away."""
        with self._asking() as client:
            _for_prompts_too(client).delete_registered_model_alias(name, alias)

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self._asking() as client:
            registry = _for_prompts_too(client)
            for key, value in tags.items():
                registry.set_model_version_tag(name, version, key, value)

    def artifact_digest(self, name: str, version: str) -> str:
        """Return the digest of the files of a version."""
        from airflow_ai_provider.adapters.mlflow_artifacts import client_digest

        return client_digest(self._settings, name, version)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        if self._client is None:
            self._client = client_of(self._settings)
        with translated(self.address):
            yield self._client


def _for_prompts_too(client: Any) -> Any:
    """Return what ``MlflowClient`` asks.

    The client itself denies that a prompt is there, which MLflow keeps as it keeps a model; and to
    look whether one is a prompt it reads every version of it.
    """
    return client._get_registry_client()


def _source_of_run(client: Any, model_uri: str) -> tuple[str, str | None]:
    """Return where the model of a run is: a logged model of that name, else the run's artifacts."""
    run_id, path = split_run_uri(model_uri)
    run = client.get_run(run_id)
    logged = client.search_logged_models(
        experiment_ids=[run.info.experiment_id],
        filter_string=f"name = '{path}' AND source_run_id = '{run_id}'",
    )
    if logged:
        return f"models:/{logged[0].model_id}", str(logged[0].model_id)
    return f"{run.info.artifact_uri}/{path}", None


def _version(found: Any) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or None,
        source=found.source or None,
        status=found.status or "READY",
        tags=dict(found.tags or {}),
        created_by=found.user_id or None,
        created_at=moment(found.creation_timestamp),
    )
