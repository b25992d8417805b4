"""Wait for feedback without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import StoreUnavailableError

if TYPE_CHECKING:
    from airflow_ai_provider.services.feedback import FeedbackService


class FeedbackTrigger(BaseTrigger):
    """Fire when a model has at least ``min_records`` effective feedback records.

    :param model_name: the model.
    :param partition: count only records of this partition.
    :param min_records: how many there must be.
    :param not_before: fire no sooner than this: Airflow fails a task that resumes while the worker
        that deferred it is still being reaped.
    :param poll_interval: seconds between two looks.
    :param store_conn_id: the connection of the store.
    """

    def __init__(
        self,
        *,
        model_name: str,
        partition: str | None = None,
        min_records: int = 1,
        not_before: datetime | None = None,
        poll_interval: float = 10.0,
        store_conn_id: str = "ai_store_default",
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.partition = partition
        self.min_records = min_records
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.store_conn_id = store_conn_id
        self._service: FeedbackService | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and what it was made with."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "model_name": self.model_name,
                "partition": self.partition,
                "min_records": self.min_records,
                "not_before": self.not_before,
                "poll_interval": self.poll_interval,
                "store_conn_id": self.store_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; fire once."""
        if self.not_before is not None:
            early = (self.not_before - datetime.now(timezone.utc)).total_seconds()
            await asyncio.sleep(max(0.0, early))
        try:
            while (found := await self._count()) is None or found < self.min_records:  # noqa: ASYNC110
                await asyncio.sleep(self.poll_interval)  # the store has no event to wait for
        finally:
            if self._service is not None:
                self._service.store.close()
        yield TriggerEvent(
            {"model_name": self.model_name, "partition": self.partition, "records": found}
        )

    async def _count(self) -> int | None:
        try:
            return await asyncio.to_thread(self._look)
        except StoreUnavailableError as error:
            self.log.warning("%s Looking again in %s s.", error, self.poll_interval)
            return None

    def _look(self) -> int:
        if self._service is None:
            from airflow_ai_provider.hooks.store import AiStoreHook
            from airflow_ai_provider.services.feedback import FeedbackService
            from airflow_ai_provider.store.engine import Store

            # the URL is not handed to this process: triggers of other stores live in it too
            self._service = FeedbackService(Store.open(AiStoreHook(self.store_conn_id).get_url()))
        return self._service.count(self.model_name, self.partition)
