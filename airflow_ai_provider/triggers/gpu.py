"""Waiting for a GPU slot without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import StoreUnavailableError
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.hooks.store import AiStoreHook

if TYPE_CHECKING:
    from airflow_ai_provider.services.gpu import GpuPool

_RETRY = 5.0


class GpuLeaseTrigger(BaseTrigger):
    """Fire when coming back with the ticket would change something, or at the deadline.

    The event is ``{"ticket", "outcome": "claimable" | "timeout", "reason", "deadline"}``. It claims
    nothing: the task does, when it is resumed, and a lease that it does not claim lapses.

    :param ticket: the request's id in the store.
    :param not_before: moment (seconds since 1970) before which it does not fire: Airflow fails a
        task that is resumed before the supervisor of its first leg is gone.
    :param deadline: moment at which the wait is over; None for never.
    :param poll_interval: seconds between two looks.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    def __init__(
        self,
        *,
        ticket: str,
        not_before: float,
        deadline: float | None = None,
        poll_interval: float = 0.5,
        store_conn_id: str = AiStoreHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.ticket = ticket
        self.not_before = not_before
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.store_conn_id = store_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments: a connection's id, never its secrets."""
        return (
            "airflow_ai_provider.triggers.gpu.GpuLeaseTrigger",
            {
                "ticket": self.ticket,
                "not_before": self.not_before,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
                "store_conn_id": self.store_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the ticket until it may be claimed or the wait is over."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        pool = await self._pool()
        while True:
            try:
                event = await asyncio.to_thread(self._look, pool)
            except StoreUnavailableError as error:
                self.log.warning("Looking again in %g s: %s", _RETRY, error)
                await asyncio.sleep(_RETRY)
                continue
            if event is not None:
                yield event
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Give the place in the queue up: a person cleared or ended the waiting task."""
        pool = await self._pool()
        await asyncio.to_thread(
            pool.withdraw, self.ticket, reason="the task was cleared or ended while it waited"
        )

    def _look(self, pool: GpuPool) -> TriggerEvent | None:
        view = pool.poll(self.ticket)
        if view is None or view.may_be_claimed:
            return self._event("claimable", view.reason if view else "")
        if self.deadline is not None and time.time() >= self.deadline:
            return self._event("timeout", view.reason)
        return None

    def _event(self, outcome: str, reason: str) -> TriggerEvent:
        return TriggerEvent(
            {
                "ticket": self.ticket,
                "outcome": outcome,
                "reason": reason,
                "deadline": self.deadline,
            }
        )

    async def _pool(self) -> GpuPool:
        url = await AiStoreHook(self.store_conn_id).aget_url()
        return await asyncio.to_thread(_open_pool, url)


def _open_pool(url: str) -> GpuPool:
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.store.engine import Store

    return GpuPool(Store.open(url), GpuPoolHook.settings())
