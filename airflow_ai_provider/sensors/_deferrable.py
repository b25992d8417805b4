"""What the deferrable sensors share: look once, and go on looking in the triggerer if they must."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class DeferrableSensor(BaseSensorOperator):
    """A sensor that waits without a worker slot when ``deferrable`` is set."""

    deferrable: bool

    def execute(self, context: Context) -> Any:
        """Wait here, or in the triggerer when what is waited for is not there yet."""
        if not self.deferrable:
            return super().execute(context)
        seen = self.poke(context)
        if seen:
            return getattr(seen, "xcom_value", None)
        # the worker of this leg must be reaped before the next begins
        reaped = timedelta(seconds=conf.getint("workers", "min_heartbeat_interval", fallback=5) + 1)
        self.defer(
            trigger=self.make_trigger(datetime.now(timezone.utc) + reaped),
            method_name="execute_complete",
            timeout=timedelta(seconds=float(self.timeout)),
        )
        return None

    def make_trigger(self, not_before: datetime) -> BaseTrigger:
        """Return the trigger that waits on, and fires no sooner than ``not_before``."""
        raise NotImplementedError
