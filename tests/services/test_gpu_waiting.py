"""The watch over tickets: one thread calls back, on every kind of store."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from airflow_ai_provider.core.gpu.lease import TicketView
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.services.gpu import GpuPool, Lease
from airflow_ai_provider.services.gpu_waiting import watch_of
from airflow_ai_provider.services.keepers import NoKeeper
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store


@pytest.fixture
def pool(store: Store) -> GpuPool:
    return GpuPool(store, GpuSettings(static_devices="cpu:0"), keeper=NoKeeper())


class Waiter:
    """Subscribes and keeps what it was told."""

    def __init__(self, pool: GpuPool, holder: str) -> None:
        self.ticket = pool.ticket(GpuRequest.of(), holder=holder)
        self.news: queue.SimpleQueue[TicketView | None] = queue.SimpleQueue()
        self.end = watch_of(pool).subscribe(self.ticket.id, self.news.put)

    def next(self, seconds: float = 5.0) -> TicketView | None:
        return self.news.get(timeout=seconds)


def occupy(pool: GpuPool) -> Lease:
    lease = pool.try_acquire(pool.ticket(GpuRequest.of(), holder="other"))
    assert lease is not None
    return lease


def test_who_subscribes_is_told_at_once_and_of_every_change(pool: GpuPool) -> None:
    held = occupy(pool)
    waiter = Waiter(pool, "a")
    assert waiter.next() is None  # nobody presented it yet
    assert pool.try_acquire(waiter.ticket) is None
    view = waiter.next(8.0)
    assert view is not None
    assert view.state is RequestState.PENDING
    time.sleep(0.1)
    pool.gpu.release(held.id, held.fence)
    view = waiter.next(1.0)
    assert view is not None
    assert view.may_be_claimed
    waiter.end()
    lease = pool.try_acquire(waiter.ticket)
    assert lease is not None
    pool.gpu.release(lease.id, lease.fence)
    assert waiter.news.empty()


def test_a_hundred_tickets_take_one_thread(pool: GpuPool) -> None:
    held = occupy(pool)
    waiters = []
    for number in range(100):
        pool.try_acquire(pool.ticket(GpuRequest.of(), holder=f"w{number}"))
        waiters.append(Waiter(pool, f"w{number}"))
    threads = [t for t in threading.enumerate() if t.name == "gpu-ticket-watch" and t.is_alive()]
    for waiter in waiters:
        view = waiter.next()
        assert view is not None
        assert view.state is RequestState.PENDING
    pool.gpu.release(held.id, held.fence)
    first = waiters[0].next(1.0)
    assert first is not None
    assert first.may_be_claimed
    assert all(waiter.news.empty() for waiter in waiters[1:])
    assert len(threads) >= 1
    for waiter in waiters:
        waiter.end()


def test_waiting_returns_how_the_ticket_stands(pool: GpuPool) -> None:
    watch = watch_of(pool)
    assert watch.wait("unheard-of", 5.0) is None
    held = occupy(pool)
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    pool.try_acquire(ticket)
    view = watch.wait(ticket.id, 0.3)
    assert view is not None
    assert view.state is RequestState.PENDING
    threading.Timer(0.2, pool.gpu.release, (held.id, held.fence)).start()
    started = time.monotonic()
    view = watch.wait(ticket.id, 5.0)
    assert view is not None
    assert view.may_be_claimed
    assert time.monotonic() - started < 1.5
