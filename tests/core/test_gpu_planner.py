from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health
from airflow_ai_provider.core.gpu.planner import (
    Holding,
    Plan,
    Queued,
    WaitReason,
    plan,
    sentence,
    why_impossible,
)
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import MOVES, LeaseState, sources


def device(name: str, host: str = "h", **more: object) -> Device:
    return Device(uuid=name, host=host, **more)  # type: ignore[arg-type]


def queued(name: str, place: int = 0, host: str | None = None, **wants: object) -> Queued:
    return Queued(id=name, place=place, host=host, request=GpuRequest.of(**wants))


def given_to(made: Plan) -> dict[str, list[str]]:
    return {g.request_id: [name for _, name in g.devices] for g in made.grants}


def test_priority_goes_before_age() -> None:
    made = plan([device("0")], [], [queued("old", 1), queued("urgent", 2, priority=5)])
    assert given_to(made) == {"urgent": ["0"]}
    assert made.waiting == {"old": WaitReason.DEVICES_BUSY}


def test_age_decides_between_equals() -> None:
    made = plan([device("0")], [], [queued("young", 2), queued("old", 1)])
    assert list(given_to(made)) == ["old"]


def test_who_does_not_fit_does_not_hold_back_those_behind() -> None:
    taken = Holding(device=("h", "0"), state=LeaseState.ACTIVE)
    made = plan([device("0"), device("1")], [taken], [queued("wide", 1, gpus=2), queued("one", 2)])
    assert given_to(made) == {"one": ["1"]}


def test_all_devices_of_a_request_are_of_one_host() -> None:
    devices = [device("0", "a"), device("0", "b"), device("1", "b")]
    made = plan(devices, [], [queued("two", gpus=2)])
    assert made.grants[0].devices == (("b", "0"), ("b", "1"))


def test_whole_devices_come_from_the_host_left_with_fewest_idle() -> None:
    devices = [device("0", "big"), device("1", "big"), device("0", "small")]
    made = plan(devices, [], [queued("one")])
    assert made.grants[0].devices == (("small", "0"),)


def test_a_share_goes_where_least_room_is_left() -> None:
    devices = [device("0", memory_mib=1000), device("1", memory_mib=1000)]
    taken = Holding(device=("h", "1"), state=LeaseState.ACTIVE, memory_mib=600)
    made = plan(devices, [taken], [queued("share", gpu_memory="300MiB")])
    assert given_to(made) == {"share": ["1"]}


def test_a_shared_device_is_not_given_whole() -> None:
    taken = Holding(device=("h", "0"), state=LeaseState.ACTIVE, memory_mib=1)
    made = plan([device("0", memory_mib=1000)], [taken], [queued("whole")])
    assert made.waiting == {"whole": WaitReason.DEVICES_BUSY}


def test_reasons_are_named() -> None:
    suspect = Holding(device=("h", "0"), state=LeaseState.SUSPECT)
    assert plan([device("0")], [suspect], [queued("q")]).waiting == {
        "q": WaitReason.DEVICES_SUSPECT
    }
    ill = device("0", health=Health.UNHEALTHY)
    assert plan([ill], [], [queued("q")]).waiting == {"q": WaitReason.DEVICES_UNHEALTHY}
    assert all(sentence(reason.value).endswith(".") for reason in WaitReason)
    assert sentence("said otherwise") == "said otherwise"


def test_the_impossible_is_refused_and_says_why() -> None:
    devices = [device("0", "a"), device("0", "b")]
    assert plan(devices, [], [queued("q", gpus=2)]).refused == {
        "q": "The request asks for 2 whole devices in pool 'default'; no host has more than 1."
    }
    assert "No device is known" in str(why_impossible(GpuRequest.of(gpu_pool="x"), devices))
    assert "memory of no device" in str(why_impossible(GpuRequest.of(gpu_memory="1GiB"), devices))
    assert "on host c" in str(why_impossible(GpuRequest.of(), devices, host="c"))
    assert why_impossible(GpuRequest.of(), devices) is None


def test_a_profile_or_an_amount_that_no_device_has_is_refused_by_name() -> None:
    slices = [
        device("m", kind=DeviceKind.MIG, mig_profile="2g.20gb", parent_uuid="p"),
        device("0", memory_mib=1000),
    ]
    refused = plan(
        slices,
        [],
        [
            queued("profile", mig_profile="1g.10gb"),
            queued("memory", gpu_memory="2GiB"),
            queued("model", gpu_model="H100"),
            queued("pool", gpu_pool="nowhere"),
            queued("gone", host="elsewhere"),
        ],
    ).refused
    assert refused == {
        "profile": "No device has the profile '1g.10gb'; there is 2g.20gb.",
        "memory": "No device can serve 2048 MiB of one device in pool 'default'.",
        "model": "No device can serve 1 whole device of model 'H100' in pool 'default'.",
        "pool": "No device is known in pool 'nowhere'.",
        "gone": "No device is known in pool 'default' on host elsewhere.",
    }


def test_what_people_said_of_devices_is_named() -> None:
    drained = device("0", health=Health.DRAINED)
    quarantined = device("1", health=Health.QUARANTINED)
    ill = device("2", health=Health.UNHEALTHY)

    def why(*devices: Device, gpus: int = 1) -> WaitReason:
        return plan(devices, [], [queued("q", gpus=gpus)]).waiting["q"]

    assert why(drained, quarantined, ill) is WaitReason.DEVICES_DRAINED
    assert why(drained, quarantined, ill, gpus=2) is WaitReason.DEVICES_QUARANTINED
    assert why(drained, quarantined, ill, gpus=3) is WaitReason.DEVICES_UNHEALTHY
    assert why(drained, device("3"), gpus=2) is WaitReason.DEVICES_DRAINED


def test_an_instance_comes_from_the_fullest_card() -> None:
    devices = [
        device(f"{card}{n}", kind=DeviceKind.MIG, mig_profile="1g.10gb", parent_uuid=card)
        for card in "ab"
        for n in range(3)
    ]
    taken = Holding(device=("h", "b0"), state=LeaseState.ACTIVE)
    made = plan(devices, [taken], [queued("q", mig_profile="1g.10gb")])
    assert given_to(made) == {"q": ["b1"]}


def test_a_share_fills_used_devices_before_idle_ones() -> None:
    devices = [device("0", memory_mib=1000), device("1", memory_mib=9000)]
    taken = Holding(device=("h", "1"), state=LeaseState.ACTIVE, memory_mib=1000)
    made = plan(devices, [taken], [queued("share", gpu_memory="900MiB")])
    assert given_to(made) == {"share": ["1"]}


def test_every_move_leads_to_the_end() -> None:
    for state in LeaseState:
        reached, frontier = {state}, [state]
        while frontier:
            for target in MOVES[frontier.pop()] - reached:
                reached.add(target)
                frontier.append(target)
        assert LeaseState.RELEASED in reached
    assert LeaseState.SUSPECT not in sources(LeaseState.GRANTED)
    assert sources(LeaseState.GRANTED) == (LeaseState.PENDING,)


requests = st.one_of(
    st.builds(lambda n: GpuRequest.of(gpus=n), st.integers(1, 3)),
    st.builds(lambda n: GpuRequest.of(gpu_memory=f"{n}MiB"), st.integers(1, 1200)),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(requests, st.integers(-3, 3)), max_size=12))
def test_a_plan_speaks_about_every_request_once(wanted: list[tuple[GpuRequest, int]]) -> None:
    devices = [device(str(n), host, memory_mib=1000) for host in "ab" for n in range(2)]
    queue = [
        Queued(id=str(n), place=n, request=GpuRequest(**{**vars(r), "priority": p}))
        for n, (r, p) in enumerate(wanted)
    ]
    made = plan(devices, [], queue)
    spoken = [g.request_id for g in made.grants] + [*made.waiting, *made.refused]
    assert sorted(spoken) == sorted(q.id for q in queue)


class PoolMachine(RuleBasedStateMachine):
    """The pure core under any order of events, with a naive count beside it."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[Device] = []
        self.queue: dict[str, Queued] = {}
        self.leases: dict[str, tuple[tuple[tuple[str, str], ...], int | None, LeaseState]] = {}
        self.place = 0

    @initialize(hosts=st.integers(1, 2), each=st.integers(1, 3))
    def start(self, hosts: int, each: int) -> None:
        self.devices = [
            device(str(n), f"h{h}", memory_mib=1000) for h in range(hosts) for n in range(each)
        ]

    @rule(target=tickets, request=requests, priority=st.integers(0, 3))
    def enqueue(self, request: GpuRequest, priority: int) -> str:
        self.place += 1
        name = str(self.place)
        wanted = GpuRequest(**{**vars(request), "priority": priority})
        self.queue[name] = Queued(id=name, place=self.place, request=wanted)
        return name

    @rule()
    def make_plan(self) -> None:
        made = plan(self.devices, self.holdings(), self.queue.values())
        for name in made.refused:
            request = self.queue.pop(name).request
            assert request.wanted > 1 or (request.memory_mib or 0) > 1000
        for grant in made.grants:
            request = self.queue.pop(grant.request_id).request
            assert len({host for host, _ in grant.devices}) == 1
            assert len(set(grant.devices)) == len(grant.devices) == request.wanted
            self.leases[grant.request_id] = (grant.devices, request.memory_mib, LeaseState.ACTIVE)
        # nothing that waits would fit into what is left
        again = plan(self.devices, self.holdings(), self.queue.values())
        assert not again.grants
        assert set(again.waiting) == set(self.queue)

    @rule(ticket=consumes(tickets))
    def finish(self, ticket: str) -> None:
        self.queue.pop(ticket, None)
        self.leases.pop(ticket, None)

    @rule(ticket=tickets, to=st.sampled_from([LeaseState.SUSPECT, LeaseState.QUARANTINED]))
    def doubt(self, ticket: str, to: LeaseState) -> None:
        if ticket in self.leases:
            devices, share, state = self.leases[ticket]
            if to in MOVES[state]:
                self.leases[ticket] = (devices, share, to)

    @rule(data=st.data(), health=st.sampled_from([Health.HEALTHY, Health.UNHEALTHY]))
    def turn(self, data: st.DataObject, health: Health) -> None:
        index = data.draw(st.integers(0, len(self.devices) - 1))
        old = self.devices[index]
        self.devices[index] = Device(**{**vars(old), "health": health})

    def holdings(self) -> list[Holding]:
        return [
            Holding(device=key, state=state, memory_mib=share)
            for devices, share, state in self.leases.values()
            for key in devices
        ]

    @invariant()
    def nothing_is_given_twice(self) -> None:
        for held in self.devices:
            shares = [h.memory_mib for h in self.holdings() if h.device == held.key]
            if None in shares:
                assert len(shares) == 1
            else:
                assert sum(share or 0 for share in shares) <= 1000


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def test_shares_are_not_made_of_memory_that_the_driver_keeps() -> None:
    card = Device(uuid="c", host="h", memory_mib=1000, reserved_mib=100)

    def asked(*sizes: int) -> Plan:
        requests = [GpuRequest.of(gpu_memory=f"{size}MiB") for size in sizes]
        return plan(
            [card], [], [Queued(id=f"{n}", request=r, place=n) for n, r in enumerate(requests)]
        )

    assert len(asked(450, 450).grants) == 2
    assert asked(450, 451).waiting == {"1": WaitReason.DEVICES_BUSY}
    assert asked(900).grants
    assert "No device can serve" in asked(901).refused["0"]
    assert plan([card], [], [Queued(id="w", request=GpuRequest.of(gpus=1), place=0)]).grants
    held = Holding(device=card.key, state=LeaseState.ACTIVE, memory_mib=600)
    whole = Queued(id="s", request=GpuRequest.of(gpu_memory="301MiB"), place=0)
    assert plan([card], [held], [whole]).waiting == {"s": WaitReason.DEVICES_BUSY}


def gang(
    name: str, size: int, *, waiting: float = 0.0, place: int = 1, **wants: int
) -> list[Queued]:
    request = replace(GpuRequest.of(**wants), gang=name, gang_size=size)
    return [
        Queued(id=f"{name}{n}", place=place + n, request=request, waiting=waiting)
        for n in range(size)
    ]


def test_a_gang_takes_devices_of_several_hosts_at_once() -> None:
    devices = [device(str(n), host) for host in "ab" for n in range(2)]
    made = plan(devices, [], gang("g", 2, gpus=2))
    assert given_to(made) == {"g0": ["0", "1"], "g1": ["0", "1"]}


def test_what_half_a_gang_could_have_is_given_to_others() -> None:
    devices = [device("0", "a"), device("0", "b")]
    taken = Holding(device=("b", "0"), state=LeaseState.ACTIVE)
    made = plan(devices, [taken], [*gang("g", 2), queued("one", 9)])
    assert given_to(made) == {"one": ["0"]}
    assert made.waiting == dict.fromkeys(["g0", "g1"], WaitReason.GANG_INCOMPLETE)


def test_two_gangs_do_not_hold_half_each() -> None:
    devices = [device("0", host) for host in "abc"]
    made = plan(devices, [], [*gang("g", 2), *gang("h", 2, place=5)])
    assert sorted(given_to(made)) == ["g0", "g1"]


def test_a_gang_that_waited_long_keeps_what_it_finds() -> None:
    devices = [device("0", "a"), device("0", "b")]
    taken = Holding(device=("b", "0"), state=LeaseState.ACTIVE)
    made = plan(devices, [taken], [*gang("g", 2, waiting=700), queued("one", 9)])
    assert given_to(made) == {}
    assert made.waiting["g0"] is WaitReason.GANG_INCOMPLETE


def test_a_gang_that_no_hosts_could_ever_hold_is_refused() -> None:
    made = plan([device("0", "a"), device("1", "a"), device("0", "b")], [], gang("g", 2, gpus=2))
    assert set(made.refused) == {"g0", "g1"}
    assert "2 times 2 devices" in made.refused["g0"]
    assert made.waiting == {}
