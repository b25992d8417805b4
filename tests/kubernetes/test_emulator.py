"""The emulator behaves as a real API server does where our code leans on it.

Each of these was seen on a Kubernetes 1.36 control plane.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.emulator.scheduler import GPU
from tests.kubernetes.test_operator import foreign_pod, quota, until

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def api(cluster: Cluster, tmp_path: Path) -> client.CoreV1Api:
    return client.CoreV1Api(
        config.new_client_from_config(str(cluster.write_config(tmp_path / "config")))
    )


def make(api: client.CoreV1Api, gpus: Any = 1, **more: Any) -> Any:
    pod = foreign_pod(gpus)
    pod["metadata"].update(more.pop("metadata", {}))
    pod["spec"].update(more)
    return api.create_namespaced_pod("default", pod)


def condition(pod: dict[str, Any], kind: str) -> dict[str, Any]:
    found = pod.get("status", {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind), {})


def test_a_pod_that_no_node_can_take_stays_unschedulable(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    name = make(api, 5).metadata.name
    until(lambda: condition(cluster.get("pods", name), "PodScheduled"))
    said = condition(cluster.get("pods", name), "PodScheduled")
    assert (said["status"], said["reason"]) == ("False", "Unschedulable")
    assert any(e["reason"] == "FailedScheduling" for e in cluster.all("events"))


def test_a_gated_pod_is_not_looked_at(cluster: Cluster, api: client.CoreV1Api) -> None:
    name = make(api, schedulingGates=[{"name": "mine"}]).metadata.name
    said = condition(cluster.get("pods", name), "PodScheduled")
    assert said["reason"] == "SchedulingGated"
    assert not [e for e in cluster.all("events") if e["reason"] == "FailedScheduling"]


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"schedulingGates": None, "nodeSelector": {"a": "b", "more": "1"}}, True),
        ({"schedulingGates": None, "nodeSelector": {"a": "c"}}, False),
        ({"schedulingGates": [{"name": "mine"}, {"name": "another"}]}, False),
        ({"affinity": "longer"}, True),
        ({"affinity": "shorter"}, False),
        ({"hostname": "h"}, False),
    ],
)
def test_a_gated_pod_may_only_be_told_more_narrowly_where_to_go(
    cluster: Cluster, api: client.CoreV1Api, change: dict[str, Any], allowed: bool
) -> None:
    def affinity(*values: str) -> dict[str, Any]:
        said = [{"key": v, "operator": "Exists"} for v in values]
        terms = {"nodeSelectorTerms": [{"matchExpressions": said}]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}

    asked = {"longer": affinity("x", "y"), "shorter": affinity("y")}
    change = {k: asked.get(v, v) if isinstance(v, str) else v for k, v in change.items()}
    gates = [{"name": "mine"}]
    pod = make(api, schedulingGates=gates, nodeSelector={"a": "b"}, affinity=affinity("x"))

    def patch() -> None:
        api.patch_namespaced_pod(
            pod.metadata.name, "default", {"spec": change},
            _content_type="application/merge-patch+json",
        )  # fmt: skip

    if allowed:
        patch()
        return
    with pytest.raises(ApiException) as caught:
        patch()
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "resources",
    [
        {"limits": {GPU: "0.5"}},
        {"requests": {GPU: "1"}},
        {"limits": {GPU: "1"}, "requests": {GPU: "2"}},
    ],
)
def test_wrong_gpu_requests_are_invalid(
    cluster: Cluster, api: client.CoreV1Api, resources: dict[str, Any]
) -> None:
    container = {"name": "c", "image": "i:1", "resources": resources}
    with pytest.raises(ApiException) as caught:
        api.create_namespaced_pod(
            "default", {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
        )
    assert caught.value.status == 422


def test_over_a_quota_is_forbidden(cluster: Cluster, api: client.CoreV1Api) -> None:
    cluster.create("resourcequotas", quota(2))
    make(api, 2)
    with pytest.raises(ApiException) as caught:
        make(api, 1)
    assert caught.value.status == 403
    assert "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: " in json.loads(
        caught.value.body
    )["message"]  # fmt: skip
    used = until(lambda: cluster.get("resourcequotas", "gpus").get("status", {}).get("used"))
    assert used == {f"requests.{GPU}": "2"}


def test_a_watch_from_a_forgotten_version_is_told_so(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    old = api.list_namespaced_pod("default").metadata.resource_version
    make(api)
    cluster.forget()
    with pytest.raises(ApiException) as caught:
        list(watch.Watch().stream(
            api.list_namespaced_pod, "default", resource_version=old, timeout_seconds=3
        ))  # fmt: skip
    assert caught.value.status == 410


def test_a_pod_that_was_never_bound_is_deleted_at_once_and_a_bound_one_is_not(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    never = make(api, 9).metadata.name
    bound = make(
        api, 1, metadata={"annotations": {"sim/run-seconds": "9", "sim/term-seconds": "1"}}
    )
    until(lambda: cluster.get("pods", bound.metadata.name)["status"]["phase"] == "Running")
    for name in (never, bound.metadata.name):
        api.delete_namespaced_pod(name, "default")
    (left,) = cluster.pods
    assert left["metadata"]["deletionTimestamp"]
    until(lambda: not cluster.pods)


def test_a_lost_node_says_so_and_its_pods_stay_listed(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    name = make(api).metadata.name
    node = until(lambda: cluster.get("pods", name)["spec"].get("nodeName"))
    cluster.lose_node(node, evict_after=0.1)
    assert condition(cluster.call(cluster.objects.lookup, "nodes", None, node), "Ready")[
        "status"
    ] == "Unknown"  # fmt: skip
    until(lambda: cluster.get("pods", name)["metadata"].get("deletionTimestamp"))
    said = condition(cluster.get("pods", name), "DisruptionTarget")
    assert said["reason"] == "DeletionByTaintManager"


def test_higher_priority_preempts_and_nobody_makes_the_victim_again(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    high = {"metadata": {"name": "high"}, "value": 100}
    cluster.call(cluster.objects.create, "priorityclasses", None, high)
    victims = {make(api, 4).metadata.name for _ in range(2)}
    until(lambda: all(p["spec"].get("nodeName") for p in cluster.pods))
    winner = make(api, 4, priorityClassName="high").metadata.name
    until(lambda: cluster.get("pods", winner)["spec"].get("nodeName"))
    left = {p["metadata"]["name"] for p in cluster.pods}
    assert len(left & victims) == 1


def test_a_job_has_as_many_pods_as_it_asks_for(cluster: Cluster, api: client.CoreV1Api) -> None:
    template = foreign_pod(1)
    template["metadata"]["annotations"]["sim/run-seconds"] = "0.2"
    job = {
        "metadata": {"name": "train"},
        "spec": {"parallelism": 2, "completions": 4, "template": template},
    }
    client.BatchV1Api(api.api_client).create_namespaced_job("default", job)
    done = until(lambda: condition(cluster.get("jobs", "train"), "Complete"))
    assert done["status"] == "True"
    assert cluster.get("jobs", "train")["status"]["succeeded"] == 4


def test_faults_are_as_planned_and_everything_is_recorded(
    cluster: Cluster, api: client.CoreV1Api
) -> None:
    cluster.fault(r"GET /api/v1/nodes$", 503)
    with pytest.raises(ApiException) as caught:
        api.list_node()
    assert caught.value.status == 503
    assert len(api.list_node().items) == 3
    used = [(r.use.verb, r.use.resource) for r in cluster.records]
    assert used == [("list", "nodes")] * 2
