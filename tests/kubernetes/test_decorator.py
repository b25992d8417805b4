"""The same function by ``@task.gpu`` on a worker and in a pod."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.errors import GpuRequestError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.decorators.gpu import gpu_task
from airflow_ai_provider.operators.gpu import GpuPythonOperator
from airflow_ai_provider.operators.gpu_kubernetes import GpuKubernetesPodOperator
from airflow_ai_provider.services.gpu import GpuPool
from tests.edge.gpu_tasks import context as local_context
from tests.edge.gpu_tasks import execute
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.in_pod import runs_python
from tests.kubernetes.tasks import after_its_pods, context, run

pytestmark = pytest.mark.kubernetes
ELSEWHERE = 3
QUICK = {
    "image": "trainer:1",
    "startup_check_interval_seconds": 0.2,
    "base_container_status_polling_interval": 0.2,
    "poll_interval": 0.2,
    "log_events_on_startup": False,
    "log_pod_spec_on_failure": False,
}


def train(rows: list[int], *, depth: int = 2, ds: str | None = None) -> dict[str, Any]:
    import math  # what it uses, it imports

    return {"sum": math.fsum(rows) * depth, "day": ds}


def fail(rows: list[int]) -> None:
    raise ValueError(f"the loss of {len(rows)} rows is nan")


def task(function: Callable[..., Any], *args: Any, **arguments: Any) -> Any:
    with DAG("d"):
        return gpu_task(function, **arguments)(*args).operator


def in_pod(function: Callable[..., Any], *args: Any, **arguments: Any) -> Callable[..., Any]:
    """Return what makes the task anew for each leg."""
    asked = {"backend": "kubernetes", "kubernetes": QUICK, **arguments}
    return lambda: task(function, *args, **asked)


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_runs_in_a_pod_with_a_lease_and_hands_its_result_back(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    seen = []

    def behave(pod: dict[str, Any]) -> dict[str, Any]:
        seen.append(pod)
        return runs_python(pod)

    cluster.kubelet.behave = behave
    at = context()
    at["ds"] = "2026-01-05"
    found = run(at, make=in_pod(train, [1, 2], gpus=2, deferrable=deferrable))
    assert found == {"sum": 6.0, "day": "2026-01-05"}
    (pod,) = seen
    container = pod["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert LEASE_ANNOTATION in pod["metadata"]["annotations"]
    assert after_its_pods(cluster, pool) == []
    assert cluster.pods == []


def test_what_it_raises_is_in_the_error_with_its_line(cluster: Cluster, pool: GpuPool) -> None:
    cluster.kubelet.behave = runs_python
    with pytest.raises(AirflowException, match="the loss of 2 rows is nan") as caught:
        run(make=in_pod(fail, [1, 2]))
    assert "raise ValueError(f" in str(caught.value)  # the line itself
    assert after_its_pods(cluster, pool) == []


def test_the_setting_decides_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Any:
        return task(train, [1], gpus=1, mirror_pool=True, idle_limit=60, kubernetes={"labels": {}})

    assert isinstance(made(), GpuPythonOperator)
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__GPU_BACKEND", "kubernetes")
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__GPU_IMAGE", "trainer:7")
    there = made()
    assert isinstance(there, GpuKubernetesPodOperator)
    assert (there.image, there.gpus, there.do_xcom_push) == ("trainer:7", 1, True)
    assert there.task_id == "train"
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__GPU_BACKEND", "moon")
    with pytest.raises(GpuRequestError, match="moon"):
        made()


def test_the_same_call_returns_the_same_on_a_worker(
    pool: GpuPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__STATIC_DEVICES", "cpu:0")
    here = task(train, [1, 2], kubernetes=QUICK)
    at = {**local_context(), "ds": "2026-01-05"}
    assert execute(here, "execute", at) == {"sum": 6.0, "day": "2026-01-05"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"gpu_memory": "10GiB"}, {"min_gpu_memory": "10GiB", "gpu_resource": "nvidia.com/gpu"}),
        ({"mig_profile": "1g.10gb"}, {"gpu_resource": "nvidia.com/mig-1g.10gb"}),
        ({"gpu_model": "A100"}, {"gpu_model": "A100"}),
    ],
)
def test_what_a_pod_has_for_what_was_asked(asked: dict[str, Any], found: dict[str, Any]) -> None:
    made = in_pod(train, [1], **asked)()
    assert {name: getattr(made, name) for name in found} == found


def test_it_can_be_mapped(cluster: Cluster, pool: GpuPool) -> None:
    with DAG("d"):
        mapped = gpu_task(train, backend="kubernetes", kubernetes=QUICK)
        found = mapped.partial(depth=3).expand(rows=[[1], [2]])
    assert found.operator.task_id == "train"


def uses_a_global() -> int:
    return [ELSEWHERE for _ in range(2)][0]  # noqa: RUF015 - a name inside a nested scope


def has_a_default(x: int = ELSEWHERE) -> int:
    return x


def wants_the_task(ti: Any = None) -> Any:
    return ti


def annotated(when: dt.datetime, more: Callable[[], int] | None = None) -> str:
    return when.isoformat()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (uses_a_global, "uses ELSEWHERE of its DAG file"),
        (has_a_default, "uses ELSEWHERE of its DAG file"),
        (wants_the_task, "takes 'ti', which leads back into Airflow"),
    ],
)
def test_what_would_not_be_there_is_said_before_a_pod_is_made(
    cluster: Cluster, pool: GpuPool, function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        run(make=in_pod(function))
    assert cluster.pods == []
    assert pool.status()["queue"] == []


def test_annotations_need_nothing_and_airflows_times_become_plain(
    cluster: Cluster, pool: GpuPool
) -> None:
    import pendulum

    cluster.kubelet.behave = runs_python
    when = pendulum.datetime(2026, 1, 5, tz="UTC")
    assert run(make=in_pod(annotated, when)) == "2026-01-05T00:00:00+00:00"
