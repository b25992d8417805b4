"""Wait for feedback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context, PokeReturnValue


class FeedbackSensor(BaseSensorOperator):
    """Wait until a model has at least ``min_records`` effective feedback records.

    Returns how many there are. A record that was revised counts once.

    :param model_name: the model.
    :param partition: count only records of this partition.
    :param min_records: how many there must be.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = ("model_name", "partition", "min_records", "store_conn_id")

    def __init__(
        self,
        *,
        model_name: str,
        partition: str | None = None,
        min_records: int = 1,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        store_conn_id: str = "ai_store_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.partition = partition
        self.min_records = min_records
        self.deferrable = deferrable
        self.store_conn_id = store_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        from airflow_ai_provider.hooks.feedback import FeedbackHook

        found = FeedbackHook(self.store_conn_id).count(self.model_name, self.partition)
        self.log.info(
            "%s has %s feedback records%s; %s are waited for",
            self.model_name,
            found,
            f" of {self.partition}" if self.partition is not None else "",
            self._wanted(),
        )
        return PokeReturnValue(is_done=found >= self._wanted(), xcom_value=found)

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer when the feedback is not there yet."""
        if not self.deferrable:
            return super().execute(context)
        seen = self.poke(context)
        if seen:
            return seen.xcom_value
        from airflow_ai_provider.triggers.feedback import FeedbackTrigger

        # the worker of this leg must be reaped before the next begins
        reaped = timedelta(seconds=conf.getint("workers", "min_heartbeat_interval", fallback=5) + 1)
        self.defer(
            trigger=FeedbackTrigger(
                model_name=self.model_name,
                partition=self.partition,
                min_records=self._wanted(),
                not_before=datetime.now(timezone.utc) + reaped,
                poll_interval=float(self.poke_interval),
                store_conn_id=self.store_conn_id,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=float(self.timeout)),
        )
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> int:
        """Return how many records the trigger saw."""
        return int(event["records"])

    def _wanted(self) -> int:
        try:
            return int(self.min_records)
        except (TypeError, ValueError) as error:
            raise AirflowFailException(
                f"min_records is {self.min_records!r}: no number."
            ) from error
