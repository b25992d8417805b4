"""What nobody owns on a cluster is found and cleared up; what somebody may own is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_ai_provider import cli
from airflow_ai_provider.adapters.airflow_api import AirflowLogin, AirflowTasks
from airflow_ai_provider.core.errors import AirflowApiError, AirflowApiUnavailableError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION, OWNER_ANNOTATION
from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of, cluster_of
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.services.gpu_cluster import ClusterPool
from airflow_ai_provider.services.gpu_cluster_reap import ClusterReaped, reap_cluster
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import context, operator
from tests.kubernetes.test_inventory import ask, make_pod
from tests.kubernetes.test_operator import foreign_pod, until

pytestmark = pytest.mark.kubernetes
GPU = "nvidia.com/gpu"


class FakeOwners:
    """An Airflow that knows the states of tasks by their ids; an error is raised."""

    def __init__(self, **states: str | AirflowApiError) -> None:
        self.states = states

    def state(self, task: TaskIdentity) -> str | None:
        found = self.states.get(str(task.task_id))
        if isinstance(found, AirflowApiError):
            raise found
        return found


@pytest.fixture
def slots(cluster: Cluster, pool: GpuPool) -> ClusterPool:
    """The slots of the emulated cluster in the store that the connection names."""
    return cluster_of(pool, client_of(ClusterAccess(config_dict=cluster.config())), resource=GPU)


def owned(task_id: str) -> dict[str, Any]:
    return {"dag_id": "d", "run_id": "r", "task_id": task_id, "map_index": -1, "try_number": 1}


def pod_for(cluster: Cluster, slots: ClusterPool, task_id: str) -> tuple[LeaseRecord, str]:
    """Make the pod of a task, with a lease."""
    record = ask(slots, f"ti:{task_id}", ti_id=task_id, **owned(task_id))
    assert record is not None
    made = make_pod(cluster, slots, record)
    own(cluster, made["metadata"]["name"], task_id)
    return record, made["metadata"]["name"]


def own(cluster: Cluster, name: str, task_id: str) -> None:
    def go() -> None:
        pod = cluster.objects.lookup("pods", "default", name)
        document = asdict(TaskIdentity(ti_id=task_id, **owned(task_id)))
        pod["metadata"]["annotations"][OWNER_ANNOTATION] = json.dumps(document)
        cluster.objects.changed("MODIFIED", "pods", pod)

    cluster.call(go)


def reaped(slots: ClusterPool, **states: Any) -> ClusterReaped:
    return reap_cluster(slots, FakeOwners(**states), timeout=10)


def test_a_pod_of_a_task_that_has_ended_goes_and_its_devices_are_free(
    cluster: Cluster, slots: ClusterPool
) -> None:
    failed, name = pod_for(cluster, slots, "failed")
    lives, other = pod_for(cluster, slots, "lives")
    again, third = pod_for(cluster, slots, "again")
    forgotten, fourth = pod_for(cluster, slots, "forgotten")
    done = reaped(slots, failed="failed", lives="deferred", again="up_for_retry")
    assert {(o.pod, o.why) for o in done.deleted} == {
        (f"default/{name}", "d/r/failed#1 is failed"),
        (f"default/{fourth}", "Airflow knows no d/r/forgotten#1"),
    }
    until(lambda: {p["metadata"]["name"] for p in cluster.pods} == {other, third})
    slots.look()
    left = {record.id for record in slots.leases.leases(slots.cluster)}
    assert left == {lives.id, again.id}
    assert failed.id not in left
    assert forgotten.id not in left
    assert done.unknown == ()


def test_a_lease_whose_pod_is_gone_is_released(cluster: Cluster, slots: ClusterPool) -> None:
    record, name = pod_for(cluster, slots, "t")
    cluster.delete("pods", name, gracePeriodSeconds=0)
    done = reaped(slots, t="running")
    assert [r.id for r in done.released] == [record.id]
    assert (done.deleted, done.remaining, done.unknown) == ((), (), ())


def test_nothing_is_deleted_because_nobody_could_be_asked(
    cluster: Cluster, slots: ClusterPool
) -> None:
    away = AirflowApiUnavailableError("Airflow does not answer.", remedy="Wait.")
    pod_for(cluster, slots, "silent")
    strange = foreign_pod(1)
    strange["metadata"]["annotations"][LEASE_ANNOTATION] = "f" * 32 + ":7"
    cluster.create("pods", strange)
    queued = cluster.create("pods", foreign_pod(1))  # of Kueue: it has no lease
    own(cluster, queued["metadata"]["name"], "elsewhere")
    cluster.create("pods", foreign_pod(1))
    done = reaped(slots, silent=away)
    assert done.deleted == ()
    assert sorted(o.why for o in done.unknown) == [
        "Airflow does not say what became of d/r/silent#1: Airflow does not answer.",
        "Airflow knows no d/r/elsewhere#1",
        "its lease is of no store that is known here",
    ]
    assert len(cluster.pods) == 4
    assert reap_cluster(slots, None, timeout=0).deleted == ()


def test_the_operator_says_whose_its_pod_is(cluster: Cluster, pool: GpuPool) -> None:
    at = context()
    task = operator(annotations={"sim/run-seconds": "60"})
    task._admit(at)
    task.get_or_create_pod(task.pod_request_obj, at)
    (made,) = cluster.pods
    said = json.loads(made["metadata"]["annotations"][OWNER_ANNOTATION])
    assert TaskIdentity(**said).describe() == "d/r/t#1"
    assert said["ti_id"] == str(at["ti"].id)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    status = cli.main([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_the_commands_look_at_the_cluster_that_is_named(
    cluster: Cluster, slots: ClusterPool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ("--cluster", "--kubeconfig", str(tmp_path / "kubeconfig"))
    _, name = pod_for(cluster, slots, "t")
    status, found = run(capsys, "doctor", *way)
    checks = {check["name"]: check for check in found["checks"]}
    assert status == 0
    assert "8 of nvidia.com/gpu on 2 nodes of 3" in checks["cluster devices"]["message"]
    cluster.delete("pods", name, gracePeriodSeconds=0)
    cluster.lose_node("gpu-1")
    _, found = run(capsys, "doctor", *way)
    checks = {check["name"]: check for check in found["checks"]}
    assert "1 leases have no pod any more" in checks["cluster leases"]["message"]
    assert "gpu reap --cluster" in checks["cluster leases"]["remedy"]
    assert "gpu-1: the node is not ready" in checks["cluster nodes"]["message"]
    status, done = run(capsys, "gpu", "reap", *way)
    assert (status, len(done["released"]), done["owners_asked"]) == (0, 1, False)
    status, found = run(capsys, "doctor", "--cluster", "--kubeconfig", str(tmp_path / "none"))
    assert status == 1
    assert "no way into a cluster" in found["checks"][-1]["message"]


# --- who is asked ---------------------------------------------------------------------------------


@contextmanager
def airflow(answers: dict[str, Any]) -> Iterator[AirflowTasks]:
    """An API server that has these paths below ``/api/v2/``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.removeprefix("/api/v2/"))
            body = json.dumps(answer if answer is not None else {"detail": "not found"}).encode()
            self.send_response(200 if answer is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield AirflowTasks(AirflowLogin(url=url, token="t"))
    finally:
        server.shutdown()
        server.server_close()


def test_airflow_says_what_became_of_a_task() -> None:
    path = "dags/d/dagRuns/r%2B1/taskInstances/t"
    answers = {
        path: {"state": "failed"},
        f"{path}/3": {"state": None},
        "dags?limit=1": {"dags": []},
    }
    task = TaskIdentity(dag_id="d", run_id="r+1", task_id="t", map_index=-1, try_number=1)
    mapped = TaskIdentity(dag_id="d", run_id="r+1", task_id="t", map_index=3, try_number=1)
    gone = TaskIdentity(dag_id="d", run_id="r+1", task_id="u", map_index=-1, try_number=1)
    with airflow(answers) as there:
        assert [there.state(one) for one in (task, mapped, gone)] == ["failed", "", None]
    with airflow({}) as other, pytest.raises(AirflowApiUnavailableError):
        other.state(gone)  # it is no Airflow that says that there is no such task
