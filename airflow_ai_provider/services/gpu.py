"""GPU slots for any process: ask, wait, hold, release.

``with gpu_lease(gpus=2) as lease:`` needs no Airflow. The devices are this process's until the
block ends; when the process dies first, the keeper of the host ends what it left and then releases.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    GpuRequestError,
    GpuWaitTimeoutError,
    LeaseLostError,
)
from airflow_ai_provider.core.gpu.devices import Device, cuda_visible
from airflow_ai_provider.core.gpu.lease import (
    LEASE_VARIABLE,
    Host,
    LeaseRecord,
    Process,
    TaskIdentity,
    Ticket,
    TicketView,
)
from airflow_ai_provider.core.gpu.planner import WaitReason, sentence
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.services.gpu_inventory import Inventory, inventory_of
from airflow_ai_provider.services.keepers import KeeperPort, keeper_of
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.services.store import open_store
from airflow_ai_provider.store import gpu_hosts
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_status import snapshot

log = logging.getLogger(__name__)

CLAIM_WITHIN = 90.0  # seconds that a task has to come back after its grant
_CLAIM_WITHIN_WAITING = 15.0  # the same, for a process that polls
_FIRST_POLL, _LAST_POLL = 0.05, 0.25
_PLAN_IS_OLD = 5.0
_LOOK_EVERY = 2.0
_SAY_AGAIN = 30.0
_next_look: dict[str, float] = {}  # by store, for this process


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Devices held by this process: UUIDs, or static names.

    ``env`` is what programs need that are started under it; while it is held it is also in
    ``os.environ``. ``again`` says that this process held it already when it asked.
    """

    id: str
    fence: int
    host: str
    devices: tuple[str, ...]
    again: bool = False
    since: int = field(default=0, repr=False)

    @property
    def mark(self) -> str:
        """``<id>:<fence>``, which tells this lease from every other."""
        return f"{self.id}:{self.fence}"

    @property
    def env(self) -> dict[str, str]:
        """The lease's mark, and the devices as CUDA is told of them."""
        return {
            LEASE_VARIABLE: self.mark,
            "CUDA_VISIBLE_DEVICES": cuda_visible(self.devices),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        }


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
        self.gpu = GpuStore(store, self.here, ttl=self.settings.lease_ttl)
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
        self._look_after_the_dead()
        me = _this_process()
        since = processes.ticks_now()
        asked = self.gpu.ask(ticket, process=me, devices=self.inventory.devices())
        if asked.state is RequestState.REFUSED:
            raise GpuRequestError(
                asked.reason, remedy="Run `airflow-ai gpu status` to see what there is."
            )
        if asked.lease is None:
            if asked.reason == WaitReason.DEVICES_SUSPECT.value:
                self.keeper.look()
            return None
        record = asked.lease
        if record.state is not LeaseState.ACTIVE or record.process != me:
            self._refuse_if_held_elsewhere(ticket, record)
            return None
        self.keeper.hold(record.id, fence=record.fence, pid=me.pid, start=me.start, uid=me.uid)
        again = (record.id, record.fence) in _held
        _held.setdefault((record.id, record.fence), since)
        return Lease(
            id=record.id,
            fence=record.fence,
            host=record.host,
            devices=record.devices,
            again=again,
            since=_held[record.id, record.fence],
        )

    def acquire(self, ticket: Ticket) -> Lease:
        """Wait for a lease, as long as the request's ``max_wait`` says.

        :raises GpuRequestError: as ``try_acquire``.
        :raises GpuWaitTimeoutError: the wait was too long; ``facts["reason"]`` names why.
        """
        ticket = replace(ticket, process_waits=True)
        max_wait = ticket.request.max_wait
        deadline = None if max_wait is None else time.monotonic() + max_wait
        lease = self.try_acquire(ticket)
        try:
            while lease is None:
                self._wait(ticket, deadline)
                lease = self.try_acquire(ticket)
        except BaseException:
            with suppress(AirflowAiError):
                self.withdraw(ticket.id, reason="the one who asked gave up")
            raise
        return lease

    def poll(self, ticket_id: str) -> TicketView | None:
        """Return how a ticket stands, reading only; None when nobody presented it."""
        return self.gpu.view(ticket_id)

    def nudge(self, view: TicketView) -> None:
        """Plan the queue if nobody did for a while: who should have may be dead."""
        if view.plan_age is None or view.plan_age > _PLAN_IS_OLD:
            self.gpu.tick()
        self._look_after_the_dead()

    def status(self) -> dict[str, Any]:
        """Return devices and queue in the shape of ``airflow-ai gpu status --json``."""
        return snapshot(self.gpu.store)

    def withdraw(self, ticket_id: str, *, reason: str) -> None:
        """Take a ticket out of the queue; a lease that is held stays."""
        self.gpu.withdraw(ticket_id, reason=reason)

    def release(self, lease: Lease) -> None:
        """Give the devices back; they are handed on once everything started under it has ended.

        So they are once this process itself is off them: a CUDA context stays open until it ends.

        :raises LeaseLostError: the lease was lost meanwhile.
        """
        me = _this_process()
        left = _left_running(lease)
        probe = self.inventory.probe
        is_open = any(me.pid in probe.occupants(uuid).pids for uuid in lease.devices)
        _held.pop((lease.id, lease.fence), None)
        try:
            if left or is_open:
                pids = ", ".join(str(p.pid) for p in sorted(left, key=lambda p: p.pid))
                if left:
                    log.warning("GPU lease %s: still running, to be ended: %s", lease.id, pids)
                why = f"{pids} still ran" if left else f"{me.pid} has its context still open"
                self.gpu.leave(lease.id, lease.fence, reason=f"released; {why}")
                self.keeper.left(lease.id, lease.fence, left, holder=me)
            else:
                self.gpu.release(lease.id, lease.fence)
        finally:
            self.keeper.drop(lease.id)

    def _look_after_the_dead(self) -> None:
        """Take tickets of dead waiters out, and wake the keeper where a holder is gone.

        The keeper may have died with the holder. One look every few seconds per process and store.
        """
        now, address = time.monotonic(), self.gpu.store.full_url
        if now < _next_look.get(address, 0.0):
            return
        _next_look[address] = now + _LOOK_EVERY
        uid = os.getuid()
        for ticket_id, waiter in self.gpu.waiters(uid=uid):
            if not processes.is_alive(waiter):
                log.info("Process %s, which waited for GPUs, is gone", waiter.pid)
                self.gpu.withdraw(ticket_id, reason="the process that waited is gone")
        if any(_is_left_behind(record) for record in self.gpu.leases(mine=True, uid=uid)):
            self.keeper.look()

    def _wait(self, ticket: Ticket, deadline: float | None) -> None:
        pause, said = _FIRST_POLL, (None, 0.0)  # type: tuple[float, tuple[str | None, float]]
        while True:
            view = self.poll(ticket.id)
            if view is None or view.may_be_claimed:
                return
            now = time.monotonic()
            if view.reason != said[0] or now - said[1] > _SAY_AGAIN:
                log.info("Waiting for %s: %s", ticket.request.describe(), sentence(view.reason))
                said = (view.reason, now)
            if deadline is not None and now >= deadline:
                raise waited_too_long(ticket.request, view.reason)
            self.nudge(view)
            time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - now)))
            pause = min(pause * 1.5, _LAST_POLL)

    def _refuse_if_held_elsewhere(self, ticket: Ticket, record: LeaseRecord) -> None:
        if record.process is None:
            return
        if record.host == self.here.name and not processes.is_alive(record.process):
            self.keeper.look()  # it ends what the dead process left; then it is our turn
            return
        raise GpuRequestError(
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
    said it is found as ``services.store.resolve_url`` says. The same ``holder`` in the same process
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


@contextmanager
def held(pool: GpuPool, lease: Lease) -> Iterator[Lease]:
    """Keep ``lease`` while the block runs, its ``env`` in ``os.environ``; then release it."""
    try:
        with _environment(lease.env):
            yield lease
    except BaseException:
        if not lease.again:
            with suppress(LeaseLostError):  # the block's own error says more
                pool.release(lease)
        raise
    if not lease.again:
        pool.release(lease)


def waited_too_long(request: GpuRequest, reason: str) -> GpuWaitTimeoutError:
    """Return the error of a wait that was longer than ``max_wait``."""
    return GpuWaitTimeoutError(
        f"No lease for {request.describe()} within {request.max_wait:g} s. {sentence(reason)}",
        remedy="Raise max_wait or the priority; `airflow-ai gpu status` shows who holds what.",
        reason=reason,
    )


_held: dict[tuple[str, int], int] = {}  # lease id and fence -> when this process claimed it


def _is_left_behind(record: LeaseRecord) -> bool:
    if record.state is LeaseState.ACTIVE and record.process is not None:
        return not processes.is_alive(record.process)
    return record.state is LeaseState.SUSPECT


def _left_running(lease: Lease) -> set[Process]:
    """Return what this process started under ``lease`` and left, after a second and third look.

    A child just forked by another thread is told from what it will be only once it has begun; one
    that is ending is gone at the next look.
    """
    left: set[Process] = set()
    for pause in (0.0, 0.05, 0.15):
        time.sleep(pause)
        left = processes.left_running(mark=lease.mark, root=_this_process(), since=lease.since)
        if not left:
            break
    return left


def _this_process() -> Process:
    me = processes.identify(os.getpid())
    if me is None:
        raise GpuRequestError("This process is not to be seen in /proc.", remedy="Use Linux.")
    return me


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
