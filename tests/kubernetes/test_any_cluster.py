"""What must hold on any cluster: the emulator always, and the one that ``KUBECONFIG`` names."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.any_cluster import GPUS, AnyCluster
from tests.kubernetes.tasks import context, operator, run
from tests.kubernetes.test_job import training
from tests.kubernetes.test_operator import Background, reasons, until

pytestmark = pytest.mark.kubernetes
LONG = 60.0  # seconds that a real cluster may take to pull an image


def on(cluster: AnyCluster, *, gpus: int = 1, **says: Any) -> dict[str, Any]:
    """Return the arguments of a task on ``cluster``."""
    where = {"namespace": cluster.namespace, "gpu_resource": cluster.resource, "gpus": gpus}
    return {**where, **cluster.says(**says)}


def test_a_pod_runs_on_its_lease(kubernetes_cluster: AnyCluster, pool: GpuPool) -> None:
    task = Background(**on(kubernetes_cluster, gpus=2, seconds=2))
    pod = until(
        lambda: next((p for p in kubernetes_cluster.pods if p["spec"].get("nodeName")), None),
        within=LONG,
    )
    (record,) = pool.gpu.leases()
    assert pod["metadata"]["annotations"][LEASE_ANNOTATION] == record.mark
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["limits"][kubernetes_cluster.resource] == "2"
    assert resources["requests"][kubernetes_cluster.resource] == "2"
    assert task.end(LONG) is None
    until(lambda: not kubernetes_cluster.pods, within=LONG)
    assert pool.gpu.leases() == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failure_is_explained(
    kubernetes_cluster: AnyCluster, pool: GpuPool, deferrable: bool
) -> None:
    given = on(kubernetes_cluster, code=3, lines=("epoch 1", "loss is nan"))
    with pytest.raises(AirflowException, match=r"exit code 3.*(\n.*)*loss is nan"):
        run(deferrable=deferrable, within=LONG, **given)


def test_more_than_a_node_has_is_refused(kubernetes_cluster: AnyCluster, pool: GpuPool) -> None:
    with pytest.raises(AirflowFailException, match=f"no host has more than {GPUS}"):
        run(**on(kubernetes_cluster, gpus=GPUS + 1))
    assert kubernetes_cluster.pods == []


def test_who_waits_has_no_pod(kubernetes_cluster: AnyCluster, pool: GpuPool) -> None:
    tasks = [
        Background(deferrable=bool(n % 2), **on(kubernetes_cluster, gpus=GPUS, seconds=2))
        for n in range(3)
    ]
    until(lambda: pool.status()["queue"], within=LONG)
    assert len(kubernetes_cluster.pods) <= 2
    assert [task.end(LONG * 2) for task in tasks] == [None] * 3


def test_a_kill_deletes_the_pod(kubernetes_cluster: AnyCluster, pool: GpuPool) -> None:
    at = context()
    task = operator(**on(kubernetes_cluster, seconds=60), termination_grace_period=1)
    task._admit(at)
    task.pod = task.get_or_create_pod(task.pod_request_obj, at)
    until(lambda: kubernetes_cluster.pods[0]["status"]["phase"] == "Running", within=LONG)
    task.on_kill()
    until(lambda: not kubernetes_cluster.pods, within=LONG)
    task._cluster.look()
    assert pool.gpu.leases() == []


def test_a_pod_that_somebody_deletes_comes_again(
    kubernetes_cluster: AnyCluster, pool: GpuPool
) -> None:
    task = Background(**on(kubernetes_cluster, seconds=2))
    pod = until(lambda: running(kubernetes_cluster), within=LONG)
    kubernetes_cluster.delete(pod["metadata"]["name"])
    again = until(
        lambda: next(
            (p for p in kubernetes_cluster.pods if p["metadata"]["uid"] != pod["metadata"]["uid"]),
            None,
        ),
        within=LONG,
    )
    assert again["metadata"]["name"] != pod["metadata"]["name"]
    assert task.end(LONG) is None


def test_want_of_quota_waits(kubernetes_cluster: AnyCluster, pool: GpuPool) -> None:
    kubernetes_cluster.limit(1)
    tasks = [Background(**on(kubernetes_cluster, seconds=3)) for _ in range(2)]
    until(lambda: reasons(pool, "namespace_quota"), within=LONG)
    assert len(kubernetes_cluster.pods) == 1
    assert [task.end(LONG * 2) for task in tasks] == [None] * 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_of_two_pods_runs_on_its_leases(
    kubernetes_cluster: AnyCluster, pool: GpuPool, deferrable: bool
) -> None:
    given = on(kubernetes_cluster, seconds=2)
    task = Background(make=training, deferrable=deferrable, **given)
    until(lambda: len([p for p in kubernetes_cluster.pods if p["spec"].get("nodeName")]) == 2,
          within=LONG)  # fmt: skip
    assert len(pool.gpu.leases()) == 2
    assert task.end(LONG) is None
    until(lambda: not kubernetes_cluster.pods, within=LONG)


def test_a_job_in_a_queue_of_kueue_is_admitted_as_a_whole(
    kubernetes_cluster: AnyCluster, pool: GpuPool
) -> None:
    queue = kubernetes_cluster.queue(2)
    given = on(kubernetes_cluster, seconds=3)
    tasks = [Background(make=training, kueue_queue=queue, **given) for _ in range(2)]
    until(lambda: kubernetes_cluster.pods, within=LONG)
    assert len(kubernetes_cluster.pods) <= 2
    assert [task.end(LONG * 2) for task in tasks] == [None] * 2
    assert pool.gpu.leases() == []


def running(cluster: AnyCluster) -> dict[str, Any] | None:
    return next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None)
