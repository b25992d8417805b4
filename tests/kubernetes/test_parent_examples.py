"""The examples that the parent's documentation gives, with our class in the place of its own.

Each is run, and its pod holds everything of the pod that the parent makes of the same arguments.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes import client as k8s

from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import after_its_pods, context, run

pytestmark = pytest.mark.kubernetes


def resources() -> dict[str, Any]:
    """Volumes, ports, secrets, init containers, affinity, tolerations, a priority class."""
    claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name="data")
    ssd = k8s.V1NodeSelectorRequirement(key="disktype", operator="In", values=["ssd"])
    prefers = k8s.V1PreferredSchedulingTerm(
        weight=1, preference=k8s.V1NodeSelectorTerm(match_expressions=[ssd])
    )
    near = k8s.V1WeightedPodAffinityTerm(
        weight=1,
        pod_affinity_term=k8s.V1PodAffinityTerm(
            label_selector=k8s.V1LabelSelector(match_labels={"security": "S1"}),
            topology_key="topology.kubernetes.io/zone",
        ),
    )
    preferred = "preferred_during_scheduling_ignored_during_execution"
    return {
        "image": "ubuntu:24.04",
        "cmds": ["bash", "-cx"],
        "arguments": ["echo", "10"],
        "labels": {"foo": "bar"},
        "secrets": [
            Secret("volume", "/etc/sql_conn", "airflow-secrets", "connection"),
            Secret("env", "SQL_CONN", "airflow-secrets", "connection"),
            Secret("env", None, "more-secrets"),
        ],
        "ports": [k8s.V1ContainerPort(name="http", container_port=80)],
        "volumes": [k8s.V1Volume(name="data", persistent_volume_claim=claim)],
        "volume_mounts": [k8s.V1VolumeMount(name="data", mount_path="/data", read_only=True)],
        "env_from": [
            k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name=name))
            for name in ("settings-1", "settings-2")
        ],
        "affinity": k8s.V1Affinity(
            node_affinity=k8s.V1NodeAffinity(**{preferred: [prefers]}),
            pod_affinity=k8s.V1PodAffinity(**{preferred: [near]}),
        ),
        "hostnetwork": False,
        "tolerations": [k8s.V1Toleration(key="key", operator="Equal", value="value")],
        "init_containers": [
            k8s.V1Container(
                name="init",
                image="ubuntu:24.04",
                env=[k8s.V1EnvVar(name="key", value="value")],
                volume_mounts=[k8s.V1VolumeMount(name="data", mount_path="/etc/foo")],
                command=["bash", "-cx"],
                args=["echo 10"],
            )
        ],
        "priority_class_name": "medium",
        "on_finish_action": "delete_pod",
    }


def private_image() -> dict[str, Any]:
    """An image of a registry that wants a login."""
    return {
        "image": "registry.example/bash",
        "image_pull_secrets": [k8s.V1LocalObjectReference("login")],
        "cmds": ["bash", "-cx"],
        "arguments": ["echo", "10", "echo pwd"],
        "labels": {"foo": "bar"},
        "on_finish_action": "delete_pod",
        "get_logs": True,
    }


def xcom() -> dict[str, Any]:
    """A result that the pod writes to a file."""
    return {
        "image": "alpine:3.22",
        "cmds": ["sh", "-c", "echo '[1,2,3,4]' > /airflow/xcom/return.json"],
        "do_xcom_push": True,
        "on_finish_action": "delete_pod",
        "annotations": {"sim/xcom": "[1, 2, 3, 4]"},
        "get_logs": True,
    }


def security() -> dict[str, Any]:
    """Who runs it, where, and what it may use."""
    return {
        "image": "trainer:1",
        "service_account_name": "trainer",
        "security_context": {"runAsUser": 1000, "fsGroup": 1000},
        "container_security_context": {"allowPrivilegeEscalation": False},
        "node_selector": {"kubernetes.io/os": "linux"},
        "termination_grace_period": 5,
        "image_pull_policy": "Always",
        "env_vars": {"EPOCHS": "3"},
        "container_resources": k8s.V1ResourceRequirements(
            limits={"cpu": "1", "memory": "1Gi"}, requests={"cpu": "500m", "memory": "64Mi"}
        ),
    }


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("example", [resources, private_image, xcom, security])
def test_an_example_runs_and_its_pod_lacks_nothing_of_the_parents(
    cluster: Cluster, pool: GpuPool, example: Any, deferrable: bool
) -> None:
    medium = {"metadata": {"name": "medium"}, "value": 10}
    cluster.create("priorityclasses", medium)
    for name in ("gpu-0", "gpu-1"):
        cluster.change_node(name, on_linux)
    result = run(deferrable=deferrable, **example())
    assert result == ([1, 2, 3, 4] if example is xcom else None)
    made = next(pod for what, pod in cluster.objects.story["pods"] if what == "ADDED")
    parent = KubernetesPodOperator(task_id="t", name="train", **example())
    theirs = parent.build_pod_request_obj(context())
    wanted = named(k8s.ApiClient().sanitize_for_serialization(theirs))
    made = named(made)
    for random in ("name", "labels"):
        wanted["metadata"].pop(random)
    assert lacking(made["metadata"], wanted["metadata"]) == []
    assert lacking(made["spec"], wanted["spec"]) == []
    assert after_its_pods(cluster, pool) == []


def named(pod: dict[str, Any]) -> dict[str, Any]:
    """Give the volumes of secrets a name that is the same each time."""
    text = re.sub(r"secretvol[0-9a-f-]+", "secretvol", json.dumps(pod))
    document: dict[str, Any] = json.loads(text)
    return document


def on_linux(node: dict[str, Any]) -> None:
    node["metadata"]["labels"]["kubernetes.io/os"] = "linux"


def lacking(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Return where ``ours`` has not what ``theirs`` has; it may have more."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [at]
        return [p for k, v in theirs.items() for p in lacking(ours.get(k), v, f"{at}.{k}")]
    if isinstance(theirs, list):
        return [
            f"{at}[{number}]"
            for number, item in enumerate(theirs)
            if not any(not lacking(other, item) for other in ours or ())
        ]
    return [] if ours == theirs else [f"{at}: {ours!r} is not {theirs!r}"]
