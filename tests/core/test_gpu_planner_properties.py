"""What holds for every plan, whatever the cluster, the leases, the quotas and the queue."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health, Topology
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner import Holding, Plan, Queued, WaitReason, forecast, plan
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

TEAMS = ("a", "b", None)
PROJECTS = ("p", None)
PHASES = ("pilot", "production", None)


@dataclass(frozen=True)
class World:
    devices: Sequence[Device]
    holdings: Sequence[Holding]
    queue: Sequence[Queued]
    quotas: Sequence[Quota]

    def plan(self) -> Plan:
        return plan(self.devices, self.holdings, self.queue, quotas=self.quotas)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    devices = draw(st.lists(a_device(), max_size=10, unique_by=lambda d: d.key))
    return World(
        devices=devices,
        holdings=draw(some_holdings(devices)),
        queue=draw(st.lists(a_request(), max_size=14).map(_in_line)),
        quotas=draw(st.lists(a_quota(), max_size=5, unique_by=lambda q: (q.pool, q.kind, q.name))),
    )


@st.composite
def a_device(draw: st.DrawFn) -> Device:
    number = draw(st.integers(0, 5))
    mig = draw(st.booleans()) and draw(st.booleans())
    links = draw(st.sets(st.integers(0, 5), max_size=2))
    return Device(
        uuid=f"d{number}",
        host=draw(st.sampled_from(["h", "i"])),
        kind=DeviceKind.MIG if mig else DeviceKind.GPU,
        mig_profile="1g.10gb" if mig else None,
        parent_uuid=draw(st.sampled_from(["p", "q"])) if mig else None,
        model=draw(st.sampled_from(["A100", "H100"])),
        memory_mib=draw(st.sampled_from([None, 1000, 2000])),
        reserved_mib=draw(st.sampled_from([0, 0, 100])),
        pool=draw(st.sampled_from(["default", "default", "other"])),
        health=draw(st.sampled_from([*Health, Health.HEALTHY, Health.HEALTHY, Health.HEALTHY])),
        topology=draw(st.sampled_from([None, Topology(nvlink=tuple(f"d{n}" for n in links))])),
    )


@st.composite
def some_holdings(draw: st.DrawFn, devices: Sequence[Device]) -> list[Holding]:
    found = []
    for device in devices:
        if draw(st.booleans()):
            continue
        shares = draw(st.sampled_from([[None], [300], [300, 600]]))
        if device.memory_mib is None:
            shares = [None]
        found.extend(
            Holding(
                device=device.key,
                state=draw(st.sampled_from([LeaseState.ACTIVE] * 3 + [LeaseState.SUSPECT])),
                memory_mib=share,
                team=draw(st.sampled_from(TEAMS)),
                project=draw(st.sampled_from(PROJECTS)),
                phase=draw(st.sampled_from(PHASES)),
                ends_in=draw(st.sampled_from([None, -100.0, 0.0, 50.0, 900.0])),
            )
            for share in shares
        )
    return found


@st.composite
def a_request(draw: st.DrawFn) -> Queued:
    wants = draw(
        st.sampled_from(
            [{"gpus": n} for n in (1, 1, 2, 3)]
            + [{"memory_mib": m} for m in (200, 700, 1500)]
            + [{"mig_profile": "1g.10gb"}, {"gpus": 1, "gpu_model": "h100"}]
        )
    )
    request = GpuRequest(
        **wants,
        gpu_pool=draw(st.sampled_from(["default", "default", "other", "unknown"])),
        priority=draw(st.sampled_from([0, 0, 0, 1])),
        team=draw(st.sampled_from(TEAMS)),
        project=draw(st.sampled_from(PROJECTS)),
        phase=draw(st.sampled_from(PHASES)),
    )
    return Queued(
        id="",
        request=request,
        place=0,
        host=draw(st.sampled_from([None, None, "h", "i"])),
        waiting=draw(st.sampled_from([0.0, 700.0, 5000.0])),
        estimate=draw(st.sampled_from([None, 10.0, 60.0, 1000.0])),
    )


@st.composite
def a_quota(draw: st.DrawFn) -> Quota:
    kind = draw(st.sampled_from(["team", "project", "phase"]))
    names = {"team": ["a", "b"], "project": ["p"], "phase": ["pilot", "production"]}[kind]
    guaranteed = draw(st.sampled_from([0, 0.5, 1, 3]))
    above = draw(st.sampled_from([None, 0, 0.5, 2]))
    return Quota(
        kind=kind,
        name=draw(st.sampled_from(names)),
        weight=draw(st.sampled_from([0.5, 1, 4])),
        guaranteed=guaranteed,
        ceiling=None if above is None else guaranteed + above,
        pool=draw(st.sampled_from(["default", "other"])),
    )


def _in_line(requests: list[Queued]) -> list[Queued]:
    """Give ids and places; who is ahead has waited no less."""
    requests.sort(key=lambda q: -q.waiting)
    classes: dict[object, str] = {}
    return [
        Queued(
            **{
                **vars(q),
                "id": f"r{n}",
                "place": n,
                "class_key": classes.setdefault((q.request, q.host), f"c{len(classes)}"),
            }
        )
        for n, q in enumerate(requests)
    ]


def used_of(world: World, made: Plan) -> dict[tuple[str, str], list[int | None]]:
    requests = {q.id: q.request for q in world.queue}
    used: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    for holding in world.holdings:
        used[holding.device].append(holding.memory_mib)
    for grant in made.grants:
        for key in grant.devices:
            used[key].append(requests[grant.request_id].memory_mib)
    return used


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_no_device_is_given_twice_or_beyond_what_it_has(world: World) -> None:
    used = used_of(world, world.plan())
    for device in world.devices:
        parts = used[device.key]
        if None in parts:
            assert parts == [None]
        else:
            assert sum(part or 0 for part in parts) <= (device.shareable_mib or 0)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_what_is_given_suits_and_is_of_one_host(world: World) -> None:
    made = world.plan()
    devices = {d.key: d for d in world.devices}
    doubtful = {h.device for h in world.holdings if h.state is LeaseState.SUSPECT}
    queue = {q.id: q for q in world.queue}
    for grant in made.grants:
        queued = queue[grant.request_id]
        assert len(set(grant.devices)) == len(grant.devices) == queued.request.wanted
        assert len({host for host, _ in grant.devices}) == 1
        for key in grant.devices:
            assert queued.host in {None, key[0]}
            assert queued.request.suits(devices[key])
            assert devices[key].health is Health.HEALTHY
            assert key not in doubtful


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_request_is_spoken_of_once(world: World) -> None:
    made = world.plan()
    spoken = [g.request_id for g in made.grants] + [*made.waiting, *made.refused]
    assert sorted(spoken) == sorted(q.id for q in world.queue)


@settings(max_examples=40, deadline=None)
@given(worlds(), st.randoms())
def test_the_order_in_which_things_are_told_changes_nothing(
    world: World, random_: random.Random
) -> None:
    shuffled = [list(part) for part in (world.holdings, world.queue, world.quotas)]
    for part in shuffled:
        random_.shuffle(part)
    other = World(world.devices, *shuffled)
    assert set(other.plan().grants) == set(world.plan().grants)
    assert other.plan().waiting == world.plan().waiting


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_class_key_only_saves_time(world: World) -> None:
    plain = [Queued(**{**vars(q), "class_key": ""}) for q in world.queue]
    made = plan(world.devices, world.holdings, plain, quotas=world.quotas)
    assert made.grants == world.plan().grants


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_a_ceiling_is_never_passed_by_what_is_given(world: World) -> None:
    made = world.plan()
    devices = {d.key: d for d in world.devices}
    requests = {q.id: q.request for q in world.queue}

    def part(key: tuple[str, str], memory: int | None) -> float:
        if memory is not None:
            return memory / (devices[key].shareable_mib or 1)
        return 1 / 7 if devices[key].kind is DeviceKind.MIG else 1.0

    for quota in world.quotas:
        if quota.ceiling is None:
            continue
        before = sum(
            part(h.device, h.memory_mib)
            for h in world.holdings
            if getattr(h, quota.kind) == quota.name and devices[h.device].pool == quota.pool
        )
        given_ = sum(
            part(key, requests[g.request_id].memory_mib)
            for g in made.grants
            for key in g.devices
            if getattr(requests[g.request_id], quota.kind) == quota.name
            and devices[key].pool == quota.pool
        )
        assert given_ <= 1e-6 or before + given_ <= quota.ceiling + 1e-6


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_who_waits_for_busy_devices_would_not_fit_into_what_is_left(world: World) -> None:
    made = world.plan()
    used = used_of(world, made)
    doubtful = {h.device for h in world.holdings if h.state is LeaseState.SUSPECT}
    kept = {WaitReason.RESERVED_FOR_ANOTHER, WaitReason.GUARANTEED_TO_ANOTHER}
    for queued in world.queue:
        reason = made.waiting.get(queued.id)
        if reason is None or reason in kept or reason is WaitReason.QUOTA_REACHED:
            continue
        request, fits = queued.request, defaultdict(int)
        for device in world.devices:
            parts = used[device.key]
            room = not parts or (
                request.memory_mib is not None
                and None not in parts
                and device.key not in doubtful
                and sum(p or 0 for p in parts) + request.memory_mib <= (device.shareable_mib or 0)
            )
            if (
                room
                and device.health is Health.HEALTHY
                and request.suits(device)
                and queued.host in {None, device.host}
            ):
                fits[device.host] += 1
        assert max(fits.values(), default=0) < request.wanted


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_devices_are_kept_only_for_somebody_who_waits(world: World) -> None:
    made = world.plan()
    kept = {WaitReason.RESERVED_FOR_ANOTHER, WaitReason.GUARANTEED_TO_ANOTHER}
    for queued in world.queue:
        if made.waiting.get(queued.id) in kept:
            assert any(
                made.waiting.get(other.id) not in {*kept, None}
                for other in world.queue
                if other.id != queued.id
            )
    if made.reserved is not None:
        assert made.waiting[made.reserved.request_id] is not WaitReason.QUOTA_REACHED


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_a_forecast_speaks_of_all_and_agrees_with_the_plan(world: World) -> None:
    made = world.plan()
    starts = forecast(world.devices, world.holdings, world.queue, quotas=world.quotas)
    assert set(starts) == {q.id for q in world.queue}
    assert all(starts[name] is None for name in made.refused)
    overdue = any(h.ends_in is not None and h.ends_in <= 0 for h in world.holdings)
    for queued in world.queue:
        at = starts[queued.id]
        assert at is None or at >= 0
        if not overdue:
            assert (at == 0) == (queued.id in {g.request_id for g in made.grants})


@st.composite
def gangs(draw: st.DrawFn) -> list[Queued]:
    found = []
    for name in draw(st.lists(st.sampled_from("uvw"), unique=True)):
        size = draw(st.integers(1, 4))
        request = replace(draw(a_request()).request, gang=name, gang_size=size, mig_profile=None)
        request = replace(request, gpus=draw(st.integers(1, 2)), memory_mib=None)
        waiting = draw(st.sampled_from([0.0, 900.0]))
        seen = draw(st.integers(1, size))  # of a long queue not all are read
        found += [
            Queued(id=f"{name}{n}", request=request, place=0, waiting=waiting) for n in range(seen)
        ]
    return found


@settings(max_examples=60, deadline=None)
@given(worlds(), gangs())
def test_a_gang_is_served_whole_or_not_at_all(world: World, asked: list[Queued]) -> None:
    queue = _in_line([*world.queue, *asked])
    made = plan(world.devices, world.holdings, queue, quotas=world.quotas)
    granted = {grant.request_id for grant in made.grants}
    for one in asked:
        mine = {q.id for q in queue if q.request.gang == one.request.gang}
        assert not mine & granted or len(mine & granted) == one.request.gang_size
        assert bool(mine & made.refused.keys()) == (mine <= made.refused.keys())
    ids = [q.id for q in queue]
    assert sorted([*granted, *made.waiting, *made.refused]) == sorted(ids)
    devices = [key for grant in made.grants for key in grant.devices]
    whole = {q.id for q in queue if q.request.memory_mib is None}
    alone = [key for grant in made.grants if grant.request_id in whole for key in grant.devices]
    assert all(devices.count(key) == 1 for key in alone)
