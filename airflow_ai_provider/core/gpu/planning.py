"""One pass over the queue."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from airflow_ai_provider.core.gpu.planner_values import (
    Grant,
    Holding,
    Plan,
    Queued,
    Reservation,
)
from airflow_ai_provider.core.gpu.reservation import Hold, earliest
from airflow_ai_provider.core.gpu.room import Room, View
from airflow_ai_provider.core.gpu.shares import Shares
from airflow_ai_provider.core.gpu.slots import Part, Slot, Status
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.core.gpu.suitable import (
    least_amount,
    over_ceiling,
    why_none_suits,
    why_waiting,
)
from airflow_ai_provider.core.gpu.turns import Asking, by_age, in_turn
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason

_MOST_RESERVED = 8
# who would end sooner may still be let
_KEPT = frozenset({WaitReason.RESERVED_FOR_ANOTHER, WaitReason.GUARANTEED_TO_ANOTHER})


class Planning:
    """A plan at ``now``; the queue was read ``late`` seconds before that."""

    def __init__(
        self,
        room: Room,
        shares: Shares,
        *,
        reserve_after: float,
        now: float = 0.0,
        late: float = 0.0,
    ) -> None:
        self.room = room
        self.shares = shares
        self.reserve_after = reserve_after
        self.now = now
        self.late = late
        self.given: list[tuple[Slot, Part]] = []
        self._grants: list[Grant] = []
        self._waiting: dict[str, WaitReason] = {}
        self._refused: dict[str, str] = {}
        self._holds: dict[str, Hold] = {}  # by request
        self._reserved: list[Hold] = []
        self._denied = False  # somebody was denied devices that are kept
        self._reopened = False  # such devices are kept no longer
        self._oldest: list[Asking] = []  # who may have devices kept, the first of them last
        self._failed: dict[tuple[str, str | None], tuple[WaitReason, float]] = {}  # by class

    def run(self, queue: Iterable[Queued]) -> Plan:
        """Decide about every request of ``queue``, which are of one pool."""
        asking = [a for queued in queue if (a := self._asking(queued)) is not None]
        self._pass(asking)
        while self._reopened:
            self._pass([a for a in asking if a.queued.id in self._waiting])
        for hold in self._holds.values():
            hold.drop(self.room)
        return Plan(
            grants=tuple(self._grants),
            waiting=self._waiting,
            refused=self._refused,
            reserved=self._shown(self._reserved[0]) if self._reserved else None,
        )

    def _asking(self, queued: Queued) -> Asking | None:
        request = queued.request
        view = self.room.view_of(request)
        claims = self.shares.claims(request.gpu_pool, request.team, request.project, request.phase)
        amount = least_amount(request, view, queued.host)
        why = why_none_suits(self.room, view, request, queued.host) or over_ceiling(
            claims, request, amount
        )
        if why is None:
            return Asking(queued, view, claims, amount, request.priority, request.wanted)
        self._refused[queued.id] = why
        return None

    def _pass(self, asking: list[Asking]) -> None:
        self._reopened = False
        self._failed.clear()
        for one in asking:
            one.decided = False
        self._oldest = sorted(filter(self._is_old, asking), key=by_age, reverse=True)
        for one in in_turn(asking):
            if self._oldest:
                self._keep_for_oldest(one)
            reason = self._decide(one)
            one.decided = True
            if reason is None:
                self._waiting.pop(one.queued.id, None)
            else:
                self._waiting[one.queued.id] = reason

    def _is_old(self, asking: Asking) -> bool:
        return asking.queued.waiting + self.late >= self.reserve_after

    def _may_reserve(self, asking: Asking) -> bool:
        """Whether there may be one more reservation: one for each host, and a few at most."""
        return len(self._reserved) < min(_MOST_RESERVED, len(asking.view.hosts))

    def _keep_for_oldest(self, current: Asking) -> None:
        """Keep devices for the oldest of this priority, before anybody smaller takes them."""
        while self._oldest:
            oldest = self._oldest[-1]
            if oldest is current or oldest.priority < current.priority:
                return  # it is its turn, or not yet
            if not self._may_reserve(oldest):
                return
            self._oldest.pop()
            if oldest.decided or oldest.queued.id in self._holds:
                continue
            if oldest.amount <= oldest.claims.headroom():
                self._reserve(oldest, due=False)

    def _reserve(self, asking: Asking, *, due: bool) -> None:
        queued = asking.queued
        free = None if due else self.room.find(queued.request, asking.view, queued.host)
        found = earliest(self.room, asking, now=self.now) if free is None else (free, self.now)
        if found is not None:
            hold = Hold(
                asking,
                WaitReason.RESERVED_FOR_ANOTHER,
                starts=found[1],
                slots=found[0],
                due=due,
                binds=queued.waiting - self.reserve_after,
            )
            self._reserved.append(hold)
            self._keep(hold)

    def _promise(self, asking: Asking) -> None:
        found = earliest(self.room, asking, now=self.now)
        if found is not None:
            reason = WaitReason.GUARANTEED_TO_ANOTHER
            self._keep(Hold(asking, reason, starts=found[1], slots=found[0]))
            asking.promised = True
            asking.claims.await_(asking.amount)

    def _keep(self, hold: Hold) -> None:
        hold.apply(self.room)
        self._holds[hold.asking.queued.id] = hold

    def _decide(self, asking: Asking) -> WaitReason | None:
        """Grant it and return None, or return why it waits."""
        queued = asking.queued
        entitled = asking.entitled
        alike = (queued.class_key, queued.host) if queued.class_key and not entitled else None
        if alike is not None and (known := self._failed.get(alike)) is not None:
            reason, estimate = known
            if reason not in _KEPT or asking.holds_for >= estimate:
                return reason
        hold = self._holds.get(queued.id)
        found = self._find(asking, hold)
        if not isinstance(found, WaitReason):
            self._give(asking, found)
            if hold is not None:
                self._let_go(hold)
            return None
        if found is not WaitReason.QUOTA_REACHED:
            self._keep_for(asking, hold, entitled=entitled)
        elif hold is not None:
            self._let_go(hold)
        if alike is not None:
            self._failed[alike] = (found, asking.holds_for)
        return found

    def _find(self, asking: Asking, hold: Hold | None) -> list[Slot] | WaitReason:
        """Return the devices that it gets, or why it gets none."""
        queued, view = asking.queued, asking.view
        request = queued.request
        headroom = asking.claims.headroom()
        if asking.amount > headroom:
            return WaitReason.QUOTA_REACHED
        if request.memory_mib is not None and headroom < 1:
            # of a smaller device the same share is more of one
            view = self.room.view(
                [s for s in view.specs if request.memory_mib <= headroom * s.memory]
            )
        if hold is not None and all(
            slot.spec.number in view.numbers and slot.has_room(request.memory_mib)
            for slot in hold.slots
        ):
            return hold.slots
        slots = self.room.find(request, view, queued.host)
        if slots is not None:
            return slots
        return self._find_kept(asking, view)

    def _find_kept(self, asking: Asking, view: View) -> list[Slot] | WaitReason:
        """Look among devices that are kept for others but may be used until then."""
        queued, request = asking.queued, asking.queued.request
        kept: WaitReason | None = None
        for hold in self._holds.values():
            host = hold.slots[0].host
            if queued.host not in {None, host.name}:
                continue
            roomy = host.roomy()
            if len(roomy) < asking.wanted:
                continue
            free = [
                slot
                for slot in roomy
                if slot.spec.number in view.numbers and slot.has_room(request.memory_mib)
            ]
            if len(free) < asking.wanted:
                continue
            may = [s for s in free if s.hold is None or s.hold.lets(asking, s, self.now)]
            if len(may) >= asking.wanted:
                if request.memory_mib is not None:
                    return [min(may, key=lambda slot: (slot.left, slot.name))]
                return host.pick(may, asking.wanted)
            kept = kept or hold.reason
        if kept is not None:
            self._denied = True
            return kept
        return why_waiting(self.room, view, request, queued.host)

    def _keep_for(self, asking: Asking, hold: Hold | None, *, entitled: bool) -> None:
        """Keep devices for one that does not fit, where it has a right to that."""
        if hold is not None:
            if hold.due:
                return
            self._let_go(hold)  # others, fairer and as wide, took of it: look again
            self._reserve(asking, due=True)
        elif self._is_old(asking) and self._may_reserve(asking):
            self._reserve(asking, due=True)
        elif entitled:
            self._promise(asking)

    def _let_go(self, hold: Hold) -> None:
        hold.drop(self.room)
        del self._holds[hold.asking.queued.id]
        if hold in self._reserved:
            self._reserved.remove(hold)
        self._failed.clear()
        if self._denied and any(slot.status is not Status.CLOSED for slot in hold.slots):
            self._reopened = True

    def _give(self, asking: Asking, slots: list[Slot]) -> None:
        memory = asking.queued.request.memory_mib
        ends = self.now + asking.holds_for
        for slot in slots:
            part = Part(memory, ends, owner=asking.claims)
            self.room.take(slot, part)
            asking.claims.pay(slot.amount(memory))
            self.given.append((slot, part))
        self._grants.append(
            Grant(request_id=asking.queued.id, devices=tuple(slot.key for slot in slots))
        )

    def _shown(self, hold: Hold) -> Reservation:
        return Reservation(
            request_id=hold.asking.queued.id,
            devices=tuple(slot.key for slot in hold.slots),
            starts_in=None if hold.starts == inf else hold.starts - self.now,
        )


def plan_pools(
    room: Room,
    shares: Shares,
    queue: Iterable[Queued],
    *,
    reserve_after: float,
    now: float,
    late: float = 0.0,
) -> tuple[Plan, list[tuple[Slot, Part]]]:
    """Plan each pool for itself, as nobody in one waits for devices of another.

    Also return what was given of each device.
    """
    pools: dict[str, list[Queued]] = {}
    for queued in queue:
        pools.setdefault(queued.request.gpu_pool, []).append(queued)
    plans, given = [], []
    for waiting in pools.values():
        planning = Planning(room, shares, reserve_after=reserve_after, now=now, late=late)
        plans.append(planning.run(waiting))
        given.extend(planning.given)
    if len(plans) == 1:
        return plans[0], given
    place = {q.id: (-q.request.priority, q.place) for waiting in pools.values() for q in waiting}
    kept = [made.reserved for made in plans if made.reserved is not None]
    whole = Plan(
        grants=tuple(grant for made in plans for grant in made.grants),
        waiting={name: reason for made in plans for name, reason in made.waiting.items()},
        refused={name: why for made in plans for name, why in made.refused.items()},
        reserved=min(kept, key=lambda one: place[one.request_id], default=None),
    )
    return whole, given


def hold_leased(room: Room, shares: Shares, holding: Holding, *, ends: float) -> None:
    """Count what a live lease holds."""
    slot = room.slots.get(holding.device)
    if slot is None:
        return  # its device is registered no more
    claims = shares.claims(slot.device.pool, holding.team, holding.project, holding.phase)
    doubtful = holding.state in {LeaseState.SUSPECT, LeaseState.QUARANTINED}
    part = Part(holding.memory_mib, inf if doubtful else ends, doubtful, claims)
    room.take(slot, part)
    claims.pay(slot.amount(holding.memory_mib))
