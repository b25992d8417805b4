"""Distributed training: a Job of several pods, with devices for all of them or for none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.errors import GpuWaitTimeoutError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.operators.gpu_job import GpuKubernetesJobOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import execute
from tests.kubernetes.emulator.access import uses_in
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import TRAINER, context, operator, run
from tests.kubernetes.test_kueue_and_rights import rules
from tests.kubernetes.test_operator import Background, both_ways, foreign_pod, until

pytestmark = pytest.mark.kubernetes
ROOT = Path(__file__).parents[2]


def training(**given: Any) -> GpuKubernetesJobOperator:
    """Return a task that runs a Job of two pods for 0.5 s."""
    arguments: dict[str, Any] = {
        **TRAINER,
        "gpus": 3,
        "job_poll_interval": 0.2,
        "annotations": {"sim/run-seconds": "0.5"},
        **given,
    }
    return GpuKubernetesJobOperator(**arguments)


def names(cluster: Cluster) -> list[str | None]:
    return [pod["spec"].get("nodeName") for pod in cluster.pods]


@both_ways
def test_its_pods_run_on_the_nodes_of_their_leases(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    long = {"sim/run-seconds": "2"}
    task = Background(make=training, deferrable=deferrable, annotations=long)
    until(lambda: names(cluster) and all(names(cluster)))
    leases = {record.mark: record for record in pool.gpu.leases()}
    pods = sorted(cluster.pods, key=lambda p: p["metadata"]["generateName"])
    assert len(leases) == len(pods) == 2
    for pod in pods:
        record = leases[pod["metadata"]["annotations"][LEASE_ANNOTATION]]
        assert record.host.endswith("/" + pod["spec"]["nodeName"])
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "3"}
        assert not pod["spec"].get("schedulingGates")
    assert sorted(filter(None, names(cluster))) == ["gpu-0", "gpu-1"]
    (job,) = cluster.all("jobs")
    told = {v["name"]: v.get("value") for v in pods[1]["spec"]["containers"][0]["env"]}
    assert told["MASTER_ADDR"] == f"{job['metadata']['name']}-0.airflow-ai-training"
    assert (told["NNODES"], told["GPUS_PER_NODE"], told["MASTER_PORT"]) == ("2", "3", "29500")
    assert (pods[0]["spec"]["hostname"], pods[0]["spec"]["subdomain"]) == (
        f"{job['metadata']['name']}-0",
        "airflow-ai-training",
    )
    assert task.end() is None
    until(lambda: pool.gpu.leases() == [] and cluster.pods == [])


@both_ways
def test_it_waits_for_all_of_them_and_holds_nothing_meanwhile(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    other = cluster.create("pods", foreign_pod(2))
    until(lambda: any(names(cluster)))
    task = Background(make=training, deferrable=deferrable)
    until(lambda: [q["reason"] for q in pool.status()["queue"]] == ["gang_incomplete"] * 2)
    assert pool.gpu.leases() == []
    assert cluster.all("jobs") == []
    run(context(run_id="another"), make=operator, gpus=4)  # which half of it would have needed
    assert task.is_alive
    cluster.delete("pods", other["metadata"]["name"], gracePeriodSeconds=0)
    assert task.end() is None
    until(lambda: pool.gpu.leases() == [])


@both_ways
def test_one_pod_that_fails_ends_it_with_what_it_said(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    def behave(pod: dict[str, Any]) -> dict[str, Any]:
        if "hostname" not in pod["spec"]:  # of no Job
            return {}
        if pod["spec"]["hostname"].endswith("-1"):
            return {"exit-code": 3, "logs": "rank 1: loss is nan"}
        return {"run-seconds": 60}

    cluster.kubelet.behave = behave
    with pytest.raises(AirflowException, match=r"exit code 3(.*\n)*rank 1: loss is nan"):
        run(make=training, deferrable=deferrable, annotations={})
    until(lambda: cluster.pods == [])
    run(context(2), make=operator, gpus=1)  # who looks at the cluster next sees that they are gone
    until(lambda: pool.gpu.leases() == [])


def test_what_can_never_be_had_together_is_refused(cluster: Cluster, pool: GpuPool) -> None:
    with pytest.raises(AirflowFailException, match="3 times 3 devices"):
        run(make=training, workers=3)
    with pytest.raises(AirflowFailException, match="whole number"):
        run(context(2), make=training, workers="two")
    assert cluster.all("jobs") == []
    assert pool.status()["queue"] == []


@both_ways
def test_a_wait_that_is_too_long_leaves_nothing(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.create("pods", foreign_pod(2))
    until(lambda: any(names(cluster)))
    with pytest.raises(GpuWaitTimeoutError, match="2 times together"):
        run(make=training, max_wait=1, deferrable=deferrable)
    assert pool.status()["queue"] == []


def test_a_kill_takes_the_job_and_its_pods_and_a_new_try_what_was_left(
    cluster: Cluster, pool: GpuPool
) -> None:
    killed = training(annotations={"sim/run-seconds": "60"})
    long = {"sim/run-seconds": "60"}
    Background(context(1), make=lambda **_: killed, annotations=long)
    until(lambda: names(cluster) and all(names(cluster)))
    killed.on_kill()  # in Airflow its process ends soon after
    until(lambda: cluster.pods == [] and cluster.all("jobs") == [])
    Background(context(2), make=training, annotations=long)  # nobody ends it
    until(lambda: names(cluster) and all(names(cluster)))
    (left,) = cluster.all("jobs")
    assert run(context(3), make=training) is None
    assert left["metadata"]["name"] not in {j["metadata"]["name"] for j in cluster.all("jobs")}
    until(lambda: pool.gpu.leases() == [])


def test_results_come_back_one_for_each_pod(cluster: Cluster, pool: GpuPool) -> None:
    said = {"sim/run-seconds": "0.5", "sim/xcom": '{"loss": 0.5}'}
    found = run(make=training, do_xcom_push=True, annotations=said)
    assert found == [{"loss": 0.5}, {"loss": 0.5}]


@pytest.mark.slow
def test_the_manifests_grant_exactly_what_is_used(cluster: Cluster, pool: GpuPool) -> None:
    document = (ROOT / "docker" / "kubernetes" / "distributed.yaml").read_text()
    jobs = uses_in(d for d in yaml.safe_load_all(document) if d["kind"] == "Role")
    cluster.server.access.rules = rules() | jobs
    assert run(make=training) is None
    assert run(context(2), make=training, deferrable=True) is None
    task = training(annotations={"sim/run-seconds": "60"})
    at = context(3)
    killed = Background(at, make=lambda **_: task)
    until(lambda: names(cluster) and all(names(cluster)))
    execute(task, "on_kill")
    assert "was deleted" in str(killed.end())
    assert {use for use in cluster.uses if use.resource.startswith("jobs")} == set(jobs)


def test_the_service_selects_its_pods_by_their_label() -> None:
    document = (ROOT / "docker" / "kubernetes" / "distributed.yaml").read_text()
    service = next(d for d in yaml.safe_load_all(document) if d["kind"] == "Service")
    assert service["metadata"]["name"] == training().subdomain
    assert service["spec"]["selector"] == {"airflow-ai/distributed": "true"}


def test_the_worked_example_is_a_dag_whose_pods_are_told_of_each_other(
    cluster: Cluster, pool: GpuPool
) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    path = ROOT / "docker" / "kubernetes" / "distributed_training.py"
    exec(compile(path.read_text(), str(path), "exec"), names)
    example = names["distributed_training"]()
    train = example.task_dict["train"]
    assert train.upstream_task_ids == {"search.best"}
    job = train.build_job_request_obj(context())
    assert (job.spec.completions, job.spec.backoff_limit) == (2, 0)
    (base,) = job.spec.template.spec.containers
    told = {variable.name for variable in base.env}
    used = set(re.findall(r"\$(\w+)", base.args[0]))
    assert used <= told
    assert base.resources.limits == base.resources.requests == {"nvidia.com/gpu": "4"}
