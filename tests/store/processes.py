"""Several processes at once on one store."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.core.errors import StoreUnavailableError
from airflow_ai_provider.core.gpu.lease import Host, Process, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.store.schema import gpu_request, lease, lease_device
from airflow_ai_provider.testing import fake_devices

FORK = multiprocessing.get_context("fork")


def together(work: Callable[[int, Any], None], count: int, seconds: float = 60) -> None:
    """Run ``work(number, barrier)`` in ``count`` processes; all must end well."""
    barrier = FORK.Barrier(count)
    processes = [FORK.Process(target=work, args=(number, barrier)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * count


class Holder:
    """One who asks as a process of its own, on a host of its own if need be."""

    def __init__(self, url: str, *, host: str = "testhost", devices: int | None = 2) -> None:
        self.here = Host(name=host, boot_id=f"boot-of-{host}")
        self.gpu = GpuStore(Store.open(url), self.here)
        self.devices = None if devices is None else fake_devices(devices, host=host)
        self.me = Process(pid=os.getpid(), start=1, uid=0)

    def ticket(self, holder: str, task: TaskIdentity | None = None, **wants: Any) -> Ticket:
        return Ticket(
            holder=holder,
            request=GpuRequest.of(**wants),
            host=self.here.name,
            task=task or TaskIdentity(),
        )

    def ask(self, holder: str, task: TaskIdentity | None = None, **wants: Any) -> Asked:
        ticket = self.ticket(holder, task, **wants)
        return self.gpu.ask(ticket, process=self.me, devices=self.devices)

    def acquire(self, holder: str, **wants: Any) -> Any:
        end = time.monotonic() + 40
        ticket = self.ticket(holder, **wants)
        asked = self.ask(holder, **wants)
        while asked.lease is None or asked.lease.state is not LeaseState.ACTIVE:
            assert time.monotonic() < end, f"{holder} waited too long: {asked}"
            view = self.gpu.view(ticket.id)
            if view is None or view.may_be_claimed:
                asked = self.ask(holder, **wants)
            else:
                time.sleep(0.005)
        return asked.lease


def assert_nothing_is_left(url: str) -> None:
    store = Store.open(url)
    with store.read() as connection:
        live = sa.select(sa.func.count()).select_from(lease_device).where(lease_device.c.live)
        waits = sa.select(sa.func.count()).where(gpu_request.c.state.in_(["pending", "leased"]))
        held = sa.select(sa.func.count()).where(lease.c.state != "released")
        assert [connection.execute(s).scalar_one() for s in (live, waits, held)] == [0, 0, 0]
    store.close()


def unless_away(action: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(StoreUnavailableError):
            return action()
        time.sleep(0.01)
    raise AssertionError("the store stayed away")
