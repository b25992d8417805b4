"""What people do to the pool by hand: take devices out and back, take leases away, clear up."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_ai_provider.adapters import processes
from airflow_ai_provider.core.errors import GpuAdminError
from airflow_ai_provider.core.gpu.lease import Host, LeaseRecord
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.services.keepers import KeeperPort, keeper_of
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.gpu import GpuStore
from airflow_ai_provider.store.gpu_admin import Person

_LOOK_EVERY = 0.25


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What came of a reaping: leases released meanwhile, and those that are still in doubt."""

    released: tuple[LeaseRecord, ...]
    remaining: tuple[LeaseRecord, ...]
    why: dict[str, str]


def person(reason: str | None) -> Person:
    """Return who runs this process, with the reason that they give.

    :raises GpuAdminError: no reason is given.
    """
    if not (reason or "").strip():
        raise GpuAdminError(
            "No reason is given.", remedy="Say why with --reason: it goes into the ledger."
        )
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "?"
    return Person(name=f"{name} (uid {os.getuid()})", reason=str(reason).strip())


def reap(
    store: Store,
    settings: GpuSettings | None = None,
    *,
    keeper: KeeperPort | None = None,
    timeout: float = 30.0,
    is_alive: Callable[..., bool] = processes.is_alive,
    pause: Callable[[float], None] = time.sleep,
) -> Reaped:
    """Have this host's keeper end what dead holders left, and wait for what it can release.

    A keeper is started where none lives. Leases of another user are that user's keeper's.
    """
    settings = settings or GpuSettings.from_environment()
    here = Host(name=settings.host_name, boot_id=processes.boot_id())
    gpu = GpuStore(store, here, ttl=settings.lease_ttl)
    keeper = keeper or keeper_of(store, here, settings)
    gpu.tick()  # what expired is in doubt from now on
    before = [record for record in gpu.leases(mine=True) if _is_doubtful(record, is_alive)]
    waiting = {record.id for record in before}
    end = time.monotonic() + timeout
    if waiting:
        keeper.look()
    found = before
    while waiting and time.monotonic() < end:
        pause(_LOOK_EVERY)
        found = [record for record in gpu.leases(mine=True) if _is_doubtful(record, is_alive)]
        waiting = {r.id for r in found if r.state is not LeaseState.QUARANTINED}
    left = {record.id for record in found}
    return Reaped(
        released=tuple(record for record in before if record.id not in left),
        remaining=tuple(found),
        why={record.id: _why(record) for record in found},
    )


def _is_doubtful(record: LeaseRecord, is_alive: Callable[..., bool]) -> bool:
    if record.state in {LeaseState.SUSPECT, LeaseState.QUARANTINED}:
        return True
    return (
        record.state is LeaseState.ACTIVE
        and record.process is not None
        and not is_alive(record.process)
    )


def _why(record: LeaseRecord) -> str:
    process = record.process
    if process is not None and process.uid != os.getuid():
        return (
            f"its holder ran as user {process.uid}, whose keeper looks after it: "
            f"run this command as that user ({record.reason or 'its holder died'})"
        )
    return record.reason or "its holder died, and what it left has not ended yet"
