"""A Job with GPUs once it is made: followed to its end, which is told with what its pods said."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from kubernetes.client.exceptions import ApiException

from airflow_ai_provider.adapters.kubernetes_jobs import JobApi
from airflow_ai_provider.core.errors import AirflowAiError, ClusterUnavailableError, PodEndedError
from airflow_ai_provider.core.gpu.job_life import JobVerdict, is_over
from airflow_ai_provider.core.gpu.pod_life import EndKind
from airflow_ai_provider.hooks._cluster import result_of
from airflow_ai_provider.operators._gpu_gang import first_failure
from airflow_ai_provider.operators._gpu_pod_access import PodAccess
from airflow_ai_provider.services.job_following import Followed, JobFollower

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Job, V1Pod

_OF_TASK = ("dag_id", "task_id", "run_id", "map_index")


class FollowedJob(PodAccess, KubernetesJobOperator):  # type: ignore[misc] # as PodAccess is
    """What is done with a Job from its creation on."""

    workers: int | str
    max_preemptions: int
    min_run_time: float | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # the parent follows the log of each pod in turn, of one that is gone for minutes
        self._shows_logs, self.get_logs = bool(kwargs.get("get_logs", True)), False
        self._preemptions = 0
        self._why = ""

    @property
    def _api(self) -> JobApi:
        return JobApi(self.hook.api_client)

    def create_job(self, job_request_obj: V1Job) -> V1Job:
        """Make the Job, once.

        :raises ClusterError: the API server refuses; its kind says how.
        """
        job: dict[str, Any] = self.hook.api_client.sanitize_for_serialization(job_request_obj)
        self._api.create_job(job)
        return job_request_obj

    def _older(self, job: V1Job) -> list[dict[str, Any]]:
        """Return the Jobs of earlier tries of the task."""
        labels = job.metadata.labels
        mine = ",".join(f"{name}={labels[name]}" for name in _OF_TASK if name in labels)
        found = self._api.jobs(job.metadata.namespace, mine)
        return [older for older in found if not older["metadata"].get("deletionTimestamp")]

    def _remove_older(self, job: V1Job) -> None:
        """Delete what an earlier try left: two would train at once."""
        for older in self._older(job):
            name = older["metadata"]["name"]
            self.log.warning("Deleting Job %s of an earlier try", name)
            self._api.delete_job(job.metadata.namespace, name)

    # --- to its end ------------------------------------------------------------------------------

    def _follow(self, context: Context) -> Any:
        """Follow the Job to its end, here or deferred; return its result."""
        if self.deferrable:
            self._defer_following()
        follower = self._follower()
        while True:
            event = self._next_event(follower)
            if event["gpu_outcome"] != JobVerdict.PREEMPTED.value:
                return self._finish(context, event)
            self._count_preemption(event)

    def _follow_on(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on after the trigger fired."""
        self._preemptions = int((event.get("carried") or {}).get("preemptions", 0))
        if event["gpu_outcome"] == JobVerdict.PREEMPTED.value:
            self._count_preemption(event)
            return self._follow(context)
        return self._finish(context, event)

    def _finish(self, context: Context, event: dict[str, Any]) -> Any:
        is_failed = event["gpu_outcome"] == JobVerdict.FAILED.value
        if event["job"] is None:
            raise self._ended(event)
        told = {**event, "job": _model_of(event["job"]).to_dict()}
        try:
            return KubernetesJobOperator.execute_complete(self, context, told)
        except AirflowException as error:
            if is_failed:
                raise self._ended(event) from error
            raise

    def _ended(self, event: dict[str, Any]) -> PodEndedError:
        lost = "is lost with node" in event["gpu_why"]
        return PodEndedError(
            f"Job {event['name']} did not end well: {event['gpu_why']}.",
            remedy="Look at the events of the Job and of its pods; a retry begins anew.",
            kind=(EndKind.NODE_LOST if lost else EndKind.NOT_STARTED).value,
        )

    def _next_event(self, follower: JobFollower) -> dict[str, Any]:
        said = ""
        while True:
            try:
                decision = follower.look(time.time())
            except ClusterUnavailableError as error:
                self.log.warning("Looking again: %s", error)
                time.sleep(self.job_poll_interval)
                continue
            if decision.verdict.is_news:
                return follower.document(decision)
            if decision.why and decision.why != said:
                said = decision.why
                self.log.info("Job %s waits: %s", follower.of.name, said)
            time.sleep(self.job_poll_interval)

    def _follower(self) -> JobFollower:
        return JobFollower(self._followed, self._api, lambda pod: result_of(pod, self.pod_manager))

    @property
    def _followed(self) -> Followed:
        job = self.job.metadata
        return Followed(
            namespace=job.namespace,
            name=job.name,
            workers=int(self.workers),
            container=self.base_container_name,
            schedule_timeout=self.schedule_timeout_seconds,
            startup_timeout=self.startup_timeout_seconds,
            wants_results=bool(self.do_xcom_push),
        )

    def _defer_following(self) -> NoReturn:
        from airflow_ai_provider.triggers.gpu_job import GpuJobTrigger

        heartbeat = conf.getint("workers", "min_heartbeat_interval", fallback=5)
        raise TaskDeferred(
            trigger=GpuJobTrigger(
                followed=asdict(self._followed),
                access=self._access.document,
                not_before=time.time() + heartbeat + 1,
                poll_interval=self.job_poll_interval,
                keeps_job=self.on_kill_action.value == "keep_pod",
                carried={"preemptions": self._preemptions},
            ),
            method_name="execute_complete",
        )

    def _count_preemption(self, event: dict[str, Any]) -> None:
        """Count that the queue took the Job's share away: it makes the pods anew by itself."""
        ran = float(event["gpu_ran"])
        if self.min_run_time is not None and ran >= self.min_run_time:
            self.log.info("Taken away after %.0f s, which is not counted", ran)
            return
        self._preemptions += 1
        if self._preemptions > self.max_preemptions:
            raise PodEndedError(
                f"Job {event['name']} was taken away {self._preemptions} times by its queue.",
                remedy="Raise max_preemptions, or its priority class.",
                kind=EndKind.PREEMPTED.value,
            )
        self.log.info("Taken away, %d of %d", self._preemptions, self.max_preemptions)

    # --- how it ended ----------------------------------------------------------------------------

    def _delete_unless_over(self) -> None:
        job = self.job.metadata if self.job else None
        if job is not None and not is_over(self._api.job(job.namespace, job.name)):
            self._api.delete_job(job.namespace, job.name)

    def _cleanup_monitoring_pods_from_dict(
        self, context: Context, pods_by_name: dict[str, V1Pod], **kwargs: Any
    ) -> None:
        self._look_why(pods_by_name.values())
        super()._cleanup_monitoring_pods_from_dict(context, pods_by_name, **kwargs)

    def _look_why(self, pods: Iterable[V1Pod]) -> None:
        """Read what the pods wrote and how the first of them failed, before they are deleted."""
        pods = list(pods)
        for pod in pods if self._shows_logs else ():
            try:
                if self._read(pod) is not None and not self._is_lost(pod):
                    self._write_logs(pod)
            except (AirflowAiError, ApiException) as error:  # noqa: PERF203 - no verdict hangs on it
                self.log.warning("The log of %s cannot be read: %s", pod.metadata.name, error)
        try:
            self._why = first_failure(
                pods, read=self._read, tail=self._tail, container=self.base_container_name
            )
        except AirflowAiError as error:
            self.log.warning("How its pods ended cannot be read: %s", error)

    def _is_lost(self, pod: V1Pod) -> bool:
        """Whether the pod's node is silent: to read a log there is to wait for minutes."""
        node = pod.spec.node_name if pod.spec else None
        return bool(node and self._api.node_trouble(node))

    def _tell(self, error: BaseException) -> None:
        if self._why and isinstance(error, AirflowException):
            because = PodEndedError(self._why, kind=EndKind.FAILED.value)
            raise AirflowException(f"{error}\n{because}") from because


def _model_of(job: dict[str, Any]) -> Any:
    """Return a Job's JSON as the client's model, which the parent's users read by XCom."""
    from kubernetes.client import ApiClient, Configuration, V1Job

    return ApiClient(Configuration())._ApiClient__deserialize_model(job, V1Job)
