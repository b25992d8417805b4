"""The pool in numbers, and one ticket with its lease, on every kind of store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.lease import Host, Process, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.store.gpu_figures import Figures, read_figures
from airflow_ai_provider.store.gpu_lookup import look_up
from airflow_ai_provider.testing import fake_devices

ONE, TWO, THREE = fake_devices(3, host="box")


@pytest.fixture
def gpu(store: Store) -> GpuStore:
    return GpuStore(store, Host(name="box", boot_id="b"))


def ask(gpu: GpuStore, holder: str, *devices: Device, **asked: object) -> Asked:
    ticket = Ticket(
        holder=holder,
        request=GpuRequest.of(**asked),  # type: ignore[arg-type]
        host="box",
        task=TaskIdentity(ti_id=holder, dag_id="d", run_id="r", task_id=holder, try_number=1),
    )
    return gpu.ask(ticket, process=Process(pid=1, start=1, uid=0), devices=devices or None)


def test_the_figures_count_each_pool_and_host(gpu: GpuStore) -> None:
    sick = replace(TWO, health=Health.UNHEALTHY, reason="hot")
    ask(gpu, "a", ONE, sick, replace(THREE, pool="big"))
    ask(gpu, "b")
    ask(gpu, "c")
    figures = {figure.pool: figure for figure in read_figures(gpu.store)}
    assert figures == {
        "default": Figures(
            pool="default", host="box", devices=2, healthy=1, in_use=1, unhealthy=1, queued=2
        ),
        "big": Figures(pool="big", host="box", devices=1, healthy=1),
    }


def test_a_quarantined_lease_counts_as_such(gpu: GpuStore) -> None:
    lease = ask(gpu, "a", ONE).lease
    assert lease is not None
    gpu.doubt(lease.id, lease.fence, reason="gone")
    gpu.quarantine(lease.id, lease.fence, reason="a stranger")
    (figures,) = read_figures(gpu.store)
    assert (figures.in_use, figures.quarantined) == (1, 1)


def test_a_ticket_is_followed_from_the_queue_to_its_end(gpu: GpuStore) -> None:
    held = ask(gpu, "a", ONE).lease
    ask(gpu, "b")
    ask(gpu, "c", priority=5)
    assert held is not None
    waiting = Ticket(holder="b", request=GpuRequest())
    story = look_up(gpu.store, waiting.id)
    assert story is not None
    assert (story.holder, story.state, story.ahead, story.lease) == ("d/r/b#1", "pending", 1, None)
    assert story.reason == "devices_busy"

    by_lease, by_ticket = look_up(gpu.store, held.id), look_up(gpu.store, held.request_id)
    assert by_lease is not None
    assert by_ticket is not None
    assert by_lease.lease is not None
    assert (by_lease.id, by_lease.ahead) == (by_ticket.id, None)
    assert (by_lease.lease.id, by_lease.lease.state) == (held.id, "active")
    assert (by_lease.lease.host, by_lease.lease.devices) == ("box", ("fake:0",))
    assert by_lease.lease.expires_at is not None
    assert by_lease.lease.expires_at > by_lease.lease.since
    assert by_lease.lease.until is None

    gpu.release(held.id, held.fence)
    ended = look_up(gpu.store, held.id)
    assert ended is not None
    assert ended.lease is not None
    assert (ended.state, ended.lease.state, ended.lease.expires_at) == ("done", "released", None)
    assert ended.lease.until is not None
    assert look_up(gpu.store, "nothing") is None
