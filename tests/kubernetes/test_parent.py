"""What ``KubernetesPodOperator`` documents holds for ours: its users change only the class."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes import client as k8s

from airflow_ai_provider.operators.gpu_kubernetes import GpuKubernetesPodOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import after_its_pods, context, operator, run
from tests.kubernetes.test_operator import both_ways, until

pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"


def built(**given: Any) -> Any:
    task = operator(**given)
    return task.build_pod_request_obj(context())


def test_every_argument_and_template_of_the_parent_is_there() -> None:
    assert set(KubernetesPodOperator.template_fields) <= set(
        GpuKubernetesPodOperator.template_fields
    )
    task = operator(
        arguments=["a"], cmds=["c"], labels={"x": "y"}, ports=[k8s.V1ContainerPort(8080)],
        env_vars={"A": "{{ ds }}"}, hostnetwork=True, schedulername="mine", dnspolicy="Default",
    )  # fmt: skip
    assert (task.cmds, task.schedulername, task.hostnetwork) == (["c"], "mine", True)


@both_ways
def test_xcom(cluster: Cluster, pool: GpuPool, deferrable: bool) -> None:
    says = {"sim/xcom": '{"loss": 0.25}', "sim/run-seconds": "0.3"}
    given: dict[str, Any] = {"annotations": says, "do_xcom_push": True}
    assert run(deferrable=deferrable, **given) == {"loss": 0.25}
    assert after_its_pods(cluster, pool) == []


def test_a_pod_template_file(cluster: Cluster, pool: GpuPool, tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: from-file, labels: {team: vision}}\n"
        "spec:\n  containers:\n  - {name: base, image: 'file:1', env: [{name: A, value: b}]}\n"
    )
    pod = built(pod_template_file=str(path), image=None, name=None, gpus=2)
    (container,) = pod.spec.containers
    assert (container.image, container.env[0].value) == ("file:1", "b")
    assert pod.metadata.labels["team"] == "vision"
    assert container.resources.limits == container.resources.requests == {GPU: "2"}


def test_a_full_pod_spec_says_how_many_devices(cluster: Cluster, pool: GpuPool) -> None:
    limits = k8s.V1ResourceRequirements(limits={GPU: "3", "cpu": "2"})
    container = k8s.V1Container(name="base", image="spec:1", resources=limits)
    spec = k8s.V1PodSpec(containers=[container], runtime_class_name="nvidia")
    whole = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="whole"), spec=spec)
    pod = built(full_pod_spec=whole, image=None, name=None)
    resources = pod.spec.containers[0].resources
    assert (resources.limits[GPU], resources.requests[GPU]) == ("3", "3")
    assert pod.spec.runtime_class_name == "nvidia"
    assert container.resources.requests is None  # what the user gave is not changed
    assert run(full_pod_spec=whole, image=None, name=None) is None


def test_affinity_and_tolerations_are_kept_and_added_to(cluster: Cluster, pool: GpuPool) -> None:
    zones = [
        k8s.V1NodeSelectorTerm(
            match_expressions=[
                k8s.V1NodeSelectorRequirement(key="zone", operator="In", values=[zone])
            ]
        )
        for zone in ("a", "b")
    ]
    affinity = k8s.V1Affinity(
        node_affinity=k8s.V1NodeAffinity(
            required_during_scheduling_ignored_during_execution=k8s.V1NodeSelector(
                node_selector_terms=zones
            )
        )
    )
    mine = k8s.V1Toleration(key="team", operator="Equal", value="vision")
    pod = built(
        affinity=affinity, tolerations=[mine], gpu_model="NVIDIA-A100", min_gpu_memory="40GiB"
    )
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    for term, zone in zip(required.node_selector_terms, ("a", "b"), strict=True):
        said = [(e.key, e.operator, e.values) for e in term.match_expressions]
        assert said == [
            ("zone", "In", [zone]),
            ("nvidia.com/gpu.product", "In", ["NVIDIA-A100"]),
            ("nvidia.com/gpu.memory", "Gt", ["40959"]),
        ]
    assert {t.key for t in pod.spec.tolerations} == {"team", GPU}
    assert len(affinity.node_affinity.required_during_scheduling_ignored_during_execution
               .node_selector_terms[0].match_expressions) == 1  # fmt: skip


def test_shared_memory_secrets_and_volumes(cluster: Cluster, pool: GpuPool) -> None:
    volume = k8s.V1Volume(name="data", empty_dir=k8s.V1EmptyDirVolumeSource())
    mount = k8s.V1VolumeMount(name="data", mount_path="/data")
    pod = built(
        shared_memory="8Gi", volumes=[volume], volume_mounts=[mount],
        secrets=[Secret("env", "TOKEN", "mlflow", "token")],
    )  # fmt: skip
    container = pod.spec.containers[0]
    assert {m.mount_path for m in container.volume_mounts} == {"/data", "/dev/shm"}
    shared = next(v for v in pod.spec.volumes if v.name != "data")
    assert (shared.empty_dir.medium, shared.empty_dir.size_limit) == ("Memory", "8Gi")
    assert container.env[0].name == "TOKEN"


class Heard(KubernetesPodOperatorCallback):
    """Writes down which of its methods were called."""

    said: ClassVar[list[str]] = []


for _name in (
    "on_sync_client_creation", "on_pod_manifest_created", "on_pod_creation", "on_pod_starting",
    "on_pod_completion", "on_pod_teardown", "on_pod_cleanup",
):  # fmt: skip
    setattr(Heard, _name, staticmethod(lambda _said=_name, **_: Heard.said.append(_said)))


def test_callbacks(cluster: Cluster, pool: GpuPool) -> None:
    Heard.said.clear()
    run(callbacks=Heard)
    assert Heard.said == [
        "on_sync_client_creation", "on_pod_manifest_created", "on_pod_creation",
        "on_pod_starting", "on_pod_completion", "on_pod_teardown", "on_pod_cleanup",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "code", "left"),
    [
        ("keep_pod", "0", 1),
        ("delete_succeeded_pod", "0", 0),
        ("delete_succeeded_pod", "1", 1),
        ("delete_pod", "1", 0),
    ],
)
def test_on_finish_action(
    cluster: Cluster, pool: GpuPool, action: str, code: str, left: int
) -> None:
    given: dict[str, Any] = {"on_finish_action": action, "annotations": {"sim/exit-code": code}}
    if code == "0":
        run(**given)
    else:
        with pytest.raises(Exception, match="exit code 1"):
            run(**given)
    assert len(cluster.pods) == left
    assert pool.gpu.leases() == []


def test_on_kill_action_keep(cluster: Cluster, pool: GpuPool) -> None:
    at = context()
    task = operator(on_kill_action="keep_pod", annotations={"sim/run-seconds": "60"})
    task._admit(at)
    task.pod = task.get_or_create_pod(task.pod_request_obj, at)
    task.on_kill()
    assert len(cluster.pods) == 1
    assert len(pool.gpu.leases()) == 1  # as long as the pod runs


def test_the_pod_is_found_by_the_identity_that_the_task_keeps(
    cluster: Cluster, pool: GpuPool
) -> None:
    kept: dict[str, Any] = {}
    state = SimpleNamespace(get=kept.get, set=kept.__setitem__)
    at = {**context(), "task_state_store": state}
    task = operator(annotations={"sim/run-seconds": "1"})
    task._admit(at)
    made = task.get_or_create_pod(task.pod_request_obj, at)
    assert kept["pod_identifier"]["name"] == made.metadata.name
    again = {**context(try_number=2), "task_state_store": state}
    assert run(again, annotations={"sim/run-seconds": "1"}) is None
    creates = [r for r in cluster.records if (r.use.resource, r.use.verb) == ("pods", "create")]
    assert len(creates) == 1


def test_without_reattachment_each_try_makes_its_own_pod(cluster: Cluster, pool: GpuPool) -> None:
    first = context()
    task = operator(durable=False, annotations={"sim/run-seconds": "30"})
    task._admit(first)
    task.get_or_create_pod(task.pod_request_obj, first)
    assert run(context(try_number=2), durable=False, gpus=1) is None
    names = {r.use for r in cluster.records if r.use.verb == "create"}
    assert names
    task._cluster.look()
    assert until(lambda: not cluster.pods or task._cluster.look())  # the older try's is reaped
    assert until(lambda: task._cluster.look() or pool.gpu.leases() == [])


def test_a_dry_run_needs_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    operator(gpus=2, namespace="here").dry_run()
    assert "nvidia.com/gpu: '2'" in capsys.readouterr().out
