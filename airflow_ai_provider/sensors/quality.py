"""Wait until a data set is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.core.errors import DataQualityRequiredError, QualityError
from airflow_ai_provider.operators._requirement import REQUIRED, GateRequirement
from airflow_ai_provider.sensors._deferrable import DeferrableSensor

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context, PokeReturnValue

    from airflow_ai_provider.core.quality.requirement import Standing
    from airflow_ai_provider.triggers.quality import DataQualityTrigger


class DataQualitySensor(GateRequirement, DeferrableSensor):
    """Wait until the newest data gate record of a data set is good, and not too old.

    Returns ``{"met", "reason", "message", "subject", "record", "verdict", "decided_at", "score"}``.
    A data set without a record, or with one that is too old, is waited for. So is one that its gate
    refused, for a corrected delivery, unless ``fail_when_refused``. Each look logs what is missing;
    ``timeout`` and ``soft_fail`` are those of every sensor.

    :param dataset: the data set, whose records have the subject ``ai-data://DATASET/PARTITION``.
    :param partition: which part; unless said, the newest record of any part counts.
    :param verdict: ``pass``, or ``warn`` for data that failed lesser expectations too.
    :param max_age: how old the record may be: seconds, or a ``timedelta``.
    :param min_score: the least share of expectations met, from 0 to 1.
    :param gates: ``data``, ``drift`` or both, each of which must have judged so.
    :param fail_when_refused: fail at once, without retry, when the newest record's verdict or score
        is below what is required.
    :param deferrable: wait in the triggerer, which costs no worker slot.
    :param store_conn_id: the connection of the store.
    """

    template_fields: Sequence[str] = (*REQUIRED, "store_conn_id")

    def __init__(
        self,
        *,
        fail_when_refused: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fail_when_refused = fail_when_refused
        self.deferrable = deferrable

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow.sdk import PokeReturnValue

        found = self._look()
        return PokeReturnValue(is_done=bool(found), xcom_value=found.as_json())

    def make_trigger(self, not_before: datetime) -> DataQualityTrigger:
        """Return the trigger that waits on in the triggerer."""
        from airflow_ai_provider.triggers.quality import DataQualityTrigger

        return DataQualityTrigger(
            required=self.required(),
            fail_when_refused=self.fail_when_refused,
            not_before=not_before.timestamp(),
            poll_interval=float(self.poke_interval),
            store_conn_id=self.store_conn_id,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the trigger saw.

        :raises AirflowFailException: the gate refused the data, and that was not to be waited for.
        """
        if not event["met"]:
            raise AirflowFailException(event["message"])
        return event

    def _look(self) -> Standing:
        from airflow_ai_provider.hooks.quality import DataQualityHook
        from airflow_ai_provider.services.quality_required import refusal

        try:
            found = DataQualityHook(self.store_conn_id).standing(**self.required())
            if self.fail_when_refused and found.refused:
                raise refusal(found)
        except (QualityError, DataQualityRequiredError) as error:  # waiting changes nothing
            raise AirflowFailException(str(error)) from error
        self.log.info("%s", found.sentence)
        return found
