"""What the keeper needs of the world: the store, the drivers, processes, control groups, notes.

A store or a driver may be away for long, and holders' lives hang on the clock meanwhile. So the
keeper never waits for them: it leaves what it wants on a desk, and is told later.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.health import Fault
from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.core.gpu.probe import DeviceProbe
from airflow_ai_provider.core.gpu.tenure import Alarm, Visit
from airflow_ai_provider.services.keeper_drivers import Report

Target = TypeVar("Target")
Target_co = TypeVar("Target_co", covariant=True)


class Leases(Protocol):
    """The reading and renewing half of the store: ``store.light``, or ``store.gpu_keeper``."""

    def visit(self, fences: Mapping[str, int]) -> Visit: ...

    def say(self, lease_id: str, fence: int, reason: str) -> None: ...

    def outlived(
        self, lease_id: str, fence: int, marks: Iterable[tuple[str, int]]
    ) -> frozenset[tuple[str, int, str]]: ...


class Queue(Protocol):
    """The half that changes the queue and plans it: ``store.gpu_keeper``, in a clerk or here."""

    def doubt(self, lease_id: str, fence: int, reason: str) -> None: ...

    def quarantine(self, lease_id: str, fence: int, reason: str) -> None: ...

    def release(self, lease_id: str, fence: int, reason: str) -> None: ...

    def restart(self) -> None: ...

    def register(self, devices: Sequence[Device]) -> None: ...

    def note_faults(self, faults: Sequence[Fault]) -> None: ...

    def alarm(self, alarm: Alarm) -> None: ...


class Drivers(DeviceProbe, Protocol):
    """The devices of this host, and who is on them."""

    def report(self) -> Report: ...


class Desk(Protocol[Target_co]):
    """Where the keeper leaves what it wants of a store or a driver.

    ``done`` gets what ``action`` returned, or what it raised; in the keeper's own thread.
    """

    def submit(self, action: Callable[[Target_co], Any], done: Callable[[Any], Any]) -> None: ...


class Processes(Protocol):
    """The process table: ``adapters.processes``."""

    def identify(self, pid: int) -> Process | None: ...

    def is_alive(self, process: Process) -> bool: ...

    def started_by(self, roots: Iterable[Process]) -> set[Process]: ...

    def left_by(
        self, *, mark: str, holder: Process | None, known: Iterable[Process], spared: Process | None
    ) -> set[Process]: ...

    def lineage(self, process: Process) -> Iterator[Process]: ...

    def mark_of(self, process: Process) -> str | None: ...

    def command(self, pid: int) -> str: ...

    def cpu_seconds(self, process: Process) -> float: ...

    def send_signal(self, process: Process, number: signal.Signals) -> bool: ...


class Groups(Protocol):
    """Control groups of leases: ``adapters.cgroup``."""

    def enclose(self, lease_id: str, holder: Process) -> str | None: ...

    def members(self, group: str) -> set[Process]: ...

    def kill(self, group: str) -> bool: ...

    def dissolve(self, group: str) -> None: ...


class NoGroups:
    """For a host where this user may make none."""

    def enclose(self, lease_id: str, holder: Process) -> str | None:
        """Return that there is none."""
        return None

    def members(self, group: str) -> set[Process]:
        """Return nobody."""
        return set()

    def kill(self, group: str) -> bool:
        """Return that it cannot."""
        return False

    def dissolve(self, group: str) -> None:
        """Do nothing."""


class Notes(Protocol):
    """What a keeper knows and the store does not, for the keeper that follows it."""

    def load(self) -> dict[str, dict[str, Any]]: ...

    def save(self, notes: dict[str, dict[str, Any]]) -> None: ...


class NoNotes:
    """For a keeper that nobody follows."""

    def load(self) -> dict[str, dict[str, Any]]:
        """Return nothing."""
        return {}

    def save(self, notes: dict[str, dict[str, Any]]) -> None:
        """Do nothing."""
