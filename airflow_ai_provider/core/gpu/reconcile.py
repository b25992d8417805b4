"""Whether a device may be handed on: what its driver lists against who is known to be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from airflow_ai_provider.core.gpu.probe import Occupants


class Whose(str, Enum):
    """To whom a process on a device belongs."""

    OURS = "ours"  # of the lease that ends: it is ended
    OUTLIVED = "outlived"  # of an older lease of the device, which is released: it is ended too
    NEIGHBOUR = "neighbour"  # of another live lease on the same device
    SPARED = "spared"  # the holder released and lives: its context is still open
    VANISHED = "vanished"  # the driver still lists it, the kernel does not
    STRANGER = "stranger"  # nobody can name it


class Standing(str, Enum):
    """What is to be done with the devices of a lease that ends."""

    FREE = "free"
    TO_END = "to_end"
    LINGERS = "lingers"
    STRANGER = "stranger"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found on the devices of a lease; ``pids`` are those that decided."""

    standing: Standing
    pids: frozenset[int] = frozenset()
    device: str = ""
    why: str = ""


# what decides first; a stranger beside something of ours is judged once ours is gone
_ORDER = (
    (Whose.OURS, Standing.TO_END),
    (Whose.OUTLIVED, Standing.TO_END),
    (Whose.STRANGER, Standing.STRANGER),
    (Whose.SPARED, Standing.LINGERS),
    (Whose.VANISHED, Standing.LINGERS),
)


def judge(occupants: Mapping[str, Occupants], whose: Mapping[str, Mapping[int, Whose]]) -> Finding:
    """Return what stands between the devices and their next holder.

    ``whose`` tells, by device, of each listed process to whom it belongs. A list that cannot be
    believed never makes a device free, but what it does show is acted on.
    """
    for kind, standing in _ORDER:
        for device, found in whose.items():
            if pids := frozenset(pid for pid, who in found.items() if who is kind):
                return Finding(standing=standing, pids=pids, device=device)
    for device, listed in occupants.items():
        if not listed.is_certain:
            return Finding(standing=Standing.UNCERTAIN, device=device, why=listed.why_uncertain)
    return Finding(standing=Standing.FREE)


def said(pids: Iterable[int]) -> str:
    """Return pids as people read them."""
    return ", ".join(str(pid) for pid in sorted(pids))
