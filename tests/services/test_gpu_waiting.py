"""The watch over tickets: one thread calls back, on every kind of store."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.gpu.lease import TicketView
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.services.gpu import GpuPool, Lease
from airflow_ai_provider.services.gpu_waiting import watch_of
from airflow_ai_provider.services.keepers import NoKeeper
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu_rows import PLANNER_LOCK
from tests.statements import statements
from tests.store.test_server import end_backends


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
    later = threading.Timer(0.2, pool.gpu.release, (held.id, held.fence))
    later.start()
    started = time.monotonic()
    view = watch.wait(ticket.id, 5.0)
    assert view is not None
    assert view.may_be_claimed
    assert time.monotonic() - started < 1.5
    later.join()


def test_a_hundred_who_wait_in_quiet_cost_one_query_in_five_seconds(pool: GpuPool) -> None:
    held = occupy(pool)
    waiters = []
    for number in range(20):
        pool.try_acquire(pool.ticket(GpuRequest.of(), holder=f"w{number}"))
        waiters.append(Waiter(pool, f"w{number}"))
    for waiter in waiters:
        assert waiter.next() is not None
    time.sleep(2.5)  # the looks that follow the last change
    with statements(pool.gpu.store) as asked:
        time.sleep(6.0)
    assert 1 <= len(asked) <= 2
    for waiter in waiters:
        waiter.end()
    pool.gpu.release(held.id, held.fence)


def test_a_callback_that_fails_ends_nobodys_wait(pool: GpuPool) -> None:
    held = occupy(pool)
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    pool.try_acquire(ticket)

    def fail(_view: TicketView | None) -> None:
        raise RuntimeError("of the one who waits")

    watch = watch_of(pool)
    ends = [watch.subscribe(ticket.id, fail)]
    waiter = Waiter(pool, "a")
    assert waiter.next() is not None
    pool.gpu.release(held.id, held.fence)
    view = waiter.next(2.0)
    assert view is not None
    assert view.may_be_claimed
    for end in (*ends, waiter.end):
        end()


def test_tickets_of_a_waiter_that_died_leave_the_queue(pool: GpuPool) -> None:
    held = occupy(pool)
    with subprocess.Popen(["sleep", "60"]) as child:
        dead = processes.identify(child.pid)
        assert dead is not None
        ticket = replace(pool.ticket(GpuRequest.of(), holder="dead"), process_waits=True)
        pool.gpu.ask(ticket, process=dead)
        child.kill()
    waiter = Waiter(pool, "a")
    pool.try_acquire(waiter.ticket)
    until(lambda: pool.gpu.view(ticket.id).state is RequestState.WITHDRAWN, 8.0)
    waiter.end()
    pool.gpu.release(held.id, held.fence)


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def server_pool(postgres_store: str) -> GpuPool:
    settings = GpuSettings(static_devices="cpu:0")
    return GpuPool(Store.open(postgres_store), settings, keeper=NoKeeper())


def test_a_planner_that_died_before_it_planned_for_others_is_made_up_for(
    server_pool: GpuPool, postgres_store: str
) -> None:
    pool = server_pool
    held = occupy(pool)
    waiter = Waiter(pool, "a")
    with psycopg.connect(postgres_store) as planner:
        planner.execute("SELECT pg_advisory_xact_lock(%s)", (PLANNER_LOCK,))
        assert pool.try_acquire(waiter.ticket) is None
        pool.gpu.release(held.id, held.fence)  # left to the one who plans
        time.sleep(0.2)
    view = waiter.next(1.0)
    while view is None or not view.may_be_claimed:
        view = waiter.next(8.0)
    waiter.end()


def test_a_store_that_is_away_ends_no_wait(server_pool: GpuPool, postgres_store: str) -> None:
    pool = server_pool
    held = occupy(pool)
    taken: list[Lease] = []
    ticket = pool.ticket(GpuRequest.of(), holder="a")
    waits = threading.Thread(target=lambda: taken.append(pool.acquire(ticket)))
    waits.start()
    for _ in range(10):
        end_backends(postgres_store)
        time.sleep(0.1)
    pool.gpu.release(held.id, held.fence)
    waits.join(10.0)
    assert [lease.devices for lease in taken] == [("cpu:0",)]
