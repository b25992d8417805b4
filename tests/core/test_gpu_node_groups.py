"""Nodes that an autoscaler has yet to make: how many may be counted on, and who may have them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import SettingsError
from airflow_ai_provider.core.gpu.cluster import (
    ClusterPod,
    Node,
    devices_of,
    host_name,
    taken_by_others,
)
from airflow_ai_provider.core.gpu.devices import Health
from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity
from airflow_ai_provider.core.gpu.node_groups import NodeGroup, groups_of, of_cluster
from airflow_ai_provider.core.gpu.nodes import NodeFacts, Taint, allows, placement_of
from airflow_ai_provider.core.gpu.planner import plan
from airflow_ai_provider.core.gpu.planner_values import Queued
from airflow_ai_provider.core.gpu.pod_life import Stage, Standing
from airflow_ai_provider.core.gpu.pod_moves import moves_of
from airflow_ai_provider.core.gpu.pod_start import StartClock
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState

GPU = "nvidia.com/gpu"
H100 = NodeGroup(name="h100", devices=4, max_nodes=3, labels=(("pool", "h100"),))


def node(name: str, gpus: int = 4, **more: Any) -> Node:
    return Node(name=name, allocatable={GPU: gpus}, labels={"pool": "h100"}, facts=(), **more)


def devices(of: Node) -> list[Any]:
    return list(devices_of(of, cluster="c", resource=GPU, taken=0, held=()))


# --- how many -------------------------------------------------------------------------------------


@given(
    st.integers(1, 6),
    st.integers(1, 8),
    st.integers(0, 8),
    st.dictionaries(st.integers(0, 5), st.integers(1, 8), max_size=6),
)
def test_no_more_is_offered_than_the_group_may_grow(
    most: int, each: int, there: int, leased: dict[int, int]
) -> None:
    group = replace(H100, devices=each, max_nodes=most)
    held = {f"h100~{n}": min(count, each) for n, count in leased.items() if n < most}
    coming = group.coming([node(f"n{n}") for n in range(there)], held)
    counts = {n.name: n.allocatable[GPU] for n in coming}
    left = max(0, most - there)
    assert len(counts) == len(coming)
    # what is leased stays, and what may be leased more never goes beyond what may come
    assert all(counts[name] >= count for name, count in held.items())
    free = sum(count - held.get(name, 0) for name, count in counts.items())
    assert free <= left * each
    assert sum(counts.values()) <= max(left * each, 0) + sum(held.values())
    if len(held) <= left:
        assert sum(counts.values()) == left * each
    assert all(n.group == "h100" and group.has(n) for n in coming)


def test_a_group_may_grow_from_nothing() -> None:
    assert [n.name for n in H100.coming([], {})] == ["h100~0", "h100~1", "h100~2"]
    others = [Node(name="x", allocatable={GPU: 4}, labels={"pool": "a100"}, facts=())]
    assert len(H100.coming(others, {})) == 3


def test_what_its_nodes_are_is_known_before() -> None:
    later = (("nvidia.com/gpu.product", "H100"), ("nvidia.com/gpu.memory", "81559"))
    (first, *_) = replace(H100, labels_later=later, taints=(Taint(key=GPU),)).coming([], {})
    (device, *_) = devices(first)
    assert (device.model, device.memory_mib, device.health) == ("H100", 81559, Health.HEALTHY)
    assert "autoscaler" in device.reason
    facts = device.node
    assert NodeFacts.of(json.loads(json.dumps(facts.document))) == facts


# --- who ------------------------------------------------------------------------------------------


def queued(name: str, place: int, *, may_wait: bool, gpus: int = 4) -> Queued:
    where = placement_of({}, cluster="c", resource=GPU, may_wait=may_wait)
    return Queued(id=name, request=GpuRequest(gpus=gpus, placement=where), place=place)


def test_only_who_may_wait_gets_one_and_only_when_no_other_is_free() -> None:
    there = [*devices(node("z")), *(d for n in H100.coming([node("z")], {}) for d in devices(n))]
    queue = [queued("never", 1, may_wait=False), queued("may", 2, may_wait=True)]
    made = plan(there, [], queue)
    assert {g.request_id: g.devices[0][0] for g in made.grants} == {
        "never": host_name("c", "z", GPU),
        "may": host_name("c", "h100~0", GPU),
    }
    alone = plan(there, [], [queued("may", 1, may_wait=True)])
    assert alone.grants[0].devices[0][0] == host_name("c", "z", GPU)
    assert plan(there, [], [*queue, queued("late", 3, may_wait=False)]).waiting.keys() == {"late"}


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=20), st.integers(0, 3))
def test_never_more_is_granted_than_may_come(asks: list[tuple[bool, int]], there: int) -> None:
    nodes = [node(f"n{n}") for n in range(there)]
    every = [d for n in [*nodes, *H100.coming(nodes, {})] for d in devices(n)]
    made = plan(
        every, [], [queued(f"q{n}", n, may_wait=w, gpus=g) for n, (w, g) in enumerate(asks)]
    )
    given_out = [key for grant in made.grants for key in grant.devices]
    assert len(given_out) == len(set(given_out)) <= H100.max_nodes * H100.devices
    on_coming = {g.request_id for g in made.grants if "~" in g.devices[0][0]}
    assert all(asks[int(name[1:])][0] for name in on_coming)


def test_a_placement_that_waits_for_no_node_is_what_it_was() -> None:
    there, coming = (
        NodeFacts(cluster="c", name="n", resource=GPU, group=group) for group in ("", "h100")
    )
    for may_wait in (False, True):
        where = placement_of({}, cluster="c", resource=GPU, may_wait=may_wait)
        assert (allows(where, there), allows(where, coming)) == (True, may_wait)


# --- a pod that is on its way ---------------------------------------------------------------------


def pod(where: dict[str, str], **more: Any) -> ClusterPod:
    said = placement_of({"spec": {"nodeSelector": where}}, cluster="", resource="")
    given = {"namespace": "d", "name": "p", "uid": "u", "node": None, "phase": "Pending"}
    return ClusterPod(requests={GPU: 2}, where=said, **{**given, **more})


def test_a_pod_that_waits_takes_room_only_where_it_may_go() -> None:
    nodes = [node("a"), Node(name="b", allocatable={GPU: 4}, labels={"pool": "x"}, facts=())]
    assert taken_by_others(nodes, [pod({"pool": "x"})], resource=GPU, leases={}) == {"b": 2}
    assert taken_by_others(nodes, [pod({"pool": "y"})], resource=GPU, leases={}) == {}
    ours = pod({"pool": "h100"}, mark="l:1")  # its node is to come; it may find room before
    assert taken_by_others(nodes, [ours], resource=GPU, leases={"l:1": "h100~0"}) == {"a": 2}
    assert taken_by_others(nodes, [ours], resource=GPU, leases={"l:1": "a"}) == {}


def lease(name: str, host: str, *devices: int) -> LeaseRecord:
    return LeaseRecord(
        id=name, request_id=name, fence=1, state=LeaseState.ACTIVE, host=host,
        devices=tuple(f"{GPU}:{n}" for n in devices), process=None, expires_at=0.0,
        revoked=False, reason="", task=TaskIdentity(), pod=f"d/{name}/{name}",
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from("abx"), st.sampled_from("ab-")), max_size=10),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_leases_follow_their_pods_and_no_device_has_two(
    steps: list[tuple[str, str]], first: int, second: int
) -> None:
    used: dict[str, int] = {}
    leases, bound = [], {}
    for number, (host, now) in enumerate(steps):
        leases.append(lease(f"l{number}", host, used.setdefault(host, 0)))
        used[host] += 1
        if now != "-":
            bound[f"l{number}"] = now
    nodes = {"a": node("a", first), "b": node("b", second)}
    before = {(r.host, d) for r in leases for d in r.devices}
    moves = {m.lease_id: m for m in moves_of(leases, nodes, bound, resource=GPU)}
    after = [moves[r.id].of(r) if r.id in moves else r for r in leases]
    every = [(r.host, d) for r in after for d in r.devices]
    assert len(every) == len(set(every)) == len(before)
    for record in leases:
        move = moves.get(record.id)
        if move is not None:
            assert (move.was, move.host) == (record.host, bound[record.id])
            assert len(move.devices) == len(record.devices)
            assert int(max(move.devices)[-1]) < nodes[move.host].allocatable[GPU]
    for host, limit in (("a", first), ("b", second)):
        free = limit - sum(r.host == host for r in after)
        late = [r for r in after if bound.get(r.id, r.host) == host != r.host]
        assert not late or free <= 0


def test_a_node_that_is_to_come_has_its_own_limit() -> None:
    def verdicts(stages: list[tuple[Stage, float]], *, leased: bool) -> list[str]:
        clock = StartClock(leased=leased, schedule_timeout=10, startup_timeout=20, node_timeout=100)
        return [clock.decide(Standing(stage=s, why="0/1"), t).verdict.value for s, t in stages]

    waits = [(Stage.UNBOUND, 0.0), (Stage.NO_ROOM, 50.0), (Stage.NO_ROOM, 99.0)]
    comes = [*waits, (Stage.STARTING, 99.5), (Stage.STARTING, 119.0), (Stage.STARTED, 119.1)]
    never = [*waits, (Stage.NO_ROOM, 100.0)]
    for leased in (False, True):
        assert verdicts(comes, leased=leased) == ["wait"] * 5 + ["started"]
        assert verdicts(never, leased=leased) == ["wait"] * 3 + ["fail"]
    clock = StartClock(leased=True, schedule_timeout=1, startup_timeout=1, node_timeout=9)
    said = clock.decide(Standing(stage=Stage.NO_ROOM, why="0/1 nodes"), 0.0).why
    assert said == "a node is to come (0/1 nodes)"


# --- the setting ----------------------------------------------------------------------------------


def test_a_group_is_read() -> None:
    said = {
        "name": "h100", "devices": 8, "max_nodes": 4, "labels": {"pool": "h100"},
        "labels_later": {"nvidia.com/gpu.product": "H100"}, "cluster": "k8s-1a2b3c4d",
        "taints": [{"key": GPU, "value": "present", "effect": "NoSchedule"}],
    }  # fmt: skip
    (group,) = groups_of(json.dumps([said]))
    assert (group.devices, group.max_nodes, group.resource) == (8, 4, GPU)
    assert group.taints == (Taint(key=GPU, value="present"),)
    assert of_cluster([group], cluster="k8s-1a2b3c4d", resource=GPU) == (group,)
    assert of_cluster([group], cluster="k8s-other", resource=GPU) == ()
    assert of_cluster([group], cluster="k8s-1a2b3c4d", resource="amd.com/gpu") == ()
    assert groups_of(" ") == ()


GOOD = {"name": "g", "devices": 1, "max_nodes": 1, "labels": {"a": "b"}}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("[", "no JSON"),
        ("{}", "no list"),
        ("[1]", "no object"),
        ([{**GOOD, "maximum": 3}], "unknown field 'maximum'"),
        ([{**GOOD, "name": "a~b"}], "the name"),
        ([{**GOOD, "labels": {}}], "no labels"),
        ([{**GOOD, "labels": {"a": 1}}], "no object of texts"),
        ([{**GOOD, "devices": 0.5}], "devices=0.5"),
        ([{**GOOD, "devices": True}], "devices=True"),
        ([{**GOOD, "max_nodes": 0}], "max_nodes=0"),
        ([{**GOOD, "taints": ["x"]}], "the taint 'x'"),
        ([{**GOOD, "taints": [{"key": "x", "when": "y"}]}], "the taint"),
        ([{**GOOD, "resource": 5}], "resource=5"),
        ([GOOD, GOOD], "twice"),
    ],
)
def test_a_group_that_means_nothing_is_refused(said: Any, why: str) -> None:
    text = said if isinstance(said, str) else json.dumps(said)
    with pytest.raises(SettingsError, match=why) as caught:
        groups_of(text)
    assert caught.value.facts["setting"] == "node_groups"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*GOOD]), inner)
        ),
    )
)
def test_any_json_is_groups_or_an_error_of_ours(said: Any) -> None:
    try:
        groups = groups_of(json.dumps(said))
    except SettingsError:
        return
    assert all(isinstance(group, NodeGroup) for group in groups)
