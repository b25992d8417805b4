"""A pod with GPUs from its lease to its end, in a worker's process and deferred."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from airflow_ai_provider.core.errors import GpuWaitTimeoutError, PodEndedError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import context, operator, run

pytestmark = pytest.mark.kubernetes
both_ways = pytest.mark.parametrize("deferrable", [False, True])


def until(found: Callable[[], Any], *, within: float = 10.0) -> Any:
    ends = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.05)
    return value


class Background:
    """A task in a thread of its own, and what came of it."""

    def __init__(self, at: dict[str, Any] | None = None, **given: Any) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(at, given), daemon=True)
        self._thread.start()

    def _run(self, at: dict[str, Any] | None, given: dict[str, Any]) -> None:
        try:
            self.result = run(at or context(run_id=f"r{id(self)}"), **given)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def end(self, within: float = 30) -> BaseException | None:
        self._thread.join(within)
        assert not self._thread.is_alive(), "it did not end"
        return self.error


@both_ways
def test_a_pod_holds_its_lease_and_gives_it_back(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    task = Background(gpus=2, deferrable=deferrable, annotations={"sim/run-seconds": "1"})
    pod = until(lambda: next((p for p in cluster.pods if p["spec"].get("nodeName")), None))
    (record,) = pool.gpu.leases()
    assert pod["metadata"]["annotations"][LEASE_ANNOTATION] == record.mark
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["limits"] == resources["requests"] == {"nvidia.com/gpu": "2"}
    assert record.host.endswith("/" + pod["spec"]["nodeName"])
    assert len(record.devices) == 2
    assert task.end() is None
    assert pool.gpu.leases() == []
    assert cluster.pods == []


@both_ways
def test_what_finds_no_device_waits_without_a_pod(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    first = Background(gpus=4, annotations={"sim/run-seconds": "2"})
    second = Background(gpus=4, annotations={"sim/run-seconds": "2"})
    until(lambda: sum(bool(p["spec"].get("nodeName")) for p in cluster.pods) == 2)
    third = Background(gpus=1, deferrable=deferrable)
    until(lambda: pool.status()["queue"])
    assert pool.status()["queue"][0]["reason"] == "devices_busy"
    assert len(cluster.pods) == 2
    assert [first.end(), second.end(), third.end()] == [None, None, None]


def test_devices_that_others_have_are_not_given(cluster: Cluster, pool: GpuPool) -> None:
    cluster.create("pods", foreign_pod(4))
    cluster.create("pods", foreign_pod(3))
    until(lambda: all(p["spec"].get("nodeName") for p in cluster.pods))
    with pytest.raises(GpuWaitTimeoutError, match="2 whole devices"):
        run(gpus=2, max_wait=1)
    run(gpus=1)
    health = [d["health"] for d in pool.status()["devices"]]
    assert sorted(health) == ["healthy"] + ["occupied"] * 7


def foreign_pod(gpus: int) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": str(gpus)}
    container = {"name": "c", "image": "i:1", "resources": {"limits": limits}}
    return {
        "metadata": {"generateName": "foreign-", "annotations": {"sim/run-seconds": "60"}},
        "spec": {"containers": [container]},
    }


@both_ways
def test_a_failure_has_the_exit_code_and_the_last_lines(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    says = {"sim/exit-code": "3", "sim/logs": "epoch 1\nloss is nan"}
    with pytest.raises(AirflowException, match=r"exit code 3.*(\n.*)*loss is nan") as caught:
        run(deferrable=deferrable, annotations=says)
    because = caught.value.__cause__
    assert isinstance(because, PodEndedError)
    assert (because.facts["kind"], because.facts["exit_code"]) == ("failed", 3)
    assert pool.gpu.leases() == []


def test_want_of_memory_is_named(cluster: Cluster, pool: GpuPool) -> None:
    with pytest.raises(AirflowException, match="killed for memory"):
        run(annotations={"sim/exit-code": "137", "sim/reason": "OOMKilled"})


def test_eviction_is_named(cluster: Cluster, pool: GpuPool) -> None:
    says = {"sim/exit-code": "137", "sim/evicted": "The node was low on resource: memory."}
    with pytest.raises(AirflowException, match="evicted by its node"):
        run(annotations=says)


@both_ways
def test_an_image_that_cannot_be_pulled_fails_early(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    begun = time.monotonic()
    with pytest.raises(AirflowException, match="cannot be pulled"):
        run(deferrable=deferrable, annotations={"sim/pull-error": "true"})
    assert time.monotonic() - begun < 15
    assert until(lambda: not cluster.pods)


def test_an_exit_code_may_mean_skip(cluster: Cluster, pool: GpuPool) -> None:
    with pytest.raises(AirflowSkipException):
        run(annotations={"sim/exit-code": "99"}, skip_on_exit_code=99)
    assert pool.gpu.leases() == []


@pytest.mark.slow
@both_ways
def test_a_lost_node_is_noticed_before_its_pods_are_deleted(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    task = Background(deferrable=deferrable, annotations={"sim/run-seconds": "600"})
    pod = until(lambda: next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None))
    cluster.lose_node(pod["spec"]["nodeName"])
    error = task.end(within=60)
    assert "node" in str(error)
    assert "not ready" in str(error)
    (record,) = pool.gpu.leases()
    assert record.state.value == "suspect"  # nobody knows what still runs there


@pytest.mark.slow
@both_ways
def test_want_of_quota_waits_and_keeps_its_place(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.create("resourcequotas", quota(2))
    first = Background(gpus=2, annotations={"sim/run-seconds": "3"})
    until(lambda: cluster.pods)
    second = Background(gpus=1, deferrable=deferrable)
    story = until(lambda: reasons(pool, "namespace_quota"))
    assert story
    assert (first.end(), second.end()) == (None, None)


def quota(gpus: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "gpus"},
        "spec": {"hard": {"requests.nvidia.com/gpu": str(gpus)}},
    }


def reasons(pool: GpuPool, wanted: str) -> bool:
    import sqlalchemy as sa

    with pool.gpu.store.read() as connection:
        found = connection.execute(sa.text("SELECT reason FROM gpu_request")).scalars()
        return wanted in list(found)


@pytest.mark.slow
@both_ways
def test_a_pod_that_finds_no_room_goes_back_and_comes_again(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    def change(node: dict[str, Any]) -> None:
        node["status"]["allocatable"]["cpu"] = "0"

    for name in ("gpu-0", "gpu-1"):
        cluster.change_node(name, change)
    resources = {"requests": {"cpu": "1"}}
    task = Background(gpus=1, deferrable=deferrable, container_resources=resources_of(resources))
    until(lambda: reasons(pool, "no_room_on_node"))
    assert pool.gpu.leases() == []  # others may have its devices meanwhile

    def back(node: dict[str, Any]) -> None:
        node["status"]["allocatable"]["cpu"] = "64"

    for name in ("gpu-0", "gpu-1"):
        cluster.change_node(name, back)
    assert task.end() is None
    assert pool.gpu.leases() == []


def resources_of(given: dict[str, Any]) -> Any:
    from kubernetes.client import V1ResourceRequirements

    return V1ResourceRequirements(**given)


@both_ways
def test_a_pod_that_somebody_deletes_goes_back_into_the_queue(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    task = Background(deferrable=deferrable, annotations={"sim/run-seconds": "2"})
    pod = until(lambda: next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None))
    cluster.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=0)
    again = until(lambda: next((p for p in cluster.pods), None))
    assert again["metadata"]["uid"] != pod["metadata"]["uid"]
    assert task.end() is None


def test_a_lost_answer_makes_no_second_pod(cluster: Cluster, pool: GpuPool) -> None:
    cluster.fault(r"POST .*/pods$", lose=True)
    assert run(gpus=1) is None
    made = [r for r in cluster.records if r.use.resource == "pods" and r.use.verb == "create"]
    assert len(made) == 2  # it asked twice
    assert len({p["metadata"]["uid"] for p in cluster.pods}) == 0


def test_a_new_try_finds_the_pod_of_the_one_before(cluster: Cluster, pool: GpuPool) -> None:
    dead = context()
    task = operator(annotations={"sim/run-seconds": "3"})
    task._admit(dead)
    task.get_or_create_pod(task.pod_request_obj, dead)  # and then the worker is killed
    (before,) = cluster.pods
    assert run(context(try_number=2), annotations={"sim/run-seconds": "3"}) is None
    creates = [r for r in cluster.records if (r.use.resource, r.use.verb) == ("pods", "create")]
    assert len(creates) == 1
    assert before["metadata"]["name"] not in {p["metadata"]["name"] for p in cluster.pods}
    assert pool.gpu.leases() == []


def test_a_kill_deletes_the_pod_and_its_devices_follow_it(cluster: Cluster, pool: GpuPool) -> None:
    at = context()
    task = operator(annotations={"sim/run-seconds": "60", "sim/term-seconds": "1"})
    task._admit(at)
    task.pod = task.get_or_create_pod(task.pod_request_obj, at)
    until(lambda: cluster.pods[0]["status"]["phase"] == "Running")
    task.on_kill()
    (record,) = pool.gpu.leases()
    assert record.state.value == "suspect"
    until(lambda: not cluster.pods)
    task._cluster.look()
    assert pool.gpu.leases() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": "0.5"}, "no whole number"),
        ({"gpu_resource": "nvidia.com/gpus"}, "No node of the cluster"),
        ({"gpus": 16}, "no host has more than 4"),
        ({"gpus": 1, "container_resources": {"limits": {"nvidia.com/gpu": "2"}}}, "contradicts"),
        ({"container_resources": {"limits": {"nvidia.com/gpu": "0.5"}}}, "no whole number"),
        ({"min_gpu_memory": "much"}, "much"),
        ({"gpu_model": "X", "gpu_resource": "example.com/npu"}, "means nothing"),
        ({"namespace": "gone"}, "not found"),
    ],
)
def test_what_can_never_be_is_refused_at_once(
    cluster: Cluster, pool: GpuPool, given: dict[str, Any], said: str
) -> None:
    if "container_resources" in given:
        given = {**given, "container_resources": resources_of(given["container_resources"])}
    with pytest.raises(Exception, match=said) as caught:
        run(**given)
    if "namespace" not in given:
        assert isinstance(caught.value, AirflowFailException)
    assert cluster.pods == []
    assert pool.gpu.leases() == []
    assert pool.status()["queue"] == []
