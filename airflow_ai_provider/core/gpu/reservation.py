"""Devices kept for a request that does not fit yet, and who may use them until then.

EASY backfilling (Lifka, JSSPP 1995; Mu'alem and Feitelson, IEEE TPDS 12(6), 2001): by the estimates
of the leases that run, find when the request fits at the earliest, and keep the devices that it
will then have. Others may use them if they end before that by their own estimate; they may use any
other device however long they hold it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from airflow_ai_provider.core.gpu.room import Room
from airflow_ai_provider.core.gpu.slots import Slot
from airflow_ai_provider.core.gpu.turns import Asking
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason


@dataclass(slots=True, eq=False)
class Hold:
    """The devices kept for ``asking`` from ``starts`` on; infinity where no one knows.

    It binds those who have waited for ``binds`` seconds or less: who came soon after it are few,
    and to hold them back would leave devices idle without saving anybody from starving.
    Before its ``due`` turn came, who is fairer and asks for as many devices may still take them:
    only fewer would break up what a wide request waits for.
    """

    asking: Asking
    reason: WaitReason
    starts: float
    slots: list[Slot]
    due: bool = True
    binds: float = inf

    def apply(self, room: Room) -> None:
        """Keep its devices from now on."""
        for slot in self.slots:
            slot.hold = self
            room.settle(slot)

    def drop(self, room: Room) -> None:
        """Keep its devices no longer."""
        for slot in self.slots:
            slot.hold = None
            room.settle(slot)

    def lets(self, other: Asking, slot: Slot, now: float) -> bool:
        """Whether ``other`` may take ``slot`` although it is kept."""
        if other is self.asking or other.queued.waiting > self.binds:
            return True
        if not self.due and (other.entitled or other.wanted >= self.asking.wanted):
            return True
        if self.starts < inf and now + other.holds_for <= self.starts:
            return True
        mine, theirs = self.asking.queued.request.memory_mib, other.queued.request.memory_mib
        if mine is None or theirs is None:
            return False
        staying = sum(p.memory_mib or 0 for p in slot.parts if not p.ends <= self.starts < inf)
        return staying + theirs + mine <= slot.memory


def earliest(room: Room, asking: Asking, *, now: float) -> tuple[list[Slot], float] | None:
    """Return the devices that ``asking`` can have at the earliest, and when; None for never.

    Where the end of a lease is not known, the host with most devices known to come free is kept for
    it: devices that are free there stay so until the others are, too.
    """
    memory, wanted = asking.queued.request.memory_mib, asking.wanted
    hosts = asking.view.hosts if asking.queued.host is None else {asking.queued.host}
    best: tuple[tuple[int, float, str], list[tuple[float, str, Slot]]] | None = None
    for name in hosts & asking.view.hosts:
        times = [
            (max(now, slot.free_at(memory)), slot.name, slot)
            for slot in room.hosts[name].slots
            if slot.healthy and slot.hold is None and slot.spec.number in asking.view.numbers
        ]
        if len(times) < wanted:
            continue
        times.sort()
        known = [when for when, _, _ in times[:wanted] if when < inf]
        rank = (wanted - len(known), known[-1] if known else now, name)
        if best is None or rank < best[0]:
            best = (rank, times)
    if best is None:
        return None
    return _last_to_come([(when, slot) for when, _, slot in best[1]], wanted)


def _last_to_come(times: list[tuple[float, Slot]], wanted: int) -> tuple[list[Slot], float]:
    """Return which of those that come in time are kept: the last ones, so that others stay open."""
    starts = times[wanted - 1][0]
    if starts == inf:
        return [slot for _, slot in times[:wanted]], inf
    in_time = [slot for when, slot in times if when <= starts]
    return in_time[-wanted:], starts
