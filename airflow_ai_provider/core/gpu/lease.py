"""Who holds what: tickets in the queue and the leases that serve them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState

LEASE_VARIABLE = "AIRFLOW_AI_GPU_LEASE"
_MARK = re.compile(r"([0-9a-f]{32}):([0-9]{1,18})")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told from any later one with the same pid by its start (clock ticks)."""

    pid: int
    start: int
    uid: int


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that has devices; another ``boot_id`` means that it was restarted since."""

    name: str
    boot_id: str


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """The Airflow task instance that asks; all empty outside Airflow."""

    ti_id: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether this names a try of a task."""
        return None not in {self.dag_id, self.run_id, self.task_id, self.try_number}

    def describe(self) -> str | None:
        """Return ``DAG/RUN/TASK[MAP_INDEX]#TRY``; None outside Airflow."""
        if self.task_id is None:
            return None
        mapped = "" if self.map_index in {None, -1} else f"[{self.map_index}]"
        return f"{self.dag_id}/{self.run_id}/{self.task_id}{mapped}#{self.try_number}"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A request with the one who makes it.

    The same ``holder`` and ``name`` are the same place in the queue and the same lease, however
    often they are presented. A grant that is not claimed ``claim_within`` seconds lapses.
    With ``process_waits`` the process that presents it is the one that waits: when it dies, nobody
    comes back, and the ticket leaves the queue.
    """

    holder: str
    request: GpuRequest
    host: str | None = None
    name: str = "gpu"
    task: TaskIdentity = field(default_factory=TaskIdentity)
    claim_within: float = 90.0
    process_waits: bool = False

    @cached_property
    def id(self) -> str:
        """The request's id in the store."""
        return hashlib.sha256(f"{self.holder}\0{self.name}".encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """A lease as the store has it; ``expires_at`` is on the store's lease clock.

    A ``revoked`` lease is never active again. It has no ``process`` before it is claimed, and none
    when its holder released it and left the processes ``left_behind``. ``idle_limit`` is how many
    seconds its devices may be idle before it ends. ``pod`` (namespace, name and UID) holds a lease
    on devices of a cluster, once it is made.
    """

    id: str
    request_id: str
    fence: int
    state: LeaseState
    host: str
    devices: tuple[str, ...]
    process: Process | None
    expires_at: float
    revoked: bool
    reason: str
    task: TaskIdentity
    left_behind: tuple[Process, ...] = ()
    idle_limit: float | None = None
    pod: str | None = None

    @property
    def mark(self) -> str:
        """What its holder's programs carry in their environment: ``<id>:<fence>``."""
        return f"{self.id}:{self.fence}"


@dataclass(frozen=True, kw_only=True)
class TicketView:
    """What a waiter sees of its ticket."""

    state: RequestState
    reason: str
    lease_state: LeaseState | None

    @property
    def may_be_claimed(self) -> bool:
        """Whether coming back with the ticket would change something."""
        if self.state is RequestState.LEASED:
            return self.lease_state is LeaseState.GRANTED
        return self.state is not RequestState.PENDING


def spec_of(request: GpuRequest) -> dict[str, Any]:
    """Return what of ``request`` is set, as JSON."""
    return {key: value for key, value in vars(request).items() if value is not None}


def parse_mark(mark: str | None) -> tuple[str, int] | None:
    """Return the id and the fence that ``mark`` names; None when it names no lease of ours."""
    found = _MARK.fullmatch(mark or "")
    return None if found is None else (found[1], int(found[2]))
