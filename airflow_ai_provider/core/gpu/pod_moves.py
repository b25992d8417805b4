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
    moves = []
    for record in sorted(leases, key=lambda record: record.id):
        host = bound.get(record.id, record.host)
        if host == record.host or host not in nodes:
            continue
        count = int(nodes[host].allocatable.get(resource, 0))
        names = (f"{resource}:{number}" for number in range(count))
        free = [name for name in names if name not in held.get(host, ())][: len(record.devices)]
        if len(free) == len(record.devices):
            held.setdefault(host, set()).update(free)
            held[record.host] -= set(record.devices)
            moves.append(
                Move(
                    lease_id=record.id, fence=record.fence, was=record.host, host=host,
                    devices=tuple(free),
                )
            )  # fmt: skip
    return moves
