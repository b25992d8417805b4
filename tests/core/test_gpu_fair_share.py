"""Fair share between teams, projects and phases: guarantees, borrowing, weights and ceilings."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.gpu.devices import Device, DeviceKind
from airflow_ai_provider.core.gpu.fair_share import Quota
from airflow_ai_provider.core.gpu.planner import (
    Holding,
    Plan,
    Queued,
    WaitReason,
    plan,
    why_impossible,
)
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

CARD_MIB = 1000


def cards(count: int, host: str = "h", **more: object) -> list[Device]:
    return [
        Device(uuid=f"{n}", host=host, memory_mib=CARD_MIB, **more)  # type: ignore[arg-type]
        for n in range(count)
    ]


def team(name: str, **more: float) -> Quota:
    return Quota(kind="team", name=name, **more)  # type: ignore[arg-type]


def ask(name: str, place: int, *, estimate: float | None = None, **wants: object) -> Queued:
    return Queued(id=name, place=place, request=GpuRequest.of(**wants), estimate=estimate)


def held(numbers: range | list[int], owner: str, **more: object) -> list[Holding]:
    return [
        Holding(device=("h", str(n)), state=LeaseState.ACTIVE, team=owner, **more)  # type: ignore[arg-type]
        for n in numbers
    ]


def order(made: Plan) -> list[str]:
    return [grant.request_id for grant in made.grants]


def flood(owner: str, count: int, first: int = 0, **wants: object) -> list[Queued]:
    return [ask(f"{owner}{n}", first + n, team=owner, **wants) for n in range(count)]


def served(made: Plan, owner: str) -> int:
    return sum(name.startswith(owner) for name in order(made))


def test_one_team_that_asks_for_all_leaves_half_to_another() -> None:
    made = plan(cards(8), [], flood("a", 20) + flood("b", 20, first=100))
    assert (served(made, "a"), served(made, "b")) == (4, 4)
    assert order(made)[:2] == ["a0", "b0"]  # age decides while they stand alike


def test_what_a_team_holds_already_counts() -> None:
    queue = flood("a", 9) + flood("b", 9, first=100)
    made = plan(cards(8), held(range(3), "a"), queue)
    assert (served(made, "a"), served(made, "b")) == (1, 4)


def test_weights_part_what_is_borrowed() -> None:
    quotas = [team("a", weight=3), team("b", weight=1)]
    made = plan(cards(8), [], flood("b", 20) + flood("a", 20, first=100), quotas=quotas)
    assert (served(made, "a"), served(made, "b")) == (6, 2)


def test_a_guarantee_comes_before_what_others_borrow() -> None:
    made = plan(
        cards(8), [], flood("b", 20) + flood("a", 20, first=100), quotas=[team("a", guaranteed=6)]
    )
    assert (served(made, "a"), served(made, "b")) == (7, 1)  # the two left over are shared


def test_what_is_guaranteed_and_not_asked_for_is_lent() -> None:
    quotas = [team("a", guaranteed=6)]
    assert served(plan(cards(8), [], flood("b", 20), quotas=quotas), "b") == 8


def test_who_is_furthest_below_the_guarantee_goes_first() -> None:
    quotas = [team("a", guaranteed=4), team("b", guaranteed=4)]
    holdings = held([0, 1, 2], "a") + held([3], "b") + held([4, 5], "c")
    made = plan(cards(8), holdings, flood("a", 5) + flood("b", 5, first=9), quotas=quotas)
    assert order(made) == ["b0", "b1"]


def test_devices_that_a_guarantee_waits_for_are_not_lent() -> None:
    quotas = [team("a", guaranteed=4)]
    busy = held([0], "b", ends_in=500.0) + held([1, 2], "b", ends_in=900.0)
    wide = ask("wide", 5, team="a", gpus=2)
    queue = [ask("b1", 1, team="b"), wide]
    made = plan(cards(4), busy, queue, quotas=quotas)
    assert made.waiting == {
        "b1": WaitReason.GUARANTEED_TO_ANOTHER,
        "wide": WaitReason.DEVICES_BUSY,
    }
    # who is back in time may borrow them until then
    short = ask("b1", 1, team="b", estimate=400.0)
    assert order(plan(cards(4), busy, [short, wide], quotas=quotas)) == ["b1"]
    # a higher priority goes before any share
    urgent = ask("b1", 1, team="b", priority=1)
    assert order(plan(cards(4), busy, [urgent, wide], quotas=quotas)) == ["b1"]
    # what the guarantee does not cover is only borrowed, too
    wider = ask("wider", 5, team="a", gpus=5)
    made = plan(cards(5), held([0, 1, 2], "b"), [queue[0], wider], quotas=quotas)
    assert order(made) == ["b1"]


def test_a_ceiling_is_never_passed_and_named() -> None:
    made = plan(cards(8), [], flood("a", 20), quotas=[team("a", ceiling=3)])
    assert len(made.grants) == 3
    assert set(made.waiting.values()) == {WaitReason.QUOTA_REACHED}


def test_more_than_a_ceiling_is_impossible_and_says_so() -> None:
    quotas = [team("a", ceiling=2)]
    made = plan(cards(4), [], [ask("q", 0, team="a", gpus=3)], quotas=quotas)
    assert "the quota of team 'a' has the ceiling 2" in made.refused["q"]
    request = GpuRequest.of(team="a", gpus=3)
    assert why_impossible(request, cards(4), quotas=quotas) == made.refused["q"]
    assert why_impossible(GpuRequest.of(team="a", gpus=2), cards(4), quotas=quotas) is None
    none = [team("a", ceiling=0)]
    assert plan(cards(1), [], [ask("q", 0, team="a")], quotas=none).refused


def test_a_share_counts_as_its_part_of_a_card_of_the_host_that_it_is_bound_to() -> None:
    small = [Device(uuid="s", host="small", memory_mib=400)]
    big = [Device(uuid="b", host="big", memory_mib=1000)]
    quotas = [team("a", ceiling=0.5)]
    request = GpuRequest.of(team="a", gpu_memory="300MiB")

    def asked(host: str | None) -> Plan:
        queued = Queued(id="q", place=0, request=request, host=host)
        return plan([*small, *big], [], [queued], quotas=quotas)

    assert asked("big").grants == asked(None).grants != ()
    assert "the quota of team 'a' has the ceiling 0.5" in asked("small").refused["q"]
    for host in ("small", "big", None):
        why = why_impossible(request, [*small, *big], host=host, quotas=quotas)
        assert why == asked(host).refused.get("q")


def test_quotas_count_in_devices_whatever_is_asked_for() -> None:
    quotas = [team("a", ceiling=1.5)]
    shares = flood("a", 9, gpu_memory="500MiB")
    assert len(plan(cards(8), [], shares, quotas=quotas).grants) == 3
    for profile, most in (("3g.40gb", 2), ("1c.3g.40gb", 7)):
        slices = [
            Device(uuid=f"m{n}", host="h", kind=DeviceKind.MIG, mig_profile=profile)
            for n in range(9)
        ]
        asked = flood("a", 9, mig_profile=profile)
        assert len(plan(slices, [], asked, quotas=[team("a", ceiling=1)]).grants) == most


def test_a_share_goes_to_a_device_of_which_it_is_little_enough() -> None:
    devices = [
        Device(uuid="small", host="h", memory_mib=1000),
        Device(uuid="big", host="h", memory_mib=8000),
    ]
    asked = [ask("q", 0, team="a", gpu_memory="500MiB")]
    assert plan(devices, [], asked).grants[0].devices == (("h", "small"),)
    made = plan(devices, [], asked, quotas=[team("a", ceiling=0.25)])
    assert made.grants[0].devices == (("h", "big"),)


def test_a_pools_quota_is_of_that_pool_alone() -> None:
    devices = cards(2) + cards(2, host="x", pool="other")
    quotas = [Quota(kind="team", name="a", ceiling=1, pool="other")]
    queue = flood("a", 2) + [ask(f"o{n}", 9, team="a", gpu_pool="other") for n in range(2)]
    assert sorted(order(plan(devices, [], queue, quotas=quotas))) == ["a0", "a1", "o0"]


@pytest.mark.parametrize("kind", ["project", "phase"])
def test_projects_and_phases_have_quotas_too(kind: str) -> None:
    names = {"project": ("p", "q"), "phase": ("production", "pilot")}[kind]
    quotas = [Quota(kind=kind, name=names[0], guaranteed=3, ceiling=4)]
    queue = [ask(f"late{n}", n, **{kind: names[1]}) for n in range(9)]
    queue += [ask(f"own{n}", 100 + n, **{kind: names[0]}) for n in range(9)]
    made = plan(cards(6), [], queue, quotas=quotas)
    assert (served(made, "own"), served(made, "late")) == (4, 2)


def test_the_dominant_share_decides() -> None:
    """The team stands well, but its project has borrowed most: another project goes first."""
    holdings = [
        Holding(device=("h", "0"), state=LeaseState.ACTIVE, team="a", project="p"),
        Holding(device=("h", "1"), state=LeaseState.ACTIVE, team="b", project="p"),
    ]
    queue = [ask("p", 0, team="c", project="p"), ask("q", 1, team="a", project="q")]
    assert order(plan(cards(3), holdings, queue)) == ["q"]


def test_phases_take_turns_only_where_one_has_a_quota() -> None:
    busy = [Holding(device=("h", "0"), state=LeaseState.ACTIVE, team="x", phase="pilot")]
    queue = [ask("pilot", 0, team="a", phase="pilot"), ask("other", 1, team="b", phase="discovery")]
    assert order(plan(cards(2), busy, queue)) == ["pilot"]
    quotas = [Quota(kind="phase", name="production", guaranteed=1)]
    assert order(plan(cards(2), busy, queue, quotas=quotas)) == ["other"]


def test_priority_goes_before_share_and_share_before_age() -> None:
    queue = [
        ask("old", 0, team="a"),
        ask("fair", 1, team="b"),
        ask("urgent", 2, team="a", priority=1),
    ]
    holdings = held([0], "a")
    assert order(plan(cards(4), holdings, queue)) == ["urgent", "fair", "old"]


def test_a_share_does_not_wait_behind_another_teams_old_requests_for_whole_devices() -> None:
    old = [
        Queued(id=f"a{n}", place=n, waiting=5000.0, request=GpuRequest.of(team="a"))
        for n in range(9)
    ]
    share = ask("share", 50, team="b", gpu_memory="100MiB")
    made = plan(cards(2), held([0], "a"), [*old, share])
    assert order(made) == ["share"]
