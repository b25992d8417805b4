"""Waiting for GPU slots without a worker."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import GpuRequestError, StoreUnavailableError
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.hooks.store import AiStoreHook

if TYPE_CHECKING:
    from airflow_ai_provider.core.gpu.lease import TicketView
    from airflow_ai_provider.services.gpu import GpuPool

_LOOK_AGAIN = 5.0
_pools: dict[tuple[int, str], GpuPool] = {}  # by process and store's URL
_opening = threading.Lock()


class GpuLeaseTrigger(BaseTrigger):
    """Fire when coming back with the ticket would change something, or at the deadline.

    All triggers of a process share one watch of each store, so that a thousand that wait cost what
    one does. The event is ``{"ticket", "outcome": "claimable" | "timeout", "reason", "deadline",
    "waiting_since"}``. It claims nothing: the task does, when it is resumed, and a lease that it
    does not claim lapses.

    :param ticket: the request's id in the store.
    :param not_before: moment (seconds since 1970) before which it does not fire: Airflow fails a
        task that is resumed before the supervisor of its first leg is gone.
    :param deadline: moment at which the wait is over; None for never.
    :param waiting_since: moment at which the task first asked.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    def __init__(
        self,
        *,
        ticket: str,
        not_before: float,
        deadline: float | None = None,
        waiting_since: float | None = None,
        store_conn_id: str = AiStoreHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.ticket = ticket
        self.not_before = not_before
        self.deadline = deadline
        self.waiting_since = waiting_since
        self.store_conn_id = store_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments: a connection's id, never its secrets."""
        return (
            "airflow_ai_provider.triggers.gpu.GpuLeaseTrigger",
            {
                "ticket": self.ticket,
                "not_before": self.not_before,
                "deadline": self.deadline,
                "waiting_since": self.waiting_since,
                "store_conn_id": self.store_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the ticket until it may be claimed or the wait is over."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        pool = await self._answering(lambda: _pool_of(self.store_conn_id))
        news: asyncio.Queue[TicketView | None] = asyncio.Queue()
        stop = self._subscribe(pool, news)
        try:
            event = await self._event(pool, news)
        finally:
            stop()
        yield event

    async def on_kill(self) -> None:
        """Give the place in the queue up: a person cleared or ended the waiting task."""
        pool = await _pool_of(self.store_conn_id)
        await asyncio.to_thread(
            pool.withdraw, self.ticket, reason="the task was cleared or ended while it waited"
        )

    def _subscribe(
        self, pool: GpuPool, news: asyncio.Queue[TicketView | None]
    ) -> Callable[[], None]:
        from airflow_ai_provider.services.gpu_waiting import watch_of

        loop = asyncio.get_running_loop()

        def tell(view: TicketView | None) -> None:  # in the watch's thread
            with suppress(RuntimeError):  # the loop has ended, and with it this trigger
                loop.call_soon_threadsafe(news.put_nowait, view)

        return watch_of(pool).subscribe(self.ticket, tell)

    async def _event(self, pool: GpuPool, news: asyncio.Queue[TicketView | None]) -> TriggerEvent:
        while True:
            left = None if self.deadline is None else max(0.0, self.deadline - time.time())
            try:
                view, is_over = await asyncio.wait_for(news.get(), left), False
            except asyncio.TimeoutError:  # the last word is the store's
                view, is_over = await self._answering(lambda: _poll(pool, self.ticket)), True
            if view is None or view.may_be_claimed:
                return self._say("claimable", view.reason if view else "")
            if is_over:
                return self._say("timeout", view.reason)

    async def _answering(self, ask: Callable[[], Any]) -> Any:
        """Return what ``ask`` does, once the store answers: that it is away ends no wait."""
        while True:
            try:
                return await ask()
            except StoreUnavailableError as error:  # noqa: PERF203 - that is what is waited out
                self.log.warning("Looking again in %g s: %s", _LOOK_AGAIN, error)
                await asyncio.sleep(_LOOK_AGAIN)

    def _say(self, outcome: str, reason: str) -> TriggerEvent:
        return TriggerEvent(
            {
                "ticket": self.ticket,
                "outcome": outcome,
                "reason": reason,
                "deadline": self.deadline,
                "waiting_since": self.waiting_since,
            }
        )


class GpuSlotsTrigger(BaseTrigger):
    """Fire when devices are free that would serve a request, taking none.

    The event is ``{"host", "devices", "refused"}``; ``refused`` says why no host ever could.

    :param request: ``gpus``, ``gpu_memory``, ``mig_profile``, ``gpu_model`` and ``gpu_pool``.
    :param not_before: moment (seconds since 1970) before which it does not fire.
    :param poll_interval: seconds between two looks, at least 5.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    def __init__(
        self,
        *,
        request: dict[str, Any],
        not_before: float,
        poll_interval: float = 60.0,
        store_conn_id: str = AiStoreHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.request = request
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.store_conn_id = store_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments: a connection's id, never its secrets."""
        return (
            "airflow_ai_provider.triggers.gpu.GpuSlotsTrigger",
            {
                "request": self.request,
                "not_before": self.not_before,
                "poll_interval": self.poll_interval,
                "store_conn_id": self.store_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; fire once."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        while (event := await self._look()) is None:  # noqa: ASYNC110 - no ticket to be told about
            await asyncio.sleep(max(_LOOK_AGAIN, self.poll_interval))
        yield event

    async def _look(self) -> TriggerEvent | None:
        from airflow_ai_provider.core.gpu.request import GpuRequest
        from airflow_ai_provider.services.gpu_slots import free_slots

        try:
            pool = await _pool_of(self.store_conn_id)
            request = GpuRequest.of(**self.request)
            found = await asyncio.to_thread(free_slots, pool.gpu.store, request)
        except GpuRequestError as error:
            return TriggerEvent({"host": None, "devices": [], "refused": str(error)})
        except StoreUnavailableError as error:
            self.log.warning("Looking again: %s", error)
            return None
        if not found:
            return None
        return TriggerEvent({"host": found.host, "devices": list(found.devices), "refused": ""})


async def _poll(pool: GpuPool, ticket: str) -> TicketView | None:
    return await asyncio.to_thread(pool.poll, ticket)


async def _pool_of(store_conn_id: str) -> GpuPool:
    """Return this process's one pool for the store that the connection names."""
    url = await AiStoreHook(store_conn_id).aget_url()
    known = _pools.get((os.getpid(), url))
    return known if known is not None else await asyncio.to_thread(_open_pool, url)


def _open_pool(url: str) -> GpuPool:
    from airflow_ai_provider.services.gpu import GpuPool
    from airflow_ai_provider.store.engine import Store

    key = (os.getpid(), url)
    with _opening:
        if key not in _pools:
            _pools[key] = GpuPool(Store.open(url), GpuPoolHook.settings())
        return _pools[key]
