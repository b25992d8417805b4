"""GPU slots for any process: ask, wait, hold, release.

``with gpu_lease(gpus=2) as lease:`` needs no Airflow. The devices are this process's until the
block ends; when the process dies first, the keeper of the host ends what it left and then releases.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.errors import (
    GpuRequestError,
    HolderBusyError,
    LeaseLostError,
    StoreUnavailableError,
)
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import (
    Host,
    LeaseRecord,
    Process,
    TaskIdentity,
    Ticket,
    TicketView,
)
from airflow_ai_provider.core.gpu.planner import WaitReason
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.services.gpu_acquiring import acquire, waited_too_long
from airflow_ai_provider.services.gpu_inventory import Inventory, inventory_of
from airflow_ai_provider.services.gpu_lease import (
    Lease,
    held,
    hold,
    left_running,
    let_go,
    release_held,
    this_process,
)
from airflow_ai_provider.services.gpu_waiting import watch_of
from airflow_ai_provider.services.keepers import KeeperPort, keeper_of
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.store import gpu_hosts
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_status import snapshot

__all__ = [
    "CLAIM_WITHIN",
    "GpuPool",
    "Lease",
    "gpu_lease",
    "held",
    "release_held",
    "waited_too_long",
]

log = logging.getLogger(__name__)

CLAIM_WITHIN = 90.0  # seconds that a task has to come back after its grant
_CLAIM_WITHIN_WAITING = 15.0  # the same, for a process that polls
_WRITE_AGAIN = (0.0, 0.2, 1.0)  # seconds before each try; then it is the keeper's


class GpuPool:
    """The slots of a store, as this process asks for them."""

    def __init__(
        self,
        store: Store,
        settings: GpuSettings | None = None,
        *,
        keeper: KeeperPort | None = None,
        inventory: Inventory | None = None,
    ) -> None:
        self.settings = settings or GpuSettings.from_environment()
        self.here = Host(name=self.settings.host_name, boot_id=processes.boot_id())
        self.gpu = GpuStore(
            store,
            self.here,
            ttl=self.settings.lease_ttl,
            reserve_after=self.settings.reserve_after,
        )
        self._inventory = inventory
        self.keeper = keeper or keeper_of(store, self.here, self.settings)

    @property
    def inventory(self) -> Inventory:
        """The devices of this host, as this process sees them."""
        return self._inventory or inventory_of(self.settings)

    def register(self, devices: tuple[Device, ...] | None) -> None:
        """Make this host and its devices known in the store."""
        with self.gpu.store.write() as connection:
            wall = self.gpu.store.utcnow(connection)
            changed = gpu_hosts.register(connection, self.here, devices, wall=wall)
        if changed:
            self.gpu.tick()

    def ticket(
        self,
        request: GpuRequest,
        *,
        holder: str,
        task: TaskIdentity | None = None,
        claim_within: float = CLAIM_WITHIN,
    ) -> Ticket:
        """Return the ticket of ``holder`` for devices of this host."""
        return Ticket(
            holder=holder,
            request=request,
            host=self.here.name,
            task=task or TaskIdentity(),
            claim_within=claim_within,
        )

    def try_acquire(self, ticket: Ticket) -> Lease | None:
        """Return a lease if the ticket's turn is now; else leave it in the queue.

        Come back with the same ticket as often as you like: it keeps its place, and what this
        process holds already is returned again.

        :raises GpuRequestError: it can never be met; or another process holds this ticket's lease.
        :raises LeaseLostError: a newer try of the same task took its place.
        """
        me = this_process()
        since = processes.ticks_now()
        asked = self.gpu.ask(ticket, process=me, devices=self.inventory.devices())
        if asked.state is RequestState.REFUSED:
            raise GpuRequestError(
                asked.reason, remedy="Run `airflow-ai gpu status` to see what there is."
            )
        if asked.lease is None:
            if asked.left:
                watch_of(self).hurry()
            if asked.reason == WaitReason.DEVICES_SUSPECT.value:
                self.keeper.look()
            return None
        record = asked.lease
        if record.state is not LeaseState.ACTIVE or record.process != me:
            self._refuse_if_held_elsewhere(ticket, record)
            return None
        return self._hold(record, me, since)

    def try_claim(self, ticket: Ticket) -> Lease | None:
        """Return the lease that the ticket was granted on this host; None when it was not.

        For who was told that there is one: it costs less than ``try_acquire``.
        """
        me, since = this_process(), processes.ticks_now()
        record = self.gpu.claim(ticket.id, process=me)
        return None if record is None else self._hold(record, me, since)

    def acquire(self, ticket: Ticket) -> Lease:
        """Wait for a lease, as long as the request's ``max_wait`` says.

        :raises GpuRequestError: as ``try_acquire``.
        :raises GpuWaitTimeoutError: the wait was too long; ``facts["reason"]`` names why.
        """
        return acquire(self, ticket)

    def poll(self, ticket_id: str) -> TicketView | None:
        """Return how a ticket stands, reading only; None when nobody presented it."""
        return self.gpu.view(ticket_id)

    def status(self) -> dict[str, Any]:
        """Return devices and queue in the shape of ``airflow-ai gpu status --json``."""
        return snapshot(self.gpu.store, reserve_after=self.settings.reserve_after)

    def withdraw(self, ticket_id: str, *, reason: str) -> None:
        """Take a ticket out of the queue; a lease that is held stays."""
        self.gpu.withdraw(ticket_id, reason=reason)

    def release(self, lease: Lease) -> None:
        """Give the devices back; they are handed on once everything started under it has ended.

        So they are once this process itself is off them: a CUDA context stays open until it ends.
        When the store does not answer, the keeper gives them back as soon as it does.

        :raises LeaseLostError: the lease was lost meanwhile.
        """
        me = this_process()
        left = left_running(lease)
        probe = self.inventory.probe
        is_open = any(me.pid in probe.occupants(uuid).pids for uuid in lease.devices)
        let_go(lease)
        pids = ", ".join(str(p.pid) for p in sorted(left, key=lambda p: p.pid))
        why = f"{pids} still ran" if left else f"{me.pid} has its context still open"
        if left:
            log.warning("GPU lease %s: still running: %s; they will be ended", lease.id, pids)
        stays = f"released; {why}" if left or is_open else None
        try:
            if not self._write_release(lease, left, stays) or stays:
                self.keeper.left(lease.id, lease.fence, left, holder=me)
        finally:
            self.keeper.drop(lease.id)

    def _write_release(self, lease: Lease, left: set[Process], stays: str | None) -> bool:
        """Release ``lease`` in the store, or say why it ``stays``; False when it cannot be said."""
        unsure = False
        for pause in _WRITE_AGAIN:
            if pause:
                time.sleep(pause)
            try:
                if stays:
                    self.gpu.leave(lease.id, lease.fence, reason=stays, left=left)
                else:
                    self.gpu.release(lease.id, lease.fence)
            except StoreUnavailableError as error:
                log.warning("GPU lease %s is not released yet: %s", lease.id, error)
                unsure = True  # it may be written all the same
            except LeaseLostError:
                if not unsure:
                    raise
                return True
            else:
                return True
        return False

    def _hold(self, record: LeaseRecord, me: Process, since: int) -> Lease:
        self.keeper.hold(record.id, fence=record.fence, pid=me.pid, start=me.start, uid=me.uid)
        return hold(record, since=since, release=self.release)

    def _refuse_if_held_elsewhere(self, ticket: Ticket, record: LeaseRecord) -> None:
        if record.process is None:
            return
        if record.host == self.here.name and not processes.is_alive(record.process):
            self.keeper.look()  # it ends what the dead process left; then it is our turn
            return
        raise HolderBusyError(
            f"The holder {ticket.holder!r} has the lease {record.id} in process "
            f"{record.process.pid} of {record.host}.",
            remedy="Name another holder, or wait until that process has released it.",
            lease_id=record.id,
        )


@contextmanager
def gpu_lease(
    gpus: int | None = None,
    gpu_memory: str | None = None,
    mig_profile: str | None = None,
    gpu_model: str | None = None,
    gpu_pool: str = "default",
    priority: int = 0,
    team: str | None = None,
    project: str | None = None,
    phase: str | None = None,
    estimate: float | None = None,
    max_wait: float | None = None,
    idle_limit: float | None = None,
    store: str | None = None,
    holder: str | None = None,
) -> Iterator[Lease]:
    """Hold devices while the block runs, waiting for them first; nothing given means one.

    ``estimate``, ``max_wait`` and ``idle_limit`` are seconds. ``store`` is a database URL; unless
    said it is found as ``services.store.resolve`` says. The same ``holder`` in the same process
    shares one lease.

    :raises GpuRequestError: the request can never be met, and why.
    :raises GpuWaitTimeoutError: the wait was longer than ``max_wait``.
    :raises LeaseLostError: at the end of the block: the lease was lost while it ran.
    """
    request = GpuRequest.of(
        gpus=gpus, gpu_memory=gpu_memory, mig_profile=mig_profile, gpu_model=gpu_model,
        gpu_pool=gpu_pool, priority=priority, team=team, project=project, phase=phase,
        estimate=estimate, max_wait=max_wait, idle_limit=idle_limit,
    )  # fmt: skip
    pool = GpuPool(open_store(store))
    ticket = pool.ticket(
        request,
        holder=holder or f"{pool.here.name}:{os.getpid()}:{uuid.uuid4().hex[:12]}",
        claim_within=_CLAIM_WITHIN_WAITING,
    )
    with held(pool, pool.acquire(ticket)) as lease:
        yield lease
