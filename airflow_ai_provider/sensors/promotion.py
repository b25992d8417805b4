"""Wait for a model version, or for something that was done to a model outside Airflow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import PromotionError, RegistryUnavailableError
from airflow_ai_provider.links.promotion import ModelVersionLink
from airflow_ai_provider.sensors._deferrable import DeferrableSensor

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context, PokeReturnValue

    from airflow_ai_provider.services.promotion.awaiting import WantedVersion
    from airflow_ai_provider.triggers.promotion import ModelVersionTrigger


class ModelVersionSensor(DeferrableSensor):
    """Wait until the registry has a version, ready to be loaded.

    With ``environment`` the version that the alias names, else the newest of the model. A model
    that nobody registered yet is waited for too. To be started by each promotion, rather than to
    wait inside a run, schedule a DAG on ``model_asset(model_name, environment)``.

    Returns ``{"model_name", "version", "environment", "run_id"}``.

    :param model_name: the registered model.
    :param environment: the alias, such as ``production``.
    :param version: wait for this version.
    :param newer_than: wait for a version with a greater number.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = (
        "model_name",
        "environment",
        "version",
        "newer_than",
        "mlflow_conn_id",
    )
    operator_extra_links = (ModelVersionLink(),)

    def __init__(
        self,
        *,
        model_name: str,
        environment: str | None = None,
        version: str | int | None = None,
        newer_than: str | int | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.environment = environment
        self.version = version
        self.newer_than = newer_than
        self.deferrable = deferrable
        self.mlflow_conn_id = mlflow_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        from airflow_ai_provider.hooks.promotion import ModelRegistryHook
        from airflow_ai_provider.services.promotion.awaiting import find_wanted

        wanted = self._wanted()
        try:
            found = find_wanted(wanted, registry=ModelRegistryHook(self.mlflow_conn_id).get_conn())
        except RegistryUnavailableError as error:
            self.log.warning("%s", error)
            found = None
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error
        if found is None:
            self.log.info("Not there yet: %s", wanted)
            return PokeReturnValue(is_done=False)
        ModelVersionLink.persist(
            context, self.mlflow_conn_id, found["model_name"], found["version"]
        )
        return PokeReturnValue(is_done=True, xcom_value=found)

    def make_trigger(self, not_before: datetime) -> ModelVersionTrigger:
        """Return the trigger that waits on in the triggerer."""
        from airflow_ai_provider.triggers.promotion import ModelVersionTrigger

        wanted = self._wanted()
        return ModelVersionTrigger(
            model_name=wanted.model_name,
            environment=wanted.environment,
            version=wanted.version,
            newer_than=wanted.newer_than,
            not_before=not_before,
            poll_interval=float(self.poke_interval),
            mlflow_conn_id=self.mlflow_conn_id,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the trigger found."""
        if "error" in event:
            raise AirflowFailException(event["error"])
        found: dict[str, Any] = event["found"]
        ModelVersionLink.persist(
            context, self.mlflow_conn_id, found["model_name"], found["version"]
        )
        return found

    def _wanted(self) -> WantedVersion:
        from airflow_ai_provider.services.promotion.awaiting import read_wanted

        try:
            return read_wanted(
                model_name=self.model_name,
                environment=self.environment,
                version=self.version,
                newer_than=self.newer_than,
            )
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error


class AliasDriftSensor(BaseSensorOperator):
    """Wait until something was done to a model outside Airflow, and raise the alarm.

    An alias that was moved or taken away by hand, and a version that was deleted, each leave one
    record in the ledger: what it expected, what is there, and what the registry knows of who and
    when. MLflow keeps no word on who moved an alias. What follows this sensor reacts:
    ``ModelRollbackOperator`` with ``expected`` puts back what was there.

    Returns the alarms that are open: ``[{"model_name", "environment", "expected", "found", "what",
    "record", "by", "registry_says", "sentence", "alarm", "is_new"}]``.

    :param model_name: the registered model.
    :param store_conn_id: the connection of the store.
    :param mlflow_conn_id: the connection of the registry.
    """

    template_fields: Sequence[str] = ("model_name", "store_conn_id", "mlflow_conn_id")

    def __init__(
        self,
        *,
        model_name: str,
        store_conn_id: str = "ai_store_default",
        mlflow_conn_id: str = "mlflow_default",
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, **kwargs)
        self.model_name = model_name
        self.store_conn_id = store_conn_id
        self.mlflow_conn_id = mlflow_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        from airflow_ai_provider.hooks.promotion import ModelRegistryHook

        try:
            alarms = ModelRegistryHook(self.mlflow_conn_id).watch_aliases(
                self.model_name, store_conn_id=self.store_conn_id, context=context
            )
        except RegistryUnavailableError as error:
            self.log.warning("%s", error)
            return PokeReturnValue(is_done=False)
        except PromotionError as error:
            raise AirflowFailException(str(error)) from error
        for alarm in alarms:
            self.log.warning("%s Alarm %s.", alarm["sentence"], alarm["alarm"])
        return PokeReturnValue(is_done=bool(alarms), xcom_value=alarms)
