"""Many triggers in one triggerer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from airflow.triggers.base import TriggerEvent

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from airflow_ai_provider.store.schema import gpu_request
from airflow_ai_provider.triggers.gpu import GpuLeaseTrigger
from tests.edge.gpu_tasks import occupy
from tests.postgres import PostgresServer

MANY = 1000


@pytest.fixture
def statements() -> Iterator[list[float]]:
    """When each statement began, whoever sent it to a database."""
    found: list[float] = []

    def note(*_: object) -> None:
        found.append(time.monotonic())

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield found
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def queue_up(pool: GpuPool, count: int) -> list[str]:
    """Put ``count`` tickets into the queue, as tasks on other workers would."""
    first = pool.ticket(GpuRequest.of(), holder="ti:0")
    assert pool.try_acquire(first) is None
    with pool.gpu.store.write() as connection:
        row = (
            connection.execute(sa.select(gpu_request).where(gpu_request.c.id == first.id))
            .one()
            ._mapping
        )
        rows = [
            {**row, "id": f"{n:032x}", "holder": f"ti:{n}", "place": row["place"] + n}
            for n in range(1, count)
        ]
        if rows:
            connection.execute(gpu_request.insert(), rows)
    return [first.id, *(row["id"] for row in rows)]


async def first_of(trigger: GpuLeaseTrigger) -> TriggerEvent:
    async for event in trigger.run():
        return event
    raise AssertionError("the trigger ended without an event")


@pytest.mark.timeout(90)
def test_a_thousand_waits_cost_what_one_does(pool: GpuPool, statements: list[float]) -> None:
    other = occupy(pool)
    tickets = queue_up(pool, MANY)

    async def wait() -> tuple[int, int, TriggerEvent]:
        waits = [
            asyncio.ensure_future(first_of(GpuLeaseTrigger(ticket=ticket, not_before=0.0)))
            for ticket in tickets
        ]
        await asyncio.sleep(6)  # they have begun; nothing happens any more
        threads, begun = threading.active_count(), time.monotonic()
        await asyncio.sleep(11)
        asked = sum(moment >= begun for moment in statements)
        assert not any(wait.done() for wait in waits)
        await asyncio.to_thread(pool.release, other)
        done, pending = await asyncio.wait(waits, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        (fired,) = done
        return threads, asked, fired.result()

    threads, asked, event = asyncio.run(wait())
    assert event.payload["ticket"] == tickets[0]  # the oldest
    assert threads < 50
    assert asked <= 2 * 3 * 5  # three looks at the most, of a few statements each


def test_a_cancelled_trigger_leaves_nothing_behind(pool: GpuPool) -> None:
    from airflow_ai_provider.services.gpu_waiting import watch_of

    other = occupy(pool)
    (ticket,) = queue_up(pool, 1)

    async def wait() -> None:
        begun = asyncio.ensure_future(first_of(GpuLeaseTrigger(ticket=ticket, not_before=0.0)))
        await asyncio.sleep(1)
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)

    asyncio.run(wait())
    assert watch_of(pool)._by_ticket == {}
    pool.release(other)
    assert pool.poll(ticket) is not None  # its place is kept: another triggerer goes on


def test_a_store_that_is_away_ends_no_wait(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let into the database for a while; the trigger goes on when it may."""
    migrate(Store(postgres_url))
    monkeypatch.setenv(
        "AIRFLOW_CONN_MINE", json.dumps({"conn_type": "ai_store", "extra": {"url": postgres_url}})
    )
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0")
    pool = GpuPoolHook("mine").get_conn()
    other = occupy(pool)
    (ticket,) = queue_up(pool, 1)
    pool.gpu.store.close()

    def let_in(allowed: bool) -> None:
        name = sa.make_url(postgres_url).database
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    async def wait() -> TriggerEvent:
        await asyncio.to_thread(let_in, False)
        over = time.time() - 1  # and that the wait is over changes nothing while nobody answers
        trigger = GpuLeaseTrigger(
            ticket=ticket, not_before=0.0, deadline=over, store_conn_id="mine"
        )
        begun = asyncio.ensure_future(first_of(trigger))
        await asyncio.sleep(1)
        assert not begun.done()
        await asyncio.to_thread(let_in, True)
        return await asyncio.wait_for(begun, 20)

    assert asyncio.run(wait()).payload["outcome"] == "timeout"
    pool.release(other)
