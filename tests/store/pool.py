"""A host's view of a store of GPU slots, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import Host, Process, TaskIdentity, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import RequestState
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import Asked, GpuStore
from airflow_ai_provider.testing import FakeClock, fake_devices

HERE = Host(name="testhost", boot_id="boot-1")
ME = Process(pid=100, start=1, uid=0)


class Pool:
    """The slots of one host, as its tasks ask for them; two devices unless said."""

    def __init__(
        self, store: Store, devices: Sequence[Device] | None = None, *, here: Host = HERE
    ) -> None:
        self.clock = FakeClock()
        self.store = store
        self.here = here
        self.gpu = GpuStore(store, here, ttl=60, clock=self.clock)
        self.devices: Sequence[Device] | None = (
            fake_devices(2, host=here.name) if devices is None else devices
        )

    def ask(
        self,
        holder: str,
        task: TaskIdentity | None = None,
        *,
        process: Process = ME,
        **wants: Any,
    ) -> Asked:
        ticket = self.ticket(holder, task, **wants)
        return self.gpu.ask(ticket, process=process, devices=self.devices)

    def ticket(self, holder: str, task: TaskIdentity | None = None, **wants: Any) -> Ticket:
        return Ticket(
            holder=holder,
            request=GpuRequest.of(**wants),
            host=self.here.name,
            task=task or TaskIdentity(),
        )

    def state(self, holder: str) -> RequestState:
        view = self.gpu.view(self.ticket(holder).id)
        assert view is not None
        return view.state
