"""Following a Job with GPUs without a worker: in its queue, at its start, to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ai_provider.core.errors import AirflowAiError, ClusterUnavailableError
from airflow_ai_provider.hooks._cluster import ClusterAccess, client_of

if TYPE_CHECKING:
    from airflow_ai_provider.services.job_following import JobFollower


class GpuJobTrigger(BaseTrigger):
    """Fire when a Job has ended, cannot start, is lost with a node, or was taken away by its queue.

    All triggers of a process share one watch of each cluster. The event is that of
    ``KubernetesJobTrigger``, with ``gpu_outcome`` (``ended``, ``preempted``, ``failed``),
    ``gpu_why``, ``gpu_ran`` (for how many seconds all pods ran) and ``carried``.

    :param followed: the Job: see ``services.job_following.Followed``.
    :param access: how to reach the cluster: see ``hooks._cluster.ClusterAccess``.
    :param not_before: moment (seconds since 1970) before which it does not fire.
    :param poll_interval: seconds between two looks at what the watch has.
    :param keeps_job: whether the Job is kept when its task is cleared or ended by a person.
    :param carried: what the task wants to have back in the event.
    """

    def __init__(
        self,
        *,
        followed: dict[str, Any],
        access: dict[str, Any],
        not_before: float,
        poll_interval: float = 2.0,
        keeps_job: bool = False,
        carried: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.followed = followed
        self.access = access
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.keeps_job = keeps_job
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, which Airflow encrypts."""
        names = ("followed", "access", "not_before", "poll_interval", "keeps_job", "carried")
        return (
            "airflow_ai_provider.triggers.gpu_job.GpuJobTrigger",
            {name: getattr(self, name) for name in names},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; fire once."""
        await asyncio.sleep(max(0.0, self.not_before - time.time()))
        follower = await asyncio.to_thread(self._follower)
        said = ""
        while True:
            try:
                decision = await asyncio.to_thread(follower.look, time.time())
            except ClusterUnavailableError as error:
                self.log.warning("Looking again: %s", error)
                await asyncio.sleep(self.poll_interval)
                continue
            except AirflowAiError as error:  # it will say no again
                yield self._refused(error)
                return
            if decision.verdict.is_news:
                yield TriggerEvent({**follower.document(decision), "carried": self.carried})
                return
            if decision.why and decision.why != said:
                said = decision.why
                self.log.info("Job %s waits: %s", self.followed["name"], said)
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Delete the Job with its pods: a person cleared or ended its task."""
        if not self.keeps_job:
            await asyncio.to_thread(self._delete)

    def _delete(self) -> None:
        from airflow_ai_provider.adapters.kubernetes_jobs import JobApi

        api = JobApi(client_of(ClusterAccess(**self.access)))
        api.delete_job(self.followed["namespace"], self.followed["name"])

    def _follower(self) -> JobFollower:
        from airflow.providers.cncf.kubernetes.utils.pod_manager import PodManager
        from kubernetes.client import CoreV1Api

        from airflow_ai_provider.hooks._cluster import result_of
        from airflow_ai_provider.services.job_following import Followed, JobFollower
        from airflow_ai_provider.triggers.gpu_kubernetes import _watch_of

        access = ClusterAccess(**self.access)
        pods = PodManager(kube_client=CoreV1Api(client_of(access)))
        followed = Followed(**self.followed)
        return JobFollower(followed, _watch_of(access), lambda pod: result_of(pod, pods))

    def _refused(self, error: AirflowAiError) -> TriggerEvent:
        where = {name: self.followed[name] for name in ("name", "namespace")}
        said: dict[str, Any] = {"status": "error", "message": str(error), "job": None}
        news = {"gpu_outcome": "failed", "gpu_why": str(error), "gpu_ran": 0.0}
        return TriggerEvent({**where, **said, **news, "carried": self.carried})
