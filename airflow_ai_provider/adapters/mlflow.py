"""MLflow's model registry: over HTTP without MLflow, else through MLflow's own client.

``import mlflow`` costs five seconds of CPU. A move of an alias is three short requests of MLflow's
REST API, so a server is asked directly (``mlflow_rest.py``); SQLite and managed registries, which
have no such API, go through ``MlflowClient``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit, urlunsplit

from airflow_ai_provider.core.errors import (
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion

_ALREADY = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND")
_BUSY = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """Where a registry is and how it is entered.

    ``timeout`` is the seconds that one question may take, its repetitions included.
    """

    tracking_uri: str
    registry_uri: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify_tls: bool = True
    timeout: float = 10.0

    VARIABLES: ClassVar[tuple[str, ...]] = (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_REGISTRY_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
        "MLFLOW_TRACKING_INSECURE_TLS",
    )

    @property
    def uri(self) -> str:
        """The registry's own address."""
        return self.registry_uri or self.tracking_uri

    @property
    def is_server(self) -> bool:
        """Whether it is a server that speaks MLflow's REST API."""
        return urlsplit(self.uri).scheme in {"http", "https"}

    @property
    def address(self) -> str:
        """The registry's address without user and password."""
        return without_secrets(self.uri)

    def environment(self) -> dict[str, str]:
        """Return the variables under which MLflow's own client uses these settings."""
        values = (
            self.tracking_uri,
            self.registry_uri,
            self.username,
            self.password,
            self.token,
            self.ca_file,
            None if self.verify_tls else "true",
        )
        said = dict(zip(self.VARIABLES, values, strict=True))
        return {name: value for name, value in said.items() if value is not None}


def open_registry(settings: RegistrySettings) -> ModelRegistry:
    """Return the registry that ``settings`` name; nothing is asked yet."""
    if settings.is_server:
        from airflow_ai_provider.adapters.mlflow_rest import RestRegistry

        return RestRegistry(settings)
    return ClientRegistry(settings)


def point_process_at(settings: RegistrySettings) -> None:
    """Let MLflow in this process, and in those it starts, use ``settings``.

    Its own patience with a server that is away, many minutes, is cut unless somebody set it.
    """
    os.environ.update(settings.environment())
    for variable, value in (("MAX_RETRIES", "3"), ("BACKOFF_FACTOR", "1"), ("TIMEOUT", "30")):
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{variable}", value)


@contextmanager
def process_pointed_at(settings: RegistrySettings) -> Iterator[None]:
    """Let MLflow in this process use ``settings`` and nothing else, within the block.

    MLflow reads user, password and token from the environment at each request: with two servers
    the one must not see the other's.
    """
    ours = RegistrySettings.VARIABLES
    before = {name: os.environ.pop(name, None) for name in ours}
    try:
        point_process_at(settings)
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        os.environ.update({name: v for name, v in before.items() if v is not None})


def client_of(settings: RegistrySettings) -> Any:
    """Return MLflow's own ``MlflowClient``, this process's variables set to match.

    :raises RegistryError: MLflow is not installed.
    """
    point_process_at(settings)
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise RegistryError(
            f"MLflow is not installed: {error}.",
            remedy="pip install 'airflow-ai-provider[mlflow]'",
        ) from error
    return MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri)


def without_secrets(uri: str) -> str:
    """Return ``uri`` without user and password."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def page_of(settings: RegistrySettings, name: str, version: str | None) -> str:
    """Return the address of a version's page, or the model's; empty where there are no pages."""
    if not settings.is_server:
        return ""
    base = f"{settings.address.rstrip('/')}/#/models/{quote(name, safe='')}"
    return base if version is None else f"{base}/versions/{version}"


def typed(address: str, code: str, message: str) -> RegistryError:
    """Return the error that MLflow's error ``code`` means."""
    if code in _ABSENT:
        return RegistryNotFoundError(
            f"The registry {address} does not know it: {message}",
            remedy="Check the name and the version.",
            code=code,
        )
    if code in _BUSY:
        return RegistryUnavailableError(f"The registry {address} is busy: {message}", code=code)
    return RegistryError(f"The registry {address} refused ({code}): {message}", code=code)


def exists_already(error: RegistryError) -> bool:
    """Whether ``error`` says that what was to be made is there."""
    return error.facts.get("code") in _ALREADY


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

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        if self._client is None:
            self._client = client_of(self._settings)
        with translated(self.address):
            yield self._client


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise the errors of MLflow's client as ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except MlflowException as error:
        raise typed(address, str(error.error_code), str(error.message)) from error
    except (OperationalError, ConnectionError, TimeoutError) as error:
        raise RegistryUnavailableError(
            f"The registry {address} does not answer: {error}."
        ) from error


def moment(milliseconds: Any) -> str | None:
    """Return MLflow's time (milliseconds since 1970, or None) as ISO 8601 in UTC."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=timezone.utc).isoformat()


def _for_prompts_too(client: Any) -> Any:
    """Return what ``MlflowClient`` asks.

    The client itself denies that a prompt is there, which MLflow keeps as it keeps a model; and to
    look whether one is a prompt it reads every version of it.
    """
    return client._get_registry_client()


def version_filter(name: str, run_id: str | None) -> str:
    """Return MLflow's filter for the versions of a model."""
    said = f"name = '{name}'"
    return said if run_id is None else f"{said} and run_id = '{run_id}'"


def logged_model_id(model_uri: str) -> str | None:
    """Return the id in ``models:/m-...``; None for any other address."""
    scheme, _, rest = model_uri.partition(":/")
    rest = rest.strip("/")
    return rest if scheme == "models" and rest.startswith("m-") and "/" not in rest else None


def split_run_uri(model_uri: str) -> tuple[str, str]:
    """Return run id and artifact path of ``runs:/RUN/PATH``.

    :raises RegistryError: it is none.
    """
    run_id, _, path = model_uri.removeprefix("runs:/").strip("/").partition("/")
    if not model_uri.startswith("runs:/") or not path:
        raise RegistryError(
            f"{model_uri!r} is no address of a logged model.",
            remedy="Write models:/m-... as log_model returned it, or runs:/RUN_ID/NAME.",
        )
    return run_id, path


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
