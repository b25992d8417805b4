"""Devices of a cluster, where a pod may go, how it starts and how it ended: pure decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.gpu.cluster import (
    ClusterPod,
    Node,
    devices_of,
    host_name,
    is_of_cluster,
    node_of,
    pod_of,
    quantity,
    requests_of,
    taken_by_others,
)
from airflow_ai_provider.core.gpu.devices import Device, DeviceKind, Health
from airflow_ai_provider.core.gpu.nodes import NodeFacts, Taint, allows, placement_of
from airflow_ai_provider.core.gpu.planner import why_impossible
from airflow_ai_provider.core.gpu.pod_life import (
    EndKind,
    Stage,
    Standing,
    ending_of,
    kueue_says,
    standing_of,
)
from airflow_ai_provider.core.gpu.pod_start import StartClock, Verdict
from airflow_ai_provider.core.gpu.request import GpuRequest

GPU = "nvidia.com/gpu"


def node(name: str = "n", gpus: int = 4, **more: Any) -> Node:
    return Node(name=name, allocatable={GPU: gpus}, labels={}, facts=(), **more)


def pod(gpus: int, on: str | None = "n", *, uid: str = "u", **more: Any) -> ClusterPod:
    given = {"namespace": "d", "name": uid, "uid": uid, "phase": "Running", **more}
    return ClusterPod(node=on, requests={GPU: gpus}, **given)


def states(of: tuple[Device, ...]) -> list[str]:
    return [device.health.value for device in of]


# --- the inventory --------------------------------------------------------------------------------


@given(
    count=st.integers(0, 16),
    taken=st.integers(0, 20),
    held=st.sets(st.integers(0, 20).map(lambda n: f"{GPU}:{n}")),
)
def test_no_more_is_free_than_the_node_has_left(count: int, taken: int, held: set[str]) -> None:
    found = devices_of(node(gpus=count), cluster="c", resource=GPU, taken=taken, held=held)
    assert len(found) == count
    free = [d for d in found if d.health is Health.HEALTHY and d.uuid not in held]
    assert len(free) == max(0, count - min(len(held), count) - taken)
    assert len({d.uuid for d in found}) == count
    assert sum(d.uuid in held for d in found) == min(len(held), count)


def test_a_node_that_takes_no_pod_says_why() -> None:
    cordoned = devices_of(node(cordoned=True), cluster="c", resource=GPU, taken=1, held=())
    assert {(d.health, d.reason) for d in cordoned} == {(Health.DRAINED, "the node is cordoned")}
    lost = node_of(
        {
            "metadata": {"name": "n"},
            "status": {
                "allocatable": {GPU: "2"},
                "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Silent"}],
            },
        }
    )
    found = devices_of(lost, cluster="c", resource=GPU, taken=0, held=())
    assert {d.health for d in found} == {Health.UNHEALTHY}
    assert "Silent" in found[0].reason


def test_pods_that_hold_a_lease_there_are_not_counted_twice() -> None:
    pods = [
        pod(2, uid="ours", mark="a:1"),
        pod(1, uid="foreign"),
        pod(1, uid="stray", mark="b:1"),  # its lease has ended, or is on another node
        pod(4, uid="over", phase="Succeeded"),
    ]
    assert taken_by_others([node()], pods, resource=GPU, leases={"a:1": "n"}) == {"n": 2}
    assert taken_by_others([node()], pods, resource=GPU, leases={"b:1": "m"}) == {"n": 4}


def test_a_pod_that_the_scheduler_may_bind_next_takes_room() -> None:
    nodes = [node("a", 4), node("b", 2)]
    waiting = [pod(2, None, uid="w"), pod(9, None, uid="huge"), pod(1, None, uid="g", gated=True)]
    assert taken_by_others(nodes, waiting, resource=GPU, leases={}) == {"b": 2}
    ours = [pod(2, None, uid="w", mark="a:1")]
    assert taken_by_others(nodes, ours, resource=GPU, leases={"a:1": "a"}) == {}


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("500m", 0.5), ("2Ki", 2048), ("1.5G", 1.5e9), ("much", 0)]
)
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == value


def test_what_a_pod_asks_for_is_counted_as_the_scheduler_does() -> None:
    def of(count: int, **more: Any) -> dict[str, Any]:
        return {"resources": {"limits": {GPU: str(count)}}, **more}

    spec = {"containers": [of(1), of(2)], "initContainers": [of(5)]}
    assert requests_of(spec) == {GPU: 5}
    sidecar = {"containers": [of(1)], "initContainers": [of(1, restartPolicy="Always"), of(2)]}
    assert requests_of(sidecar) == {GPU: 3}
    assert pod_of({"metadata": {"name": "p", "uid": "u"}, "spec": spec}).phase == "Pending"


def test_nodes_are_told_from_machines() -> None:
    assert is_of_cluster(host_name("k8s-1a2b3c4d", "n", GPU))
    assert not is_of_cluster("k8s-worker-1")
    assert not is_of_cluster("gpu-box")


def test_a_host_has_a_name_that_the_store_can_keep() -> None:
    assert host_name("c", "n", GPU) == "c/n"
    assert host_name("c", "n", "amd.com/gpu") == "c/n:amd.com/gpu"
    names = {host_name("c", "n" * 300 + end, GPU) for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) <= 250


# --- placement ------------------------------------------------------------------------------------


def facts(labels: dict[str, str] | None = None, *taints: Taint) -> NodeFacts:
    pairs = tuple(sorted((labels or {}).items()))
    return NodeFacts(cluster="c", name="n", resource=GPU, labels=pairs, taints=taints)


def where(spec: dict[str, Any], *, cluster: str = "c") -> str:
    return placement_of({"spec": spec}, cluster=cluster, resource=GPU)


def term(key: str, operator: str, *values: str) -> dict[str, Any]:
    expression = {"key": key, "operator": operator, "values": list(values)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    node_affinity = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return {"affinity": {"nodeAffinity": node_affinity}}


@pytest.mark.parametrize(
    ("spec", "labels", "may"),
    [
        ({}, {}, True),
        ({"nodeSelector": {"a": "1"}}, {"a": "1"}, True),
        ({"nodeSelector": {"a": "1"}}, {"a": "2"}, False),
        (term("m", "Gt", "39999"), {"m": "40960"}, True),
        (term("m", "Gt", "40960"), {"m": "40960"}, False),
        (term("m", "Gt", "1"), {"m": "many"}, False),
        (term("m", "Gt", "1"), {}, False),
        (term("m", "Lt", "5"), {"m": "4"}, True),
        (term("p", "In", "A100", "H100"), {"p": "H100"}, True),
        (term("p", "NotIn", "A100"), {}, True),
        (term("p", "Exists"), {}, False),
        (term("p", "DoesNotExist"), {}, True),
    ],
)
def test_labels_decide_as_the_scheduler_has_it(
    spec: dict[str, Any], labels: dict[str, str], may: bool
) -> None:
    assert allows(where(spec), facts(labels)) is may


def test_a_taint_keeps_out_what_does_not_tolerate_it() -> None:
    taint = Taint(key=GPU, value="present")
    exists = {"tolerations": [{"key": GPU, "operator": "Exists"}]}
    equal = {"tolerations": [{"key": GPU, "value": "present", "effect": "NoSchedule"}]}
    other = {"tolerations": [{"key": GPU, "value": "other"}]}
    for_a_while = {"tolerations": [{"operator": "Exists", "tolerationSeconds": 300}]}
    may = [allows(where(s), facts({}, taint)) for s in ({}, exists, equal, other, for_a_while)]
    assert may == [False, True, True, False, False]


def test_devices_of_a_cluster_are_for_its_pods_only() -> None:
    local = Device(uuid="cpu:0", host="h")
    there = Device(uuid=f"{GPU}:0", host="c/n", kind=DeviceKind.KUBERNETES, node=facts())
    for_pod = GpuRequest(gpus=1, placement=where({}))
    assert why_impossible(GpuRequest(gpus=1), [there])
    assert why_impossible(for_pod, [local])
    assert why_impossible(for_pod, [there]) is None
    assert why_impossible(GpuRequest(gpus=1, placement=where({}, cluster="d")), [there])
    assert NodeFacts.of(facts({"a": "1"}, Taint(key="t")).document) == facts(
        {"a": "1"}, Taint(key="t")
    )


# --- a pod's start --------------------------------------------------------------------------------


def clock(*, leased: bool = True) -> StartClock:
    return StartClock(leased=leased, schedule_timeout=10, startup_timeout=20, patience=3)


def verdicts(of: StartClock, *steps: tuple[Stage | None, float]) -> list[str]:
    return [
        of.decide(None if stage is None else Standing(stage=stage), now).verdict.value
        for stage, now in steps
    ]


def test_time_at_a_gate_counts_for_nothing() -> None:
    steps = [(Stage.GATED, 0.0), (Stage.GATED, 9999.0), (Stage.UNBOUND, 9999.0)]
    last = (Stage.STARTING, 10008.0), (Stage.STARTING, 10027.0), (Stage.STARTED, 10028.0)
    assert verdicts(clock(leased=False), *steps, *last) == ["wait"] * 5 + ["started"]


@given(
    old=st.floats(0, 100),
    stage=st.sampled_from([Stage.UNBOUND, Stage.STARTING]),
    seen=st.lists(st.floats(0, 50), max_size=3),
)
def test_a_limit_is_the_same_whoever_follows_and_since_when(
    old: float, stage: Stage, seen: list[float]
) -> None:
    limit = {Stage.UNBOUND: 10, Stage.STARTING: 20}[stage]
    standing = Standing(stage=stage, since=1000.0)
    follows = clock(leased=False)
    for moment in sorted(seen):
        follows.decide(standing, 1001 + moment)
    now = 1001 + max([old, *seen])  # stamps are of whole seconds, and so may be one too old
    fresh = clock(leased=False)
    assert follows.decide(standing, now) == fresh.decide(standing, now)
    assert fresh.decide(standing, now).waits is (now - 1001 < limit)


def test_patience_with_a_scheduler_is_for_what_was_seen() -> None:
    standing = Standing(stage=Stage.NO_ROOM, since=0.0)
    of = clock()
    found = [of.decide(standing, now).verdict for now in (900.0, 902.9, 903.0)]
    assert found == [Verdict.WAIT, Verdict.WAIT, Verdict.BACK]


def test_a_pod_with_devices_that_finds_no_room_goes_back_soon() -> None:
    steps = [(Stage.NO_ROOM, 0.0), (Stage.NO_ROOM, 2.9), (Stage.NO_ROOM, 3.0)]
    assert verdicts(clock(), *steps) == ["wait", "wait", "back"]


def test_a_pod_of_another_queue_may_wait_for_room_as_long_as_is_said() -> None:
    steps = [(Stage.UNBOUND, 0.0), (Stage.NO_ROOM, 5.0), (Stage.NO_ROOM, 10.5)]
    assert verdicts(clock(leased=False), *steps) == ["wait", "wait", "fail"]


def test_what_starts_too_slowly_or_never_fails_and_what_is_gone_goes_back() -> None:
    assert verdicts(clock(), (Stage.STARTING, 0.0), (Stage.STARTING, 20.0)) == ["wait", "fail"]
    assert verdicts(clock(), (Stage.BROKEN, 0.0)) == ["fail"]
    assert verdicts(clock(), (None, 0.0)) == ["back"]


@given(st.lists(st.tuples(st.sampled_from(Stage), st.floats(0, 50)), max_size=30))
def test_no_clock_waits_for_ever_on_a_node(steps: list[tuple[Stage, float]]) -> None:
    of, now = clock(), 0.0
    for stage, after in steps:
        now += after
        of.decide(Standing(stage=stage), now)
    ends = [of.decide(Standing(stage=Stage.STARTING), now + t).verdict for t in (0.0, 20.1)]
    assert ends[-1] is Verdict.FAIL


# --- a pod's end ----------------------------------------------------------------------------------


def ended(code: int | None = None, reason: str = "Error", **status: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"phase": "Failed", **status}
    if code is not None:
        state = {"terminated": {"exitCode": code, "reason": reason}}
        given["containerStatuses"] = [{"name": "base", "state": state}]
    return {"metadata": {"namespace": "d", "name": "p"}, "status": given}


def disruption(reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]}


def no_image(message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": "ErrImagePull", "message": message}}
    return {
        "phase": "Pending",
        "containerStatuses": [{"name": "base", "image": "i", "state": state}],
    }


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        (ended(phase="Succeeded"), EndKind.SUCCEEDED, "succeeded"),
        (ended(3), EndKind.FAILED, "exit code 3"),
        (ended(137, "OOMKilled"), EndKind.OUT_OF_MEMORY, "memory limit"),
        (ended(137, reason="Error"), EndKind.FAILED, "killed from outside"),
        (ended(**disruption("PreemptionByScheduler")), EndKind.PREEMPTED, "for others"),
        (ended(143, **disruption("EvictionByEvictionAPI")), EndKind.EVICTED, "for others"),
        (ended(143, **disruption("DeletionByTaintManager")), EndKind.NODE_LOST, "with its node"),
        (ended(**no_image("not found")), EndKind.NO_IMAGE, "cannot be pulled"),
        (ended(), EndKind.NOT_STARTED, "never ran"),
    ],
)
def test_an_end_has_a_name_and_a_sentence(
    document: dict[str, Any], kind: EndKind, said: str
) -> None:
    ending = ending_of(document, container="base")
    assert ending.kind is kind
    assert said in ending.sentence
    assert ending.sentence.endswith(".")


def test_a_node_that_is_known_to_be_lost_decides() -> None:
    ending = ending_of(ended(phase="Running"), container="base", node_trouble="it is silent")
    assert (ending.kind, "it is silent" in ending.sentence) == (EndKind.NODE_LOST, True)
    evicted = ended()
    evicted["status"].update(reason="Evicted", message="low on memory")
    assert ending_of(evicted, container="base").kind is EndKind.EVICTED


def test_a_registry_that_may_answer_soon_is_waited_for() -> None:
    soon, never = (
        standing_of({"metadata": {}, "spec": {"nodeName": "n"}, "status": no_image(why)}).stage
        for why in ("429 Too Many Requests", "manifest unknown")
    )
    assert (soon, never) == (Stage.STARTING, Stage.BROKEN)


def test_kueue_is_quoted() -> None:
    condition = {"type": "QuotaReserved", "status": "False", "message": "no quota"}
    workload = {
        "metadata": {"ownerReferences": [{"kind": "Pod", "name": "p"}]},
        "spec": {"queueName": "pilot"},
        "status": {"conditions": [condition]},
    }
    assert kueue_says([workload], "p") == "Kueue's queue pilot: no quota"
    assert kueue_says([workload], "q") == ""
