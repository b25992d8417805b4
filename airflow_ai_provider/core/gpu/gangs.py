"""Requests that are served together or not at all: the pods of one distributed training.

Each member asks for devices of one host, and is placed like any other. What is decided here is that
no grant of a gang stands while another member waits: half a training trains nothing, and two that
hold half each would wait for each other for ever. A gang that finds too little leaves all of it to
others, youngest first; but the oldest that has waited ``reserve_after`` seconds keeps what it found
as a single request then does. So none starves, and no two wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.planner_values import Plan, Queued
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason


def plan_gangs(
    plan_once: Callable[[list[Queued]], Plan],
    queue: Iterable[Queued],
    devices: Sequence[Device],
    *,
    reserve_after: float,
) -> Plan:
    """Return the plan of ``queue`` in which every gang is served whole or not."""
    queue = list(queue)
    gangs = _gangs(queue)
    if not gangs:
        return plan_once(queue)
    refused = {
        name: why for name, members in gangs.items() if (why := _impossible(members[0], devices))
    }
    out = set(refused)
    in_turn = sorted(gangs, key=lambda name: _turn(gangs[name]))
    kept = next(
        (name for name in in_turn if name not in out and _is_old(gangs[name], reserve_after)), None
    )
    while True:
        made = plan_once([q for q in queue if q.request.gang not in out])
        for name in set(in_turn) - out:
            if why := next((made.refused[q.id] for q in gangs[name] if q.id in made.refused), None):
                refused[name] = why
        broken = [n for n in in_turn if n not in out and (n in refused or _is_half(made, gangs[n]))]
        leave = [name for name in broken if name in refused or name != kept]
        if not leave:
            return _told(made, gangs, waiting={*out, *broken} - refused.keys(), refused=refused)
        out.add(leave[-1])


def _gangs(queue: Iterable[Queued]) -> dict[str, list[Queued]]:
    found: dict[str, list[Queued]] = {}
    for queued in queue:
        if queued.request.gang is not None:
            found.setdefault(queued.request.gang, []).append(queued)
    return found


def _turn(members: list[Queued]) -> tuple[int, int]:
    return -members[0].request.priority, min(queued.place for queued in members)


def _is_old(members: list[Queued], reserve_after: float) -> bool:
    return members[0].waiting >= reserve_after and len(members) == members[0].request.gang_size


def _is_half(made: Plan, members: list[Queued]) -> bool:
    """Whether some of the gang were granted devices and not all: also of those not in the queue."""
    ids = {queued.id for queued in members}
    granted = sum(grant.request_id in ids for grant in made.grants)
    return 0 < granted < (members[0].request.gang_size or 1)


def _impossible(member: Queued, devices: Sequence[Device]) -> str | None:
    request = member.request
    by_host = Counter(
        device.host
        for device in devices
        if device.health is not Health.ABSENT and request.suits(device)
    )
    places = sum(count // request.wanted for count in by_host.values())
    if places >= (request.gang_size or 1):
        return None
    return (
        f"{request.gang_size} times {request.wanted} devices of one host are asked for together, "
        f"and all hosts have room for {places} times that."
    )


def _told(
    made: Plan, gangs: dict[str, list[Queued]], *, waiting: set[str], refused: dict[str, str]
) -> Plan:
    """Return the plan with what became of the gangs that are not served."""
    held_back = {queued.id for name in waiting for queued in gangs[name]}
    no = {queued.id: why for name, why in refused.items() for queued in gangs[name]}
    return replace(
        made,
        grants=tuple(g for g in made.grants if g.request_id not in held_back | no.keys()),
        waiting={
            **{name: why for name, why in made.waiting.items() if name not in no},
            **dict.fromkeys(held_back, WaitReason.GANG_INCOMPLETE),
        },
        refused={**made.refused, **no},
    )
