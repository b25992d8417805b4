"""Wait for good data without a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import StoreUnavailableError

if TYPE_CHECKING:
    from airflow_ai_provider.core.quality.requirement import Standing
    from airflow_ai_provider.store.engine import Store


class DataQualityTrigger(BaseTrigger):
    """Fire when the newest data gate record of a data set is good, and not too old.

    The event is what ``DataQualitySensor`` returns.

    :param required: ``dataset``, ``partition``, ``verdict``, ``max_age`` (seconds), ``min_score``,
        ``gates``.
    :param fail_when_refused: fire too when the newest record refuses; ``met`` is false then.
    :param not_before: fire no sooner than this (seconds since 1970): Airflow fails a task that
        resumes while the worker that deferred it is still being reaped.
    :param poll_interval: seconds between two looks.
    :param store_conn_id: the connection of the store.
    """

    def __init__(
        self,
        *,
        required: Mapping[str, Any],
        fail_when_refused: bool = False,
        not_before: float = 0.0,
        poll_interval: float = 60.0,
        store_conn_id: str = "ai_store_default",
    ) -> None:
        super().__init__()
        self.required = dict(required)
        self.fail_when_refused = fail_when_refused
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.store_conn_id = store_conn_id
        self._store: Store | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and what it was made with."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "required": self.required,
                "fail_when_refused": self.fail_when_refused,
                "not_before": self.not_before,
                "poll_interval": self.poll_interval,
                "store_conn_id": self.store_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; fire once."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        try:
            while (found := await self._standing()) is None:  # noqa: ASYNC110
                await asyncio.sleep(self.poll_interval)  # the store has no event to wait for
        finally:
            if self._store is not None:
                self._store.close()
        yield TriggerEvent(found.as_json())

    async def _standing(self) -> Standing | None:
        """Return what is worth firing for; None where there is nothing yet."""
        try:
            found = await asyncio.to_thread(self._look)
        except StoreUnavailableError as error:
            self.log.warning("%s Looking again in %s s.", error, self.poll_interval)
            return None
        if found or (self.fail_when_refused and found.refused):
            return found
        self.log.info("%s Looking again in %s s.", found.sentence, self.poll_interval)
        return None

    def _look(self) -> Standing:
        from airflow_ai_provider.core.quality.requirement import Requirement
        from airflow_ai_provider.services.quality_required import standing
        from airflow_ai_provider.store.ledger import Ledger

        if self._store is None:
            from airflow_ai_provider.hooks.store import AiStoreHook
            from airflow_ai_provider.store.engine import Store

            # the URL is not handed to this process: triggers of other stores live in it too
            self._store = Store.open(AiStoreHook(self.store_conn_id).get_url())
        return standing(Ledger(self._store), Requirement.of(**self.required))
