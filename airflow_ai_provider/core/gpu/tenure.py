"""A lease as the keeper of its host sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_ai_provider.core.gpu.lease import Process
from airflow_ai_provider.core.gpu.states import LeaseState


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """A live lease of this host, whoever holds it.

    ``uid`` is the user whose keeper looks after it; None before it is claimed. ``process`` is None
    too when the holder released it and left the processes ``left_behind``, or something of its own
    on the device.
    """

    id: str
    fence: int
    state: LeaseState
    devices: tuple[str, ...]
    process: Process | None
    uid: int | None
    revoked: bool = False
    reason: str = ""
    idle_limit: float | None = None
    left_behind: tuple[Process, ...] = ()

    @property
    def mark(self) -> str:
        """What its holder's programs carry in their environment."""
        return f"{self.id}:{self.fence}"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What the keeper brought home from the store.

    ``taken`` are the leases it asked to renew that are live no more because somebody took them
    from their holder; one that its holder released is not among them. ``registered`` says which
    devices of this host the store shows, and with what health, ``restarted`` that it
    shows the host as it was before its last boot.
    """

    renewed: frozenset[str]
    live: tuple[Tenure, ...]
    taken: Mapping[str, str] = field(default_factory=dict)
    registered: Mapping[str, str] = field(default_factory=dict)
    restarted: bool = False


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something a keeper found or did on its own that people must be able to look up later.

    ``name`` is ``stranger``, ``uncertain``, ``stuck``, ``vanished``, ``outlived`` or ``idle``;
    ``verdict`` one of the ledger's.
    """

    name: str
    device: str
    lease_id: str
    fence: int
    verdict: str
    limit: str | float | None
    observed: str | float | None
    sentence: str
