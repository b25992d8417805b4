"""A Job that Kueue admits as a whole: its wait, its start, what it loses and gets back."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_ai_provider.core.errors import PodEndedError
from airflow_ai_provider.services.gpu import GpuPool
from airflow_ai_provider.triggers.gpu_job import GpuJobTrigger
from tests.edge.gpu_tasks import execute
from tests.kubernetes.emulator.access import Use
from tests.kubernetes.emulator.cluster import Cluster
from tests.kubernetes.tasks import context, operator, run
from tests.kubernetes.test_job import training
from tests.kubernetes.test_operator import Background, both_ways, until

pytestmark = pytest.mark.kubernetes
LONG = {"sim/run-seconds": "60"}


def queued(**given: Any) -> Any:
    """Return a task whose Job waits in the queue ``pilot``; its limits are short."""
    limits = {"startup_timeout_seconds": 5, "schedule_timeout_seconds": 5}
    return training(**{"kueue_queue": "pilot", **limits, **given})


def running(cluster: Cluster) -> list[dict[str, Any]]:
    return [pod for pod in cluster.pods if pod["status"]["phase"] == "Running"]


def take_away(cluster: Cluster, *, seconds: float) -> None:
    """Give the share of the Job that runs to somebody else, for so long."""
    key = ("default", "pilot")
    (job,) = cluster.all("jobs")
    cluster.call(cluster.kueue.queues.__setitem__, key, 0.0)
    cluster.call(cluster.kueue.preempt_job, "default", job["metadata"]["name"])
    until(lambda: cluster.pods == [])
    time.sleep(seconds)
    cluster.call(cluster.kueue.queues.__setitem__, key, 8.0)


def made(cluster: Cluster, resource: str) -> int:
    every = cluster.call(lambda: list(cluster.objects.story[resource]))
    return sum(what == "ADDED" for what, _ in every)


@both_ways
def test_its_wait_has_kueues_word_and_counts_for_no_limit(
    cluster: Cluster,
    pool: GpuPool,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    deferrable: bool,
) -> None:
    caplog.set_level(logging.INFO)  # it is heard on one of the two, as Airflow's logging is set up
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 6)
    first = Background(make=queued, annotations={"sim/run-seconds": "3"})
    until(lambda: len(running(cluster)) == 2)
    limits = {"startup_timeout_seconds": 1, "schedule_timeout_seconds": 1}
    second = Background(make=queued, deferrable=deferrable, **limits)
    until(lambda: len(cluster.all("jobs")) == 2)
    (waits,) = [job for job in cluster.all("jobs") if job["spec"]["suspend"]]
    assert waits["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "pilot"
    assert len(cluster.pods) == 2  # none of the one that waits
    assert (first.end(), second.end()) == (None, None)
    if not deferrable:  # triggers share a look at Kueue's Workloads, which may come too late here
        assert "insufficient unused quota" in "".join(capfd.readouterr()) + caplog.text
    assert pool.gpu.leases() == []
    assert pool.status()["queue"] == []  # our own gate was not asked
    assert not any(pod["spec"].get("schedulingGates") for _, pod in cluster.objects.story["pods"])


@pytest.mark.slow
@pytest.mark.parametrize(("deferrable", "seconds"), [(True, 0), (True, 1), (False, 1)])
def test_what_is_taken_away_goes_on_without_a_second_job(
    cluster: Cluster, pool: GpuPool, deferrable: bool, seconds: float
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    said = {"sim/run-seconds": "2", "sim/xcom": '{"loss": 0.5}'}
    given = {"deferrable": deferrable, "annotations": said, "do_xcom_push": True}
    task = Background(make=queued, **given)
    until(lambda: len(running(cluster)) == 2)
    time.sleep(1.1)  # it is seen to run, in another second
    take_away(cluster, seconds=seconds)
    assert task.end() is None
    assert task.result == [{"loss": 0.5}, {"loss": 0.5}]
    assert (made(cluster, "jobs"), made(cluster, "pods")) == (1, 4)


@pytest.mark.parametrize(
    ("fair", "fails", "deferrable"), [(None, True, True), (0.1, False, True), (None, True, False)]
)
def test_too_many_preemptions_fail_unless_it_ran_long_enough(
    cluster: Cluster, pool: GpuPool, fair: float | None, fails: bool, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    given = {"max_preemptions": 0, "min_run_time": fair, "deferrable": deferrable}
    task = Background(make=queued, annotations={"sim/run-seconds": "2.5"}, **given)
    until(lambda: len(running(cluster)) == 2)
    time.sleep(1)
    take_away(cluster, seconds=0.5)
    error = task.end()
    if not fails:
        assert error is None
        return
    assert isinstance(error, PodEndedError)
    assert "taken away 1 times" in str(error)
    until(lambda: cluster.all("jobs") == [] and cluster.pods == [])


def test_a_queue_that_is_not_there_is_a_named_reason(
    cluster: Cluster,
    pool: GpuPool,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    heard: list[str] = []
    task = Background(make=queued, kueue_queue="pilto", deferrable=True)

    def is_said() -> bool:
        heard.append("".join(capfd.readouterr()))
        said = "Kueue's queue pilto: LocalQueue pilto doesn't exist"
        return said in "".join(heard) or said in caplog.text

    until(is_said, within=15)
    cluster.call(cluster.kueue.queues.__setitem__, ("default", "pilto"), 6.0)
    assert task.end() is None


@pytest.mark.parametrize(
    ("make", "deferrable"), [(queued, True), (queued, False), (operator, True)]
)
def test_max_wait_holds_in_kueues_queue_too(
    cluster: Cluster, pool: GpuPool, make: Any, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 0)
    given = {"kueue_queue": "pilot", "max_wait": 1, "deferrable": deferrable}
    with pytest.raises(Exception, match="waited longer than max_wait"):
        run(make=make, **given)
    until(lambda: cluster.all("jobs") == [] and cluster.pods == [])


@both_ways
def test_what_cannot_start_once_admitted_fails_early_and_leaves_nothing(
    cluster: Cluster, pool: GpuPool, deferrable: bool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    wrong = {"sim/pull-error": "true"}
    with pytest.raises(PodEndedError, match="cannot be pulled"):
        run(make=queued, deferrable=deferrable, annotations=wrong, startup_timeout_seconds=60)
    until(lambda: cluster.all("jobs") == [] and cluster.pods == [])


def test_a_new_try_goes_on_with_the_job_of_the_one_before(cluster: Cluster, pool: GpuPool) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    slow = {"sim/run-seconds": "3"}
    Background(context(1), make=queued, annotations=slow, deferrable=True)  # its worker dies
    until(lambda: len(running(cluster)) == 2)
    assert run(context(2), make=queued, annotations=slow) is None
    assert (made(cluster, "jobs"), made(cluster, "pods")) == (1, 2)


def test_a_person_who_clears_the_deferred_task_takes_the_job_along(
    cluster: Cluster, pool: GpuPool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    with pytest.raises(TaskDeferred) as deferred:
        execute(queued(deferrable=True, annotations=LONG), "execute", context())
    until(lambda: len(running(cluster)) == 2)
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{GpuJobTrigger.__module__}.{GpuJobTrigger.__name__}"
    asyncio.run(GpuJobTrigger(**arguments).on_kill())
    until(lambda: cluster.all("jobs") == [] and cluster.pods == [])


def test_a_lost_answer_makes_no_second_job(cluster: Cluster, pool: GpuPool) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    cluster.fault(r"POST .*/jobs$", lose=True)
    assert run(make=queued) is None
    assert made(cluster, "jobs") == 1


@pytest.mark.parametrize("kueue_queue", ["pilot", None])
def test_a_job_that_somebody_deletes_is_said_to_be_gone(
    cluster: Cluster, pool: GpuPool, kueue_queue: str | None
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(make=queued, annotations=LONG, deferrable=True, kueue_queue=kueue_queue)
    until(lambda: len(running(cluster)) == 2)
    cluster.delete("jobs", cluster.all("jobs")[0]["metadata"]["name"])
    assert isinstance(error := task.end(), AirflowException | PodEndedError)
    assert "was deleted" in str(error)


@pytest.mark.parametrize("kueue_queue", ["pilot", None])
def test_a_lost_node_is_noticed_before_its_pods_are_deleted(
    cluster: Cluster, pool: GpuPool, kueue_queue: str | None
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    task = Background(make=queued, annotations=LONG, deferrable=True, kueue_queue=kueue_queue)
    until(lambda: len(running(cluster)) == 2)
    cluster.lose_node("gpu-0")
    error = task.end()
    assert isinstance(error, PodEndedError)
    assert error.facts["kind"] == "node_lost"


@pytest.mark.parametrize("verb", ["create", "list", "get"])
def test_a_missing_right_is_named_with_the_manifest_that_grants_it(
    cluster: Cluster, pool: GpuPool, verb: str
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    cluster.server.access.denied.add(Use("batch", "jobs", verb))
    with pytest.raises(AirflowFailException) as caught:
        run(make=queued)
    assert f"may not {verb} jobs" in str(caught.value)
    assert "docker/kubernetes/distributed.yaml" in str(caught.value)


def test_who_may_list_jobs_and_not_watch_them_sees_how_they_end(
    cluster: Cluster, pool: GpuPool
) -> None:
    cluster.call(cluster.kueue.add_queue, "default", "pilot", 8)
    cluster.server.access.denied.add(Use("batch", "jobs", "watch"))
    assert run(make=queued, deferrable=True) is None
