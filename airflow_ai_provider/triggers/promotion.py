"""Wait for a model version without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import RegistryError, RegistryUnavailableError

if TYPE_CHECKING:
    from airflow_ai_provider.core.promotion.registry import ModelRegistry


class ModelVersionTrigger(BaseTrigger):
    """Fire when the registry has the wanted version, ready.

    The event is ``{"found": {"model_name", "version", "environment", "run_id"}}``, or
    ``{"error": "..."}`` when the registry refuses for good. A registry that does not answer is
    asked again.

    :param model_name: the registered model.
    :param environment: wait for the version that this alias names, else for the newest one.
    :param version: wait for this version.
    :param newer_than: wait for a version with a greater number.
    :param not_before: fire no sooner than this: Airflow fails a task that resumes while the worker
        that deferred it is still being reaped.
    :param poll_interval: seconds between two looks.
    :param mlflow_conn_id: the connection of the registry.
    """

    def __init__(
        self,
        *,
        model_name: str,
        environment: str | None = None,
        version: str | None = None,
        newer_than: int | None = None,
        not_before: datetime | None = None,
        poll_interval: float = 30.0,
        mlflow_conn_id: str = "mlflow_default",
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.environment = environment
        self.version = version
        self.newer_than = newer_than
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.mlflow_conn_id = mlflow_conn_id
        self._registry: ModelRegistry | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and what it was made with."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "model_name": self.model_name,
                "environment": self.environment,
                "version": self.version,
                "newer_than": self.newer_than,
                "not_before": self.not_before,
                "poll_interval": self.poll_interval,
                "mlflow_conn_id": self.mlflow_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; fire once."""
        if self.not_before is not None:
            early = (self.not_before - datetime.now(timezone.utc)).total_seconds()
            await asyncio.sleep(max(0.0, early))
        while True:
            try:
                found = await asyncio.to_thread(self._look)
            except RegistryUnavailableError as error:
                self.log.warning("%s Looking again in %s s.", error, self.poll_interval)
                found = None
            except RegistryError as error:
                yield TriggerEvent({"error": str(error)})
                return
            if found is not None:
                yield TriggerEvent({"found": found})
                return
            await asyncio.sleep(self.poll_interval)  # the registry has no event to wait for

    def _look(self) -> dict[str, Any] | None:
        from airflow_ai_provider.services.promotion.awaiting import WantedVersion, find_wanted

        if self._registry is None:
            from airflow_ai_provider.hooks.promotion import ModelRegistryHook

            self._registry = ModelRegistryHook(self.mlflow_conn_id).get_conn()
        wanted = WantedVersion(
            model_name=self.model_name,
            environment=self.environment,
            version=self.version,
            newer_than=self.newer_than,
        )
        return find_wanted(wanted, registry=self._registry)
