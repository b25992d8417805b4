"""The queue at length: what one ask or release costs does not grow with those who wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_ai_provider.core.gpu.lease import TaskIdentity
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_history import estimate_of, prune
from airflow_ai_provider.store.gpu_status import snapshot
from airflow_ai_provider.store.gpu_tickets import class_key
from airflow_ai_provider.store.schema import gpu_quota, gpu_request, host, lease, lease_device
from airflow_ai_provider.testing import fake_devices
from tests.statements import statements
from tests.store.pool import HERE, ME, Pool


@pytest.fixture
def pool(store: Store) -> Pool:
    return Pool(store, fake_devices(2, memory_mib=1000))


def fill(pool: Pool, count: int) -> None:
    """Put ``count`` requests alike into the queue, as if each had asked."""
    pool.ask("waits first")
    with pool.store.write() as connection:
        first = connection.execute(
            sa.select(gpu_request).where(gpu_request.c.state == "pending")
        ).mappings().one()  # fmt: skip
        connection.execute(
            gpu_request.insert(),
            [
                {**first, "id": f"{n:032x}", "holder": f"w{n}", "place": first["place"] + n}
                for n in range(1, count + 1)
            ],
        )


def test_an_ask_that_is_served_at_once_is_one_short_transaction(pool: Pool) -> None:
    pool.ask("before")  # registers the devices
    with statements(pool.store) as seen:
        assert pool.ask("a").lease is not None
    # the pool; the request, its fences, its lease and devices; a server's locks, and its look after
    assert len(seen) <= 5 + (0 if pool.store.is_sqlite else 2)


def test_the_length_of_the_queue_costs_an_ask_nothing(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    fill(pool, 300)
    with statements(pool.store) as seen:
        assert pool.ask("one more").lease is None
    assert len(seen) <= 4
    assert not any("row_number" in statement for statement in seen)


def test_a_release_grants_the_oldest_and_writes_no_row_of_the_others(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    fill(pool, 300)
    changed = 0

    def count(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal changed
        if statement.startswith("UPDATE gpu_request"):
            changed += cursor.rowcount

    sa.event.listen(pool.store.engine, "after_cursor_execute", count)
    pool.gpu.release(held.id, held.fence)
    sa.event.remove(pool.store.engine, "after_cursor_execute", count)
    assert pool.state("waits first") is RequestState.LEASED
    assert changed <= 4  # the one that ends, the two that begin
    queue = snapshot(pool.store)["queue"]
    assert len(queue) == 299
    assert {waiting["reason"] for waiting in queue} == {"devices_busy"}


def test_all_that_fits_is_granted_however_many_share_a_device(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    for number in range(30):
        pool.ask(f"w{number}", gpu_memory="100MiB")
    pool.gpu.release(held.id, held.fence)
    states = [pool.state(f"w{number}") for number in range(30)]
    assert states == [RequestState.LEASED] * 20 + [RequestState.PENDING] * 10


def test_the_reason_of_a_class_follows_what_it_waits_for(pool: Pool) -> None:
    held = pool.ask("a", gpus=2).lease
    assert held is not None
    fill(pool, 50)
    pool.gpu.doubt(held.id, held.fence, reason="its holder died")
    pool.gpu.tick()
    reasons = {waiting["reason"] for waiting in snapshot(pool.store)["queue"]}
    assert reasons == {"devices_suspect"}


def test_requests_alike_but_for_age_are_one_class() -> None:
    def key(host: str | None = "h", task: TaskIdentity | None = None, **wants: Any) -> str:
        return class_key(GpuRequest.of(**wants), host=host, task=task or TaskIdentity())

    assert key() == key(max_wait=5, idle_limit=9)
    others = [key(), key(host="i"), key(gpus=2), key(priority=1), key(team="t"),
              key(task=TaskIdentity(dag_id="d", task_id="t"))]  # fmt: skip
    assert len(set(others)) == len(others)


def test_a_ceiling_is_kept(pool: Pool) -> None:
    with pool.store.write() as connection:
        connection.execute(
            gpu_quota.insert().values(
                pool="default", kind="team", name="blue", weight=1.0, guaranteed=0.0, ceiling=1.0
            )
        )
    first = pool.ask("a", team="blue")
    assert first.lease is not None
    asked = pool.ask("b", team="blue")
    assert (asked.lease, asked.reason) == (None, "quota_reached")
    assert pool.ask("c", team="red").lease is not None
    pool.gpu.release(first.lease.id, first.lease.fence)
    assert pool.state("b") is RequestState.LEASED


def task_of(number: int) -> TaskIdentity:
    return TaskIdentity(
        ti_id=f"ti{number}", dag_id="d", run_id=f"r{number}", task_id="t", map_index=-1,
        try_number=1,
    )  # fmt: skip


def hold(pool: Pool, number: int, seconds: float) -> None:
    asked = pool.ask(f"h{number}", task_of(number))
    assert asked.lease is not None
    pool.gpu.release(asked.lease.id, asked.lease.fence)
    begun = datetime(2030, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number)
    with pool.store.write() as connection:
        connection.execute(
            lease.update()
            .where(lease.c.id == asked.lease.id)
            .values(activated_at=begun, released_at=begun + timedelta(seconds=seconds))
        )


def test_the_estimate_is_what_nine_of_ten_of_the_last_leases_took(pool: Pool) -> None:
    for number in range(25):
        hold(pool, number, 1000.0 if number < 5 else float(number))  # the last 20: 5 to 24
    with pool.store.read() as connection:
        assert estimate_of(connection, task_of(99)) == pytest.approx(22.0)
        assert estimate_of(connection, TaskIdentity(dag_id="d", task_id="new")) is None
    asked = pool.ask("next", task_of(99))
    said = pool.ask("said", estimate=7)
    assert asked.lease is not None
    assert said.lease is not None
    with pool.store.read() as connection:
        rows = connection.execute(
            sa.select(lease.c.request_id, lease.c.estimate).where(lease.c.state == "active")
        ).all()
    assert {row.request_id: row.estimate for row in rows} == {
        asked.lease.request_id: pytest.approx(22.0),
        said.lease.request_id: 7.0,
    }


def test_history_is_bounded_by_number_and_by_age(pool: Pool) -> None:
    for number in range(60):
        hold(pool, number, 1.0)
    held = pool.ask("held", task_of(200)).lease
    assert held is not None
    with pool.store.write() as connection:
        now = pool.store.utcnow(connection)
        assert prune(connection, wall=now) == 0  # too many, but too young
        assert prune(connection, wall=now + timedelta(hours=2)) == 10
        assert prune(connection, wall=now + timedelta(hours=2)) == 0
        for table, left in ((gpu_request, 51), (lease, 51), (lease_device, 51)):
            found = sa.select(sa.func.count()).select_from(table)
            assert connection.execute(found).scalar_one() == left
        assert prune(connection, wall=now + timedelta(days=31)) == 50
    assert [record.id for record in pool.gpu.leases()] == [held.id]


def test_status_tells_when_a_wait_may_end_and_which_hosts_are_away(pool: Pool) -> None:
    pool.ask("a", gpus=2, estimate=300)
    pool.ask("b")
    status = snapshot(pool.store, clock=pool.clock)
    assert [(found["name"], found["state"]) for found in status["hosts"]] == [
        ("testhost", "present")
    ]
    (waiting,) = status["queue"]
    expected = waiting["expected_start"]
    assert expected is None or expected > datetime.now(timezone.utc)
    pool.clock.advance(61)  # nobody renews
    pool.gpu.tick()
    assert snapshot(pool.store, clock=pool.clock)["hosts"][0]["state"] == "away"
    other = GpuStore(pool.store, replace(HERE, name="otherhost"), clock=pool.clock)
    ticket = replace(pool.ticket("c"), host="otherhost")
    devices = fake_devices(1, host="otherhost")
    assert other.ask(ticket, process=ME, devices=devices).lease is not None
    assert pool.state("b") is RequestState.PENDING  # a suspect lease is never handed on
    with pool.store.write() as connection:
        connection.execute(host.update().values(seen_at=datetime(2020, 1, 1, tzinfo=timezone.utc)))
    states = {found["name"]: found["state"] for found in snapshot(pool.store)["hosts"]}
    assert states["testhost"] == "away"
