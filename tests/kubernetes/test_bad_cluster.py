"""What a cluster withholds is said at once: rights, namespaces, pods that contradict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException
from kubernetes import client as k8s

from airflow_ai_provider.core.errors import ClusterGoneError
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.access import Use, uses_in
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.values import ApiError
from tests.kubernetes.tasks import after_its_pods, run
from tests.kubernetes.test_operator import Background, both_ways, until

pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"
MANIFEST = Path(__file__).parents[2] / "docker" / "kubernetes" / "rbac.yaml"


@both_ways
@pytest.mark.parametrize(
    ("verb", "resource"),
    [("list", "pods"), ("get", "pods"), ("create", "pods/exec"), ("get", "pods/exec")],
)
def test_a_right_that_lacks_half_way_is_named_with_its_line(
    cluster: Cluster, pool: GpuPool, verb: str, resource: str, deferrable: bool
) -> None:
    assert Use("", resource, verb) in uses_in(yaml.safe_load_all(MANIFEST.read_text()))
    cluster.server.access.denied.add(Use("", resource, verb))
    says = {"sim/xcom": "1", "sim/run-seconds": "0.3"}
    with pytest.raises(AirflowFailException) as caught:
        run(annotations=says, do_xcom_push=True, deferrable=deferrable)
    said = str(caught.value)
    assert f"may not {verb} {resource}" in said
    assert f'rbac.yaml the Role has the rule with resources: ["{resource}"]' in said
    cluster.server.access.denied.clear()
    if (verb, resource) != ("get", "pods"):  # without which nobody knows that it is gone
        assert after_its_pods(cluster, pool) == []


def test_a_log_that_may_not_be_read_is_named_and_its_pod_goes(
    cluster: Cluster, pool: GpuPool
) -> None:
    cluster.server.access.denied.add(Use("", "pods/log", "get"))
    with pytest.raises(AirflowFailException, match="may not get pods/log"):
        run(annotations={"sim/run-seconds": "60"}, termination_grace_period=1)
    assert after_its_pods(cluster, pool) == []


@both_ways
def test_a_namespace_that_is_deleted_under_a_pod_is_named(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.create("namespaces", {"metadata": {"name": "team"}})
    long = {"sim/run-seconds": "60"}
    task = Background(namespace="team", deferrable=deferrable, annotations=long)
    until(lambda: any(p["status"]["phase"] == "Running" for p in cluster.pods))
    cluster.call(cluster.objects.delete_namespace, "team")
    error = task.end()
    assert isinstance(error, ClusterGoneError)
    assert 'namespaces "team" not found' in str(error)
    assert after_its_pods(cluster, pool) == []
    assert pool.status()["queue"] == []


def test_a_namespace_that_is_being_deleted_is_named(cluster: Cluster, pool: GpuPool) -> None:
    said = (
        'pods "train" is forbidden: unable to create new content in namespace default because it '
        "is being terminated"
    )

    def refuse(*_: Any) -> None:
        raise ApiError(403, "Forbidden", said)

    cluster.objects.admits.append(refuse)
    with pytest.raises(ClusterGoneError, match="The namespace is being deleted"):
        run()
    assert after_its_pods(cluster, pool) == []


def whole(limits: dict[str, str], requests: dict[str, str]) -> k8s.V1Pod:
    resources = k8s.V1ResourceRequirements(limits=limits, requests=requests)
    container = k8s.V1Container(name="base", image="spec:1", resources=resources)
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="whole"), spec=k8s.V1PodSpec(containers=[container])
    )


@pytest.mark.parametrize(
    ("limits", "requests", "gpus", "said"),
    [
        ({GPU: "2"}, {GPU: "1"}, None, "limits=2 and requests=1"),
        ({GPU: "2"}, {}, 1, "limits=2 and gpus=1"),
        ({}, {GPU: "2"}, 4, "requests=2 and gpus=4"),
        ({GPU: "0.5"}, {GPU: "0.5"}, None, "no whole number"),
    ],
)
def test_a_full_pod_spec_that_contradicts_itself_is_refused_at_once(
    cluster: Cluster, pool: GpuPool, limits: Any, requests: Any, gpus: int | None, said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        run(full_pod_spec=whole(limits, requests), image=None, name=None, gpus=gpus)
    assert cluster.pods == []
    assert pool.status()["queue"] == []
