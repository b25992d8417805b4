"""The model registry behind an Airflow connection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_ai_provider.core.errors import AirflowAiError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ai_provider.adapters.mlflow import RegistrySettings
    from airflow_ai_provider.core.promotion.assessments import Traces
    from airflow_ai_provider.core.promotion.copying import ModelFiles
    from airflow_ai_provider.core.promotion.registry import ModelRegistry, ModelVersion

_TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


class ModelRegistryHook(BaseHook):
    """Reach MLflow's model registry.

    The connection's host is a whole URI (``http://127.0.0.1:5000``, ``sqlite:////path/mlflow.db``),
    or a host name with port and schema ``http`` or ``https``. Login and password, or the extra
    ``token``, let the client in. Further extras: ``registry_uri``, ``ca_file``, ``verify_tls``,
    ``timeout``. With no connection ``mlflow_default`` the variable ``MLFLOW_TRACKING_URI`` counts.

    :param mlflow_conn_id: the connection, of type ``mlflow``.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlflow_conn_id = mlflow_conn_id
        self._registry: ModelRegistry | None = None

    def get_settings(self) -> RegistrySettings:
        """Return where the registry is and how it is entered; secrets are masked in logs.

        :raises AirflowNotFoundException: there is no such connection.
        :raises RegistryError: the connection says nothing that leads to a registry.
        """
        from airflow_ai_provider.adapters.mlflow import RegistrySettings

        try:
            connection = self.get_connection(self.mlflow_conn_id)
        except AirflowNotFoundException:
            uri = os.environ.get(_TRACKING_VARIABLE)
            if self.mlflow_conn_id != self.default_conn_name or not uri:
                raise
            return RegistrySettings(
                tracking_uri=uri,
                registry_uri=os.environ.get("MLFLOW_REGISTRY_URI"),
                username=os.environ.get("MLFLOW_TRACKING_USERNAME"),
                password=os.environ.get("MLFLOW_TRACKING_PASSWORD"),
                token=os.environ.get("MLFLOW_TRACKING_TOKEN"),
                ca_file=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"),
                verify_tls=os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower()
                not in {"true", "1"},
            )
        extra = connection.extra_dejson
        address = _uri(connection)
        for secret in (connection.password, extra.get("token"), urlsplit(address).password):
            if secret:
                mask_secret(secret)
        return RegistrySettings(
            tracking_uri=address,
            registry_uri=extra.get("registry_uri") or None,
            username=connection.login or None,
            password=connection.password or None,
            token=extra.get("token") or None,
            ca_file=extra.get("ca_file") or None,
            verify_tls=extra.get("verify_tls") is not False,
            timeout=_seconds(connection, extra.get("timeout") or 10),
        )

    def get_conn(self) -> ModelRegistry:
        """Return the registry; nothing is asked yet."""
        from airflow_ai_provider.adapters.mlflow import open_registry

        if self._registry is None:
            self._registry = open_registry(self.get_settings())
        return self._registry

    def get_files(self) -> ModelFiles:
        """Return the runs and files of the server's models; nothing is asked yet."""
        from airflow_ai_provider.adapters.mlflow_files import MlflowFiles

        return MlflowFiles(self.get_settings())

    def get_traces(self) -> Traces:
        """Return the traces on the tracking server and what was said of them."""
        from airflow_ai_provider.adapters.mlflow_traces import open_traces

        return open_traces(self.get_settings())

    def get_client(self) -> Any:
        """Return MLflow's own client; this process's MLflow variables are set to match."""
        from airflow_ai_provider.adapters.mlflow import client_of

        return client_of(self.get_settings())

    def configure(self) -> str:
        """Point MLflow in this process, and in those it starts, at this registry.

        Returns the tracking URI. ``import mlflow`` afterwards logs there.
        """
        from airflow_ai_provider.adapters.mlflow import point_process_at

        settings = self.get_settings()
        point_process_at(settings)
        return settings.tracking_uri

    def register(
        self, evidence: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> ModelVersion:
        """Return the version of a candidate, made when its run has none yet."""
        from airflow_ai_provider.services.promotion import register

        return register(evidence, registry=self.get_conn(), tags=tags)

    def champion(self, name: str) -> dict[str, Any] | None:
        """Return the version in production, as ``in_environment`` does."""
        return self.in_environment(name, "production")

    def challengers(self, name: str) -> list[str]:
        """Return the versions that answer in the champion's shadow: see ``mark_challenger``."""
        from airflow_ai_provider.services.promotion import challengers

        return challengers(name, registry=self.get_conn())

    def mark_challenger(self, name: str, version: str, *, is_one: bool = True) -> None:
        """Let a version answer in the champion's shadow from now on, or no longer.

        The scoring task scores ``challengers`` beside the champion; the criterion ``shadow`` of a
        model gate compares both on the same feedback.
        """
        from airflow_ai_provider.services.promotion import mark_challenger

        mark_challenger(name, version, registry=self.get_conn(), is_one=is_one)

    def in_environment(self, name: str, environment: str) -> dict[str, Any] | None:
        """Return the version in ``environment``; None when there is none.

        ``{"version", "run_id", "model_uri", "training", "trained_through"}``.
        """
        from airflow_ai_provider.core.errors import RegistryNotFoundError
        from airflow_ai_provider.services.promotion import in_environment

        try:
            return in_environment(name, environment, registry=self.get_conn())
        except RegistryNotFoundError:
            return None  # a model that nobody registered is nowhere

    def check_aliases(
        self, name: str, store_conn_id: str = "ai_store_default"
    ) -> list[dict[str, Any]]:
        """Return the environments whose alias is not where the ledger put it."""
        from airflow_ai_provider.hooks.store import AiStoreHook
        from airflow_ai_provider.services.promotion import check_aliases

        ledger = AiStoreHook(store_conn_id).ledger
        return check_aliases(name, ledger=ledger, registry=self.get_conn())

    def watch_aliases(
        self, name: str, *, store_conn_id: str = "ai_store_default", context: Any = None
    ) -> list[dict[str, Any]]:
        """Return what was done to the model outside Airflow, each with its alarm in the ledger.

        An alarm is raised once and closed when registry and ledger agree again. ``context`` names
        the task that looked.
        """
        from airflow_ai_provider.hooks.store import AiStoreHook, origin_of
        from airflow_ai_provider.services.promotion import watch_aliases

        return watch_aliases(
            name,
            ledger=AiStoreHook(store_conn_id).ledger,
            registry=self.get_conn(),
            decided_by=type(self).__name__,
            origin=origin_of(context) if context else None,
        )

    def version_at(self, name: str, alias: str) -> str | None:
        """Return the version that ``alias`` names; None when it names none.

        :raises RegistryNotFoundError: the registry does not know the model.
        """
        return self.get_conn().aliases(name).get(alias)

    def test_connection(self) -> tuple[bool, str]:
        """Answer Airflow's *Test* button."""
        try:
            registry = self.get_conn()
            registry.find_versions("airflow-ai-connection-test")
        except (AirflowAiError, ValueError) as error:
            return False, str(error)
        return True, f"{registry.address} answers."


def _uri(connection: Any) -> str:
    host = connection.host or ""
    if ":/" in host or host in {"databricks", "databricks-uc"}:
        return str(host)
    if not host:
        raise RegistryError(
            f"The connection {connection.conn_id} names no host.",
            remedy="Write the tracking URI as host, such as http://127.0.0.1:5000.",
        )
    scheme = connection.schema or "http"
    port = f":{connection.port}" if connection.port else ""
    return f"{scheme}://{host}{port}"


def _seconds(connection: Any, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found <= 600:
        raise RegistryError(
            f"The connection {connection.conn_id} has the timeout {value!r}.",
            remedy="Write seconds between 0 and 600.",
        )
    return found
