"""Devices kept for who waits longest, and who may fill in around them."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.gpu.devices import Device, Health
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner import Holding, Plan, Queued, WaitReason, plan
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

OLD = 1000.0  # seconds; reserve_after is 600


def cards(count: int, *hosts: str, **more: object) -> list[Device]:
    return [
        Device(uuid=f"{n}", host=host, memory_mib=1000, **more)  # type: ignore[arg-type]
        for host in hosts or ("h",)
        for n in range(count)
    ]


def held(number: int, ends_in: float | None, host: str = "h", **more: object) -> Holding:
    return Holding(
        device=(host, str(number)),
        state=LeaseState.ACTIVE,
        ends_in=ends_in,
        **more,  # type: ignore[arg-type]
    )


def ask(
    name: str,
    place: int,
    *,
    waiting: float = 0.0,
    estimate: float | None = None,
    host: str | None = None,
    **wants: object,
) -> Queued:
    request = GpuRequest.of(**wants)
    return Queued(
        id=name, place=place, request=request, waiting=waiting, estimate=estimate, host=host
    )


def order(made: Plan) -> list[str]:
    return [grant.request_id for grant in made.grants]


def test_the_oldest_has_the_devices_kept_that_it_can_have_first() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    devices = cards(2, "a", "b")
    holdings = [held(0, 50.0, "a"), held(1, 300.0, "a"), held(0, 100.0, "b")]
    made = plan(devices, holdings, [wide, ask("long", 2, estimate=500.0)])
    assert made.reserved is not None
    assert made.reserved.request_id == "wide"
    assert made.reserved.devices == (("b", "1"), ("b", "0"))
    assert made.reserved.starts_in == 100.0
    assert made.waiting == {
        "wide": WaitReason.DEVICES_BUSY,
        "long": WaitReason.RESERVED_FOR_ANOTHER,
    }


def test_others_fill_in_if_they_end_in_time() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    holdings = [held(0, 100.0)]
    for estimate, fits in ((100.0, True), (101.0, False), (None, False)):
        made = plan(cards(2), holdings, [wide, ask("q", 2, estimate=estimate)])
        assert order(made) == (["q"] if fits else [])


def test_others_use_devices_that_are_not_kept_as_long_as_they_like() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    holdings = [held(0, 100.0), held(1, 100.0)]
    made = plan(cards(3), holdings, [wide, ask("q", 2)])
    assert order(made) == ["q"]  # two come free together: the third is no part of it
    made = plan(cards(3), [held(0, 100.0), held(1, 200.0)], [wide, ask("q", 2)])
    assert order(made) == []


def test_nothing_is_kept_before_its_time() -> None:
    wide = ask("wide", 1, waiting=599.0, gpus=2)
    made = plan(cards(2), [held(0, 100.0)], [wide, ask("q", 2)])
    assert (order(made), made.reserved) == (["q"], None)
    made = plan(cards(2), [held(0, 100.0)], [wide, ask("q", 2)], reserve_after=100.0)
    assert order(made) == []


def test_it_binds_only_who_came_well_after() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    together = ask("q", 2, waiting=OLD - 599.0)
    later = ask("q", 2, waiting=OLD - 600.0)
    assert order(plan(cards(2), [held(0, 100.0)], [wide, together])) == ["q"]
    assert order(plan(cards(2), [held(0, 100.0)], [wide, later])) == []


def test_a_higher_priority_is_not_bound() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    made = plan(cards(2), [held(0, 100.0)], [wide, ask("q", 2, priority=1)])
    assert order(made) == ["q"]


def test_the_highest_priority_has_devices_kept_first() -> None:
    queue = [
        ask("older", 1, waiting=2 * OLD, gpus=2),
        ask("higher", 2, waiting=OLD, gpus=2, priority=1),
    ]
    made = plan(cards(2), [held(0, 100.0)], queue)
    assert made.reserved is not None
    assert made.reserved.request_id == "higher"


def test_whose_quota_is_reached_has_nothing_kept() -> None:
    queue = [
        ask("over", 1, waiting=2 * OLD, gpus=2, team="a"),
        ask("narrow", 2, team="b"),
    ]
    quotas = [Quota(kind="team", name="a", ceiling=2)]
    made = plan(cards(3), [held(0, 100.0, team="a")], queue, quotas=quotas)
    assert made.waiting == {"over": WaitReason.QUOTA_REACHED}
    assert (order(made), made.reserved) == (["narrow"], None)


def test_where_an_end_is_unknown_devices_are_kept_as_they_come_free() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=3)
    devices = cards(3, "a", "b")
    holdings = [held(0, None, "a"), held(0, None, "b"), held(1, None, "b")]
    short = ask("short", 2, estimate=1.0)
    made = plan(devices, holdings, [wide, short])
    assert made.reserved is not None
    assert made.reserved.starts_in is None
    assert {host for host, _ in made.reserved.devices} == {"a"}
    assert made.grants[0].devices == (("b", "2"),)
    here = ask("here", 2, estimate=1.0, host="a")
    assert plan(devices, holdings, [wide, here]).waiting["here"] is (
        WaitReason.RESERVED_FOR_ANOTHER
    )


def test_sick_devices_are_not_counted_on() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    devices = [*cards(1), *cards(2, "i", health=Health.DRAINED)]
    devices.append(Device(uuid="9", host="h", health=Health.UNHEALTHY))
    made = plan(devices, [], [wide, ask("q", 2)])
    assert made.reserved is None
    assert order(made) == ["q"]
    assert made.waiting == {"wide": WaitReason.DEVICES_DRAINED}


def test_a_share_has_room_kept_on_a_device() -> None:
    big = ask("big", 1, waiting=OLD, gpu_memory="800MiB")
    holdings = [held(0, 100.0, memory_mib=500)]
    made = plan(cards(1), holdings, [big, ask("long", 2, gpu_memory="300MiB")])
    assert made.waiting["long"] is WaitReason.RESERVED_FOR_ANOTHER
    made = plan(cards(1), holdings, [big, ask("small", 2, gpu_memory="200MiB")])
    assert order(made) == ["small"]  # both fit beside each other then
    made = plan(cards(1), holdings, [big, ask("q", 2, gpu_memory="300MiB", estimate=90.0)])
    assert order(made) == ["q"]


def test_one_pools_queue_keeps_nothing_from_another() -> None:
    devices = cards(2) + cards(2, "x", pool="other")
    queue = [
        ask("wide", 1, waiting=2 * OLD, gpus=2),
        ask("there", 2, waiting=OLD, gpus=2, gpu_pool="other"),
        ask("q", 3, gpu_pool="other"),
    ]
    made = plan(devices, [held(0, 9.0), held(0, 9.0, "x")], queue)
    assert made.waiting["q"] is WaitReason.RESERVED_FOR_ANOTHER
    assert made.reserved is not None
    assert made.reserved.request_id == "wide"


def test_alike_requests_are_let_in_by_their_own_estimates() -> None:
    wide = ask("wide", 1, waiting=OLD, gpus=2)
    alike = [
        Queued(id=f"q{n}", place=2 + n, request=GpuRequest(gpus=1), estimate=e, class_key="c")
        for n, e in enumerate([500.0, 700.0, 50.0])
    ]
    made = plan(cards(2), [held(0, 100.0)], [wide, *alike])
    assert order(made) == ["q2"]


# --- over time: an event loop around the planner, with leases that end ---------------------------


class Cluster:
    """Runs the planner whenever something comes or ends; durations are given."""

    def __init__(self, devices: list[Device], *, exact: bool, quotas: list[Quota]) -> None:
        self.devices, self.exact, self.quotas = devices, exact, quotas
        self.now = 0.0
        self.running: dict[str, tuple[float, tuple[tuple[str, str], ...], GpuRequest]] = {}
        self.waiting: dict[str, tuple[float, int, GpuRequest, float]] = {}
        self.started: dict[str, float] = {}
        self.promised: dict[str, float] = {}

    def step(self) -> Plan:
        holdings = [
            Holding(
                device=device,
                state=LeaseState.ACTIVE,
                memory_mib=request.memory_mib,
                ends_in=ends - self.now if self.exact else None,
                team=request.team,
            )
            for ends, devices, request in self.running.values()
            for device in devices
        ]
        queue = [
            Queued(
                id=name,
                place=place,
                request=request,
                waiting=self.now - came,
                estimate=lasts if self.exact else None,
            )
            for name, (came, place, request, lasts) in self.waiting.items()
        ]
        made = plan(self.devices, holdings, queue, quotas=self.quotas)
        for grant in made.grants:
            _, _, request, lasts = self.waiting.pop(grant.request_id)
            self.running[grant.request_id] = (self.now + lasts, grant.devices, request)
            self.started[grant.request_id] = self.now
        return made

    def end_next(self) -> None:
        self.now = min(ends for ends, _, _ in self.running.values())
        self.running = {n: r for n, r in self.running.items() if r[0] > self.now}


jobs = st.lists(
    st.tuples(
        st.sampled_from([{"gpus": 1}, {"gpus": 2}, {"gpus": 4}, {"gpu_memory": "400MiB"}]),
        st.floats(1.0, 5000.0),  # lasts
        st.floats(0.0, 900.0),  # comes after the one before
        st.integers(0, 1),  # priority
        st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=25,
)
some_quotas = st.sampled_from(
    [
        [],
        [Quota(kind="team", name="a", guaranteed=2)],
        [Quota(kind="team", name="a", guaranteed=1, ceiling=4), Quota(kind="team", name="b")],
    ]
)


@settings(max_examples=40, deadline=None)
@given(wanted=jobs, exact=st.booleans(), quotas=some_quotas)
def test_with_leases_that_end_everybody_is_served(
    wanted: list[tuple[dict[str, object], float, float, int, str]],
    exact: bool,
    quotas: list[Quota],
) -> None:
    cluster = Cluster(cards(4, "a", "b"), exact=exact, quotas=quotas)
    arrivals, comes = [], 0.0
    for place, (wants, lasts, after, priority, team) in enumerate(wanted):
        comes += after
        request = GpuRequest.of(**wants, priority=priority, team=team)
        arrivals.append((comes, place, request, lasts))
    while arrivals or cluster.waiting:
        ends = min((r[0] for r in cluster.running.values()), default=float("inf"))
        if arrivals and arrivals[0][0] <= ends:
            job = arrivals.pop(0)
            cluster.now = job[0]
            cluster.waiting[f"j{job[1]}"] = job
        else:
            assert cluster.running, "somebody waits and nothing runs"
            cluster.end_next()
        cluster.step()
    assert len(cluster.started) == len(wanted)


def test_an_endless_stream_of_narrow_jobs_does_not_starve_a_wide_one() -> None:
    random_ = random.Random(5)
    cluster = Cluster(cards(4), exact=False, quotas=[])
    for number in range(400):
        if number == 10:
            request = GpuRequest(gpus=4)
            cluster.waiting["wide"] = (cluster.now, number, request, 10.0)
        name, lasts = f"narrow{number}", random_.uniform(200, 400)
        cluster.waiting[name] = (cluster.now, number, GpuRequest(gpus=1), lasts)
        while len(cluster.waiting) > 3 and "wide" not in cluster.started:
            cluster.step()
            cluster.end_next()
        cluster.step()
        if "wide" in cluster.started:
            break
    assert "wide" in cluster.started


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.one_of(st.none(), st.floats(1, 3000)), min_size=8, max_size=8),
    wide=st.integers(2, 4),
    others=st.lists(st.tuples(st.integers(1, 4), st.floats(1, 4000)), min_size=1, max_size=12),
)
def test_filling_in_never_delays_what_is_kept(
    ends: list[float | None], wide: int, others: list[tuple[int, float]]
) -> None:
    """With exact estimates the reserved start stands, whoever fills in and however time goes on."""
    cluster = Cluster(cards(4, "a", "b"), exact=True, quotas=[])
    for number, lasts in enumerate(ends):
        if lasts is not None:
            host, card = "ab"[number // 4], str(number % 4)
            cluster.running[f"r{number}"] = (lasts, ((host, card),), GpuRequest(gpus=1))
    cluster.now = OLD
    cluster.running = {n: (e + OLD, d, r) for n, (e, d, r) in cluster.running.items()}
    cluster.waiting["wide"] = (0.0, 0, GpuRequest(gpus=wide), 100.0)
    alone = plan(
        cluster.devices,
        [
            Holding(device=d[0], state=LeaseState.ACTIVE, ends_in=e - OLD)
            for e, d, _ in cluster.running.values()
        ],
        [ask("wide", 0, waiting=OLD, gpus=wide)],
    )
    promised = OLD if alone.grants else OLD + alone.reserved.starts_in  # type: ignore[union-attr, operator]
    for number, (gpus, lasts) in enumerate(others):
        cluster.waiting[f"o{number}"] = (OLD, 1 + number, GpuRequest(gpus=gpus), lasts)
    cluster.step()
    while "wide" not in cluster.started:
        cluster.end_next()
        cluster.step()
    assert cluster.started["wide"] <= promised + 1e-6
