"""Leases that follow their pods: the scheduler may put one on another node than was thought.

A pod that waits for a node yet to come, or that found no room on its lease's node, may go to any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from airflow_ai_provider.core.gpu.cluster import Node
from airflow_ai_provider.core.gpu.lease import LeaseRecord


@dataclass(frozen=True, kw_only=True)
class Move:
    """A lease that follows its pod, which was put on another node than the lease was given on."""

    lease_id: str
    fence: int
    was: str  # the host that it leaves
    host: str
    devices: tuple[str, ...]

    def of(self, record: LeaseRecord) -> LeaseRecord:
        """Return the lease as it is after the move."""
        return replace(record, host=self.host, devices=self.devices)


def moves_of(
    leases: Iterable[LeaseRecord],
    nodes: Mapping[str, Node],
    bound: Mapping[str, str],
    *,
    resource: str,
) -> list[Move]:
    """Return the moves of ``leases`` whose pods are on other nodes than they.

    ``nodes`` are by host, ``bound`` are the hosts of pods by the lease's id. One whose pod's node
    has too few devices that no lease has stays where it is: its pod counts as another's there.
    """
    leases = list(leases)
    held: dict[str, set[str]] = {}
    for record in leases:
        held.setdefault(record.host, set()).update(record.devices)
    moves: list[Move] = []
    waiting = [r for r in sorted(leases, key=lambda r: r.id) if bound.get(r.id, r.host) != r.host]
    while True:  # what one leaves another may have
        moved = [m for r in waiting if (m := _move(r, nodes, bound, held, resource)) is not None]
        if not moved:
            return moves
        moves += moved
        gone = {move.lease_id for move in moved}
        waiting = [record for record in waiting if record.id not in gone]


def _move(
    record: LeaseRecord,
    nodes: Mapping[str, Node],
    bound: Mapping[str, str],
    held: dict[str, set[str]],
    resource: str,
) -> Move | None:
    """Return the move of a lease to the host of its pod, if there is room for it."""
    host = bound[record.id]
    if host not in nodes:
        return None
    count = int(nodes[host].allocatable.get(resource, 0))
    names = (f"{resource}:{number}" for number in range(count))
    free = [name for name in names if name not in held.get(host, ())][: len(record.devices)]
    if len(free) < len(record.devices):
        return None
    held.setdefault(host, set()).update(free)
    held[record.host] -= set(record.devices)
    return Move(
        lease_id=record.id, fence=record.fence, was=record.host, host=host, devices=tuple(free)
    )
