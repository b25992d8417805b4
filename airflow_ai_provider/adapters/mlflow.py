"""MLflow's model registry: over HTTP without MLflow, else through MLflow's own client.

``import mlflow`` costs five seconds of CPU. A move of an alias is three short requests of MLflow's
REST API, so a server is asked directly (``mlflow_rest.py``); SQLite and managed registries, which
have no such API, go through ``MlflowClient``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit, urlunsplit

from airflow_ai_provider.core.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
    in_one_line,
)
from airflow_ai_provider.core.promotion.registry import ModelRegistry

_ALREADY = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND")
_BUSY = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
_DENIED = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
}
_LET_IN = "Check login, password or token of the connection, and what they may do in MLflow."


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
    from airflow_ai_provider.adapters.mlflow_client import ClientRegistry

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
    if code in _DENIED:
        return RegistryDeniedError(
            f"The registry {address} does not let this user do this ({code}): {message}",
            remedy=_LET_IN,
            status=_DENIED[code],
            code=code,
        )
    if code in _BUSY:
        return RegistryUnavailableError(f"The registry {address} is busy: {message}", code=code)
    return RegistryError(f"The registry {address} refused ({code}): {message}", code=code)


def exists_already(error: RegistryError) -> bool:
    """Whether ``error`` says that what was to be made is there."""
    return error.facts.get("code") in _ALREADY


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise the errors of MLflow's client as ours."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except MlflowException as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, (RequestException, OperationalError)):
            raise _of_the_wire(address, cause) from error
        raise typed(address, str(error.error_code), str(error.message)) from error
    except (RequestException, OperationalError, ConnectionError, TimeoutError) as error:
        raise _of_the_wire(address, error) from error


def _of_the_wire(address: str, error: BaseException) -> RegistryError:
    """Return the error that a failed request means: its answer's, or that there is none."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    code = next((code for code, of in _DENIED.items() if of == status), None)
    if code is not None:
        return typed(address, code, in_one_line(error))
    if status == 404:
        return typed(address, "NOT_FOUND", in_one_line(error))
    return RegistryUnavailableError(
        f"The registry {address} does not answer: {in_one_line(error)}."
    )


def moment(milliseconds: Any) -> str | None:
    """Return MLflow's time (milliseconds since 1970, or None) as ISO 8601 in UTC."""
    if not milliseconds:
        return None
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=timezone.utc).isoformat()


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
