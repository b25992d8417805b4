"""Which keeper looks after the leases of a store on this host."""

from __future__ import annotations

import os
from typing import Protocol

from airflow_ai_provider.adapters.keeper import KeeperClient, KeeperPlace
from airflow_ai_provider.core.gpu.lease import Host, Process
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store


class KeeperPort(Protocol):
    """What the pool needs of ``adapters.keeper.KeeperClient``."""

    def hold(self, lease_id: str, *, fence: int, pid: int, start: int, uid: int) -> None: ...

    def drop(self, lease_id: str) -> None: ...

    def left(
        self, lease_id: str, fence: int, processes: set[Process], *, holder: Process
    ) -> None: ...

    def look(self) -> None: ...


class NoKeeper:
    """For a store in memory: its leases die with the process."""

    def hold(self, lease_id: str, *, fence: int, pid: int, start: int, uid: int) -> None:
        """Do nothing."""

    def drop(self, lease_id: str) -> None:
        """Do nothing."""

    def left(self, lease_id: str, fence: int, processes: set[Process], *, holder: Process) -> None:
        """Do nothing."""

    def look(self) -> None:
        """Do nothing."""


def keeper_of(store: Store, here: Host, settings: GpuSettings) -> KeeperPort:
    """Return this process's way to the keeper of ``store`` on this host."""
    if store.is_sqlite and store.path is None:
        return NoKeeper()
    path = store.path.resolve() if store.path else None
    place = KeeperPlace(
        url=f"sqlite:///{path}" if path else store.full_url,
        host_name=here.name,
        boot_id=here.boot_id,
        ttl=settings.lease_ttl,
        log_path=f"{path}.keeper.log" if path else os.devnull,
        static_devices=settings.static_devices,
    )
    if place not in _clients:
        _clients[place] = KeeperClient(place)
    return _clients[place]


_clients: dict[KeeperPlace, KeeperClient] = {}
