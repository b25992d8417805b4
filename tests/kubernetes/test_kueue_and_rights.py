"""Kueue decides; and the rights that the manifest grants are those that are used."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.errors import ClusterUnavailableError
from airflow_ai_provider.services.gpu import GpuPool
from tests.kubernetes.emulator.access import Use, uses_in
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import context, run
from tests.kubernetes.test_operator import Background, both_ways, quota, until

pytestmark = pytest.mark.kubernetes
MANIFEST = Path(__file__).parents[2] / "docker" / "kubernetes" / "rbac.yaml"


def rules() -> frozenset[Use]:
    return uses_in(yaml.safe_load_all(MANIFEST.read_text()))


@both_ways
def test_a_gated_pod_waits_as_long_as_kueue_says(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 1)
    limits: dict[str, Any] = {"startup_timeout_seconds": 2, "schedule_timeout_seconds": 1}
    first = Background(kueue_queue="pilot", annotations={"sim/run-seconds": "3"}, **limits)
    until(lambda: any(p["spec"].get("nodeName") for p in cluster.pods))
    second = Background(kueue_queue="pilot", deferrable=deferrable, **limits)
    assert (first.end(), second.end()) == (None, None)
    assert pool.gpu.leases() == []
    assert pool.status()["queue"] == []  # our own gate was not asked


@both_ways
def test_preemption_by_kueue_is_no_failure_and_makes_no_second_pod(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(
        kueue_queue="pilot", deferrable=deferrable, annotations={"sim/run-seconds": "2"}
    )
    pod = until(lambda: next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None))
    cluster.call(cluster.kueue.preempt, "default", pod["metadata"]["name"])
    assert task.end() is None
    made = [r for r in cluster.records if (r.use.resource, r.use.verb) == ("pods", "create")]
    assert len(made) == 2


def test_too_many_preemptions_fail_and_say_so(cluster: Cluster, pool: GpuPool) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(kueue_queue="pilot", max_preemptions=0, annotations={"sim/run-seconds": "9"})
    pod = until(lambda: next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None))
    cluster.call(cluster.kueue.preempt, "default", pod["metadata"]["name"])
    assert isinstance(error := task.end(), AirflowException)
    assert "taken off its node" in str(error) or "deleted" in str(error)


@both_ways
def test_a_preemption_after_a_fair_run_is_not_counted(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(
        kueue_queue="pilot",
        max_preemptions=0,
        min_run_time=0.5,
        deferrable=deferrable,
        annotations={"sim/run-seconds": "4"},
    )
    pod = until(lambda: next((p for p in cluster.pods if p["status"]["phase"] == "Running"), None))
    time.sleep(2)
    cluster.call(cluster.kueue.preempt, "default", pod["metadata"]["name"])
    assert task.end() is None


@both_ways
def test_a_queue_that_is_not_there_is_a_named_reason(
    cluster: Cluster,
    pool: GpuPool,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    deferrable: bool,
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(kueue_queue="pilto", deferrable=deferrable)
    said = "Kueue's queue pilto: LocalQueue pilto doesn't exist"
    caplog.set_level(logging.INFO)  # it is heard on one of the two, as Airflow's logging is set up
    heard: list[str] = []

    def is_said() -> bool:
        heard.append("".join(capfd.readouterr()))
        return said in "".join(heard) or said in caplog.text

    until(is_said, within=15)
    cluster.call(cluster.kueue.queues.__setitem__, ("default", "pilto"), 1.0)
    assert task.end() is None


@pytest.mark.slow
def test_the_manifest_grants_exactly_what_is_used(cluster: Cluster, pool: GpuPool) -> None:
    cluster.server.access.rules = rules()
    cluster.create("resourcequotas", quota(2))
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    first = Background(gpus=2, annotations={"sim/run-seconds": "2"}, log_events_on_failure=True)
    until(lambda: cluster.pods)
    waits = Background(gpus=1)  # for the quota
    wrong = {"sim/exit-code": "1", "sim/start-seconds": "1"}
    assert first.end() is None
    assert waits.end() is None
    queued = Background(kueue_queue="pilot", gpus=1)
    assert queued.end() is None
    with pytest.raises(AirflowException, match="exit code 1"):
        run(annotations=wrong, log_events_on_failure=True, deferrable=True)
    result = {"sim/xcom": '{"loss": 0.1}', "sim/run-seconds": "0.3"}
    assert run(annotations=result, do_xcom_push=True) == {"loss": 0.1}
    blocker = Background(gpus=2, annotations={"sim/run-seconds": "2"})
    until(lambda: any(p["spec"].get("nodeName") for p in cluster.pods))
    cluster.delete("resourcequotas", "gpus")
    others = [Background(gpus=4, annotations={"sim/run-seconds": "1"}) for _ in range(2)]
    assert [blocker.end(), *(o.end() for o in others)] == [None] * 3
    assert cluster.uses == rules()


@pytest.mark.parametrize(
    ("verb", "resource", "role"),
    [("list", "nodes", "ClusterRole"), ("create", "pods", "Role"), ("get", "namespaces", "")],
)
def test_a_missing_right_is_named_with_the_line_that_grants_it(
    cluster: Cluster, pool: GpuPool, verb: str, resource: str, role: str
) -> None:
    cluster.server.access.denied.add(Use("", resource, verb))
    with pytest.raises(AirflowFailException) as caught:
        run()
    said = str(caught.value)
    assert f"may not {verb} {resource}" in said
    assert "docker/kubernetes/rbac.yaml" in said
    assert role in said
    granted = any(use == Use("", resource, verb) for use in rules())
    assert granted, "the manifest has no such line"
    assert pool.gpu.leases() == []


def test_an_api_server_that_is_not_there_is_named(pool: GpuPool, tmp_path: Path) -> None:
    with Cluster() as gone:
        path = gone.write_config(tmp_path / "config")
    with pytest.raises(ClusterUnavailableError, match="does not answer"):
        run(config_file=str(path), kubernetes_conn_id=None)


@pytest.mark.slow
def test_an_api_server_that_is_away_is_an_error_of_its_own(cluster: Cluster, pool: GpuPool) -> None:
    cluster.fault(r"GET /api/v1/nodes$", 503, times=99)
    begun = time.monotonic()
    with pytest.raises(Exception, match="API server does not do it now"):
        run(context())
    assert time.monotonic() - begun < 20
