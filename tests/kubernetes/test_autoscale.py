"""Pods that wait for nodes of an autoscaler: no more than it may make, and not for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_ai_provider.core.gpu.nodes import placement_of
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from tests.edge.gpu_tasks import execute, first_event
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import context, operator, run
from tests.kubernetes.test_inventory import make_pod
from tests.kubernetes.test_operator import Background, both_ways, until

pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"
LABELS = {"pool": "h100"}
GROUPS = json.dumps([{"name": "h100", "labels": LABELS, "devices": 4, "max_nodes": 2}])


@pytest.fixture
def from_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster without a GPU, and a group of nodes that may grow from nothing to two."""
    with Cluster({"cpu-0": 0}) as emulated:
        path = emulated.write_config(tmp_path / "kubeconfig")
        extra = {"kube_config_path": str(path)}
        found = json.dumps({"conn_type": "kubernetes", "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", found)
        monkeypatch.setenv("AIRFLOW__AI_PROVIDER__NODE_GROUPS", GROUPS)
        monkeypatch.delenv("KUBECONFIG", raising=False)
        yield emulated


def on_nodes(cluster: Cluster) -> list[str]:
    return sorted(p["spec"]["nodeName"] for p in cluster.pods if p["spec"].get("nodeName"))


@both_ways
def test_as_many_pods_are_pending_as_nodes_may_come(
    from_zero: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    given: dict[str, Any] = {
        "gpus": 4,
        "capacity": "autoscale",
        "deferrable": deferrable,
        "startup_timeout_seconds": 2,
        "schedule_timeout_seconds": 1,
        "annotations": {"sim/run-seconds": "1"},
    }
    tasks = [Background(**given) for _ in range(3)]
    until(lambda: len(from_zero.pods) == 2 and pool.status()["queue"])
    until(lambda: all(lease.pod for lease in pool.gpu.leases()))
    assert [q["reason"] for q in pool.status()["queue"]] == ["devices_busy"]
    assert {lease.reason for lease in pool.gpu.leases()} == {
        "Its pod waits for a node that the cluster's autoscaler is to bring"
    }
    for pod in from_zero.pods:
        affinity = pod["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term == {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["h100"]}]}
    from_zero.add_node("late", 4, labels=LABELS)
    until(lambda: on_nodes(from_zero) == ["late"])
    until(lambda: any(lease.host.endswith("/late") for lease in pool.gpu.leases()))
    assert [task.end(60) for task in tasks] == [None] * 3  # one after the other, on one node
    assert pool.gpu.leases() == []
    assert from_zero.pods == []


@both_ways
def test_a_node_that_never_comes_has_a_limit_of_its_own(
    from_zero: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    said = "longer than 2 s for a node to come: 0/1 nodes are available"
    with pytest.raises(AirflowException, match=said):
        run(gpus=1, capacity="autoscale", node_timeout=2, deferrable=deferrable)
    assert until(lambda: not from_zero.pods)
    assert pool.gpu.leases() == []


def age(cluster: Cluster, resource: str) -> None:
    """Let all objects of a resource, and their conditions, be an hour old."""
    then = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def go() -> None:
        for of in cluster.objects.all(resource):
            of["metadata"]["creationTimestamp"] = then
            for condition in of["status"].get("conditions", []):
                condition["lastTransitionTime"] = then

    cluster.call(go)


@pytest.mark.parametrize("again", ["triggerer", "worker"])
@pytest.mark.parametrize("kueue_queue", [None, "pilot"])
def test_who_starts_anew_gives_a_node_no_new_time_to_come(
    from_zero: Cluster, pool: GpuPool, kueue_queue: str | None, again: str
) -> None:
    from_zero.call(from_zero.kueue.add_queue, "default", "pilot", 8)
    given = {"gpus": 1, "capacity": "autoscale", "node_timeout": 600, "kueue_queue": kueue_queue}
    at = context()
    with pytest.raises(TaskDeferred) as deferred:
        execute(operator(deferrable=True, **given), "execute", at)
    until(lambda: reason_of(from_zero) == "Unschedulable")
    said = "longer than 600 s for a node to come"
    for resource in ("pods", "workloads"):
        age(from_zero, resource)
    if again == "triggerer":
        event = first_event(deferred.value.trigger)
        assert event["gpu_outcome"] == "failed"
        assert said in event["gpu_why"]
        return
    with pytest.raises(AirflowException, match=said):
        run({**at, "ti": context(try_number=2)["ti"]}, **given)


@pytest.mark.parametrize("resource", ["pods", "workloads"])
def test_time_in_kueues_queue_is_no_time_that_a_node_takes(
    from_zero: Cluster, pool: GpuPool, resource: str
) -> None:
    from_zero.call(from_zero.kueue.add_queue, "default", "pilot", 8)
    given = {"gpus": 1, "capacity": "autoscale", "node_timeout": 600, "kueue_queue": "pilot"}
    with pytest.raises(TaskDeferred) as deferred:
        execute(operator(deferrable=True, **given), "execute", context())
    until(lambda: reason_of(from_zero) == "Unschedulable")
    age(from_zero, resource)
    is_late = resource == "workloads"  # which was let go an hour ago; the pod only waited so long
    if not is_late:
        from_zero.add_node("late", 4, labels=LABELS)
    event = first_event(deferred.value.trigger)
    assert (event.get("gpu_outcome") == "failed") is is_late


def reason_of(cluster: Cluster) -> str:
    conditions = [c for pod in cluster.pods for c in pod["status"].get("conditions", [])]
    return next((c.get("reason", "") for c in conditions if c["type"] == "PodScheduled"), "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"capacity": "free"}, "No device can serve"),  # others may wait for a node, it may not
        ({"capacity": "plenty"}, "capacity='plenty' means nothing"),
        ({"capacity": "autoscale", "gpu_resource": "amd.com/gpu"}, "no group of nodes"),
        ({"capacity": "autoscale", "gpus": 5}, "no host has more than 4"),
    ],
)
def test_what_no_group_brings_is_refused(
    from_zero: Cluster, pool: GpuPool, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        run(**{"gpus": 1, **given})
    assert from_zero.pods == []


def test_a_lease_follows_its_pod_to_the_node_that_came(cluster: Cluster, store: Store) -> None:
    client = client_of(ClusterAccess(config_dict=cluster.config()))
    slots = cluster_of(GpuPool(store, GpuSettings(node_groups=GROUPS)), client, resource=GPU)
    where = placement_of({}, cluster=slots.cluster, resource=GPU, may_wait=True)
    request = replace(GpuRequest.of(gpus=4), placement=where)
    slots.look()
    asked = [slots.ask(slots.ticket(request, holder=f"h{n}")).lease for n in range(5)]
    records = [record for record in asked if record is not None]
    assert len(records) == 4
    coming = [record for record in records if "~" in record.host]
    assert records[:2] == [r for r in records if "~" not in r.host]  # what is there comes first
    for record in records[:2]:
        make_pod(cluster, slots, record)
    until(lambda: len(on_nodes(cluster)) == 2)
    slots.look()
    for record in coming:
        make_pod(cluster, slots, record)
    cluster.add_node("came", 4, labels=LABELS)
    until(lambda: "came" in on_nodes(cluster))
    slots.look()
    hosts = [record.host.partition("/")[2] for record in slots.leases.leases(slots.cluster)]
    assert sorted(hosts)[:3] == ["came", "gpu-0", "gpu-1"]
    assert sorted(hosts)[3].startswith("h100~")
    slots.look()
    state = {d["host"].partition("/")[2]: d for d in slots.pool.status()["devices"]}
    assert (state["came"]["health"], len(state["came"]["holders"])) == ("healthy", 1)
    absent = [n for n, d in state.items() if d["health"] == "absent"]
    assert len(absent) == 1  # it has come
