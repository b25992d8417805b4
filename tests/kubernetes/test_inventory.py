"""What a look at the cluster writes down: devices, leases whose pods are gone, orphans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_ai_provider.core.errors import LeaseLostError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity
from airflow_ai_provider.core.gpu.nodes import placement_of
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.cluster_watch import cluster_watch
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.services.gpu_cluster import ClusterPool
from airflow_ai_provider.services.settings import GpuSettings
from airflow_ai_provider.store.engine import Store
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.test_operator import foreign_pod, until

pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"


@pytest.fixture
def slots(cluster: Cluster, store: Store) -> ClusterPool:
    """The slots of the emulated cluster, in a store of each kind."""
    client = client_of(ClusterAccess(config_dict=cluster.config()))
    return cluster_of(GpuPool(store, GpuSettings()), client, resource=GPU)


def ask(slots: ClusterPool, holder: str, gpus: int = 1, **task: Any) -> LeaseRecord | None:
    where = placement_of({}, cluster=slots.cluster, resource=GPU)
    request = replace(GpuRequest.of(gpus=gpus), placement=where)
    ticket = slots.ticket(request, holder=holder, task=TaskIdentity(**task))
    slots.look()
    return slots.ask(ticket).lease


def make_pod(cluster: Cluster, slots: ClusterPool, record: LeaseRecord) -> dict[str, Any]:
    pod = foreign_pod(len(record.devices))
    pod["metadata"]["annotations"][LEASE_ANNOTATION] = record.mark
    made = cluster.create("pods", pod)
    meta = made["metadata"]
    slots.leases.hold(record, f"default/{meta['name']}/{meta['uid']}")
    return made


def test_a_lease_lives_as_long_as_its_pod(cluster: Cluster, slots: ClusterPool) -> None:
    record = ask(slots, "a", 4)
    assert record is not None
    made = make_pod(cluster, slots, record)
    slots.look()
    assert [r.state for r in slots.leases.leases(slots.cluster)] == [LeaseState.ACTIVE]
    cluster.delete("pods", made["metadata"]["name"], gracePeriodSeconds=0)
    slots.look()
    assert slots.leases.leases(slots.cluster) == []


def test_a_pod_that_nobody_waits_for_is_deleted_and_others_are_left_alone(
    cluster: Cluster, slots: ClusterPool
) -> None:
    record = ask(slots, "a")
    assert record is not None
    made = make_pod(cluster, slots, record)
    others = foreign_pod(1)
    others["metadata"]["annotations"][LEASE_ANNOTATION] = "f" * 32 + ":7"  # of another store
    kept = cluster.create("pods", others)
    slots.leases.back(record.request_id, reason="test")  # as if its task had given it up
    slots.look()
    until(lambda: len(cluster.pods) == 1)
    assert cluster.pods[0]["metadata"]["name"] == kept["metadata"]["name"]
    assert made["metadata"]["name"] != kept["metadata"]["name"]


def test_a_newer_try_takes_its_pods_lease_over_and_an_older_one_loses_its_own(
    cluster: Cluster, slots: ClusterPool
) -> None:
    task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
    first = ask(slots, "ti:1", try_number=1, **task)
    assert first is not None
    second = ask(slots, "ti:2", try_number=2, **task)
    assert second is not None
    with pytest.raises(LeaseLostError):
        slots.leases.hold(first, "default/late/uid")  # its pod must not run
    make_pod(cluster, slots, second)
    third = TaskIdentity(ti_id="3", try_number=3, **task)
    adopted = slots.leases.adopt(second.id, second.fence, third)
    assert adopted is not None
    assert adopted.task.try_number == 3
    assert slots.leases.adopt("0" * 32, 1, third) is None


def test_whose_pod_is_taken_away_comes_back_to_its_old_place(
    cluster: Cluster, slots: ClusterPool
) -> None:
    first, second = ask(slots, "first", 4), ask(slots, "second", 4)
    assert first is not None
    assert second is not None
    taken, other = make_pod(cluster, slots, first), make_pod(cluster, slots, second)
    until(lambda: all(pod["spec"].get("nodeName") for pod in cluster.pods))
    assert ask(slots, "third", 4) is None
    cluster.create("pods", {**foreign_pod(4), "spec": {**foreign_pod(4)["spec"], "priority": 9}})
    until(
        lambda: (
            taken["metadata"]["name"] not in names(cluster)
            or other["metadata"]["name"] not in names(cluster)
        )
    )
    slots.look()  # somebody else sees first that its pod is gone, and ends its lease
    gone, stays = (
        ("first", other) if taken["metadata"]["name"] not in names(cluster) else ("second", taken)
    )
    assert ask(slots, gone, 4) is None
    queue = slots.pool.status()["queue"]
    assert [q["task"] for q in queue] == [gone, "third"]
    assert queue[0]["waiting_s"] > queue[1]["waiting_s"]  # it is as old as it was
    cluster.delete("pods", stays["metadata"]["name"], gracePeriodSeconds=0)
    slots.look()
    assert ask(slots, "third", 4) is None
    assert ask(slots, gone, 4) is not None


def names(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["name"] for pod in cluster.pods}


def test_a_watch_outlives_what_breaks_it(cluster: Cluster, slots: ClusterPool) -> None:
    def free() -> int:
        devices = slots.pool.status()["devices"]
        return sum(d["health"] == "healthy" for d in devices)

    with cluster_watch(slots):
        until(lambda: free() == 8)
        cluster.drop_watches()
        cluster.create("pods", foreign_pod(3))
        until(lambda: free() == 5)
        cluster.forget()
        cluster.create("pods", foreign_pod(4))
        until(lambda: free() == 1)
        cluster.lose_node("gpu-0")
        cluster.add_node("gpu-2", 2)
        until(lambda: any(d["host"].endswith("gpu-2") for d in slots.pool.status()["devices"]))
        until(lambda: any("not ready" in d["reason"] for d in slots.pool.status()["devices"]))


def test_an_idle_watch_asks_for_nothing(cluster: Cluster, slots: ClusterPool) -> None:
    with cluster_watch(slots), cluster_watch(slots):
        until(lambda: len(slots.pool.status()["devices"]) == 8)
        uses = [(r.use.verb, r.use.resource) for r in cluster.records]
    assert sorted(uses) == sorted(
        [("get", "namespaces")]
        + [(verb, what) for verb in ("list", "watch") for what in ("nodes", "pods")]
    )


def test_a_node_names_the_pool_and_the_model_of_its_devices(
    cluster: Cluster, slots: ClusterPool
) -> None:
    labels = {
        "airflow-ai/gpu-pool": "research",
        "nvidia.com/gpu.product": "NVIDIA-H100",
        "nvidia.com/gpu.memory": "81559",
    }
    cluster.add_node("big", 1, labels=labels)
    slots.look()
    found = next(d for d in slots.pool.status()["devices"] if d["host"].endswith("/big"))
    assert (found["model"], found["memory_mib"], found["kind"]) == (
        "NVIDIA-H100", 81559, "kubernetes",
    )  # fmt: skip
    assert ask(slots, "a", 4) is not None  # of the default pool
    assert slots.ask(
        slots.ticket(
            replace(
                GpuRequest.of(gpus=1, gpu_pool="research"),
                placement=placement_of({}, cluster=slots.cluster, resource=GPU),
            ),
            holder="b",
        )
    ).lease


def test_two_clusters_do_not_share_devices(cluster: Cluster, slots: ClusterPool) -> None:
    with Cluster({"gpu-0": 2}) as other:
        client = client_of(ClusterAccess(config_dict=other.config()))
        there = cluster_of(slots.pool, client, resource=GPU)
        assert ask(there, "a", 2) is not None
        assert ask(there, "b", 2) is None
        first, second = ask(slots, "c", 4), ask(slots, "d", 4)
        assert first is not None
        assert second is not None
        hosts = {first.host, second.host}
        assert {name.partition("/")[0] for name in hosts} == {slots.cluster}
        assert slots.cluster != there.cluster
