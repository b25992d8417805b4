"""Distributed training: a Job of several pods with GPUs, admitted by one lease each or by none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_ai_provider.adapters.kubernetes_jobs import JobApi, is_over
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    ClusterForbiddenError,
    GpuRequestError,
    GpuWaitTimeoutError,
    PodEndedError,
)
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Ticket
from airflow_ai_provider.core.gpu.pod_life import EndKind
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import GpuPoolHook, identity_of
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_gang import Gang, first_failure, make_distributed
from airflow_ai_provider.operators._gpu_pod_access import POD_FIELDS, PodAccess
from airflow_ai_provider.operators._gpu_pod_waiting import Wait, acquire_in_process

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Job, V1Pod

_FIELDS = ("workers", "subdomain", *POD_FIELDS)
_OF_TASK = ("dag_id", "task_id", "run_id", "map_index")
_KEEP_JOB = 3600  # seconds after its end
_TERMINATED = 143
_link = GpuLeaseLink()


class GpuKubernetesJobOperator(PodAccess, KubernetesJobOperator):
    """Run an Indexed Job of ``workers`` pods with ``gpus`` each, once there are devices for all.

    Takes what ``KubernetesJobOperator`` takes. All pods get their leases in one decision, of
    whatever nodes, or none does: no training holds half of what it needs while it waits. The pods
    are made behind a scheduling gate and let go to the nodes of their leases; these end with the
    Job, however it ends. One pod that fails ends the Job; ``retries`` of the task start it anew.

    Each pod's environment has what ``torchrun`` and others read: ``MASTER_ADDR``, ``MASTER_PORT``,
    ``NNODES``, ``NODE_RANK`` and ``GPUS_PER_NODE``; what ``env_vars`` says stands::

        torchrun --nnodes=$NNODES --node-rank=$NODE_RANK --nproc-per-node=$GPUS_PER_NODE
            --master-addr=$MASTER_ADDR --master-port=$MASTER_PORT train.py

    ``MASTER_ADDR`` is the first pod's name under a headless Service, which the namespace needs
    once: it stands in ``docker/kubernetes/distributed.yaml`` with the rights for Jobs.

    :param workers: how many pods.
    :param gpus: how many devices each has, all of one node.
    :param gpu_resource: the resource's name, as of ``GpuKubernetesPodOperator``.
    :param gpu_model: the value of the vendor's label for the model, or a list of them.
    :param min_gpu_memory: the least memory of a card, such as ``"40GiB"``.
    :param gpu_pool: the pool of devices.
    :param shared_memory: the size of ``/dev/shm``; NCCL and data loaders use it.
    :param subdomain: the name of the headless Service.
    :param master_port: where the first pod listens.
    :param priority: higher goes first; the task's ``priority_weight`` unless said.
    :param team: on whose account.
    :param project: for which project.
    :param phase: for which phase of it.
    :param estimate: how many seconds the Job will run.
    :param max_wait: how many seconds to wait for devices at most, over the whole try.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    name: str | None
    template_fields: Sequence[str] = (*KubernetesJobOperator.template_fields, *_FIELDS)
    operator_extra_links = (_link,)

    def __init__(
        self,
        *,
        workers: int | str = 2,
        gpus: int | str | None = None,
        gpu_resource: str = DEFAULT_RESOURCE,
        gpu_model: str | list[str] | None = None,
        min_gpu_memory: str | None = None,
        gpu_pool: str = "default",
        shared_memory: str | None = None,
        subdomain: str = "airflow-ai-training",
        master_port: int = 29500,
        priority: int | str | None = None,
        team: str | None = None,
        project: str | None = None,
        phase: str | None = None,
        estimate: float | str | None = None,
        max_wait: float | str | None = None,
        store_conn_id: str = GpuPoolHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        defaults = {
            "backoff_limit": 0,
            "ttl_seconds_after_finished": _KEEP_JOB,
            "wait_until_job_complete": True,
        }
        super().__init__(completion_mode="Indexed", **{**defaults, **kwargs})
        # the parent follows the log of each pod in turn, of one that is gone for minutes
        self._shows_logs, self.get_logs = bool(kwargs.get("get_logs", True)), False
        self.workers = workers
        self.gpus = gpus
        self.gpu_resource = gpu_resource
        self.gpu_model = gpu_model
        self.min_gpu_memory = min_gpu_memory
        self.gpu_pool = gpu_pool
        self.shared_memory = shared_memory
        self.subdomain = subdomain
        self.master_port = master_port
        self.priority = priority
        self.team = team
        self.project = project
        self.phase = phase
        self.estimate = estimate
        self.max_wait = max_wait
        self.store_conn_id = store_conn_id
        self.kueue_queue = None
        self._wait = Wait()
        self._holder = ""
        self._tickets: list[Ticket] = []
        self._leases: list[LeaseRecord] = []
        self._is_waiting = False
        self._why = ""

    @property
    def _api(self) -> JobApi:
        return JobApi(self.hook.api_client)

    def execute(self, context: Context) -> Any:
        """Get devices for all pods, or defer until there are, and run the Job on them."""
        with self._at_the_end():
            self._prepare(context)
            return super().execute(context)

    def execute_with_lease(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back after the admission's trigger fired."""
        carried = event["carried"]
        self._wait = Wait(since=carried["waiting_since"], deadline=carried["deadline"])
        if event["outcome"] == "timeout":
            self._cluster.leases.withdraw(event["ticket"], reason="waited longer than max_wait")
            raise self._too_long(event["reason"])
        return self.execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any], **kwargs: Any) -> Any:
        """End as the parent does when the Job has ended, and give the devices back."""
        self._holder = f"ti:{identity_of(context).ti_id}"
        self._leases = self._cluster.leases.held_by(self._holder)
        with self._at_the_end():
            return super().execute_complete(context, event, **kwargs)

    def build_job_request_obj(self, context: Context | None = None) -> V1Job:
        """Return the Job as the parent builds it, with GPUs for each pod, behind our gate."""
        self.workers = GpuRequest.of(gpus=self.workers).wanted  # a whole number from one on
        self.parallelism = self.completions = self.workers
        return make_distributed(super().build_job_request_obj(context), self)

    def get_pods(
        self, pod_request_obj: V1Pod, context: Context, *, exclude_checked: bool = True
    ) -> Sequence[V1Pod]:
        """Return the pods of the Job that was just made, each let go to the node of its lease."""
        job = self.job.metadata
        gang = Gang(self._api, self._cluster, job.namespace, job.name, log=self.log)
        gang.admit(self._leases, within=self.startup_timeout_seconds)
        gang.await_nodes(len(self._leases), within=self.schedule_timeout_seconds)
        there = [name for name in gang.names() if self._api.pod(job.namespace, name) is not None]
        return [self.hook.get_pod(name, job.namespace) for name in there]

    def on_kill(self) -> None:
        """Delete the Job with its pods; give up a wait. The devices follow the pods."""
        super().on_kill()
        for record in self._leases:
            self._cluster.leases.doubt(record, reason="its task was killed")
        if self._is_waiting:
            self.log.warning("Ended while waiting")
            raise SystemExit(_TERMINATED)

    @contextmanager
    def _at_the_end(self) -> Iterator[None]:
        """Give the devices back however this leg ends the task, and say why."""
        try:
            yield
        except TaskDeferred:
            raise
        except (GpuRequestError, ClusterForbiddenError) as error:
            self._end_all(str(error))
            raise AirflowFailException(str(error)) from error
        except BaseException as error:
            self._end_all(f"its task ended: {error}")
            self._tell(error)
            raise
        self._end_all("its Job has ended")

    # --- devices for all of them -----------------------------------------------------------------

    def _prepare(self, context: Context) -> None:
        self.name = self._set_name(self.name)
        job = self.build_job_request_obj(context)
        self.log.debug("In the cluster %s", self._cluster.identity)  # which must answer first
        self._remove_older(job)
        self._tickets = self._ask_for(job, context)
        ti = context["ti"]
        ti.xcom_push(key=_link.xcom_key, value=_link.get_link(self, ti_key=ti))
        self._cluster.look()
        self._leases = self._acquire()
        ti.xcom_push(key="gpu_lease_id", value=[record.id for record in self._leases])
        for record in self._leases:
            self.log.info("Holding %s of %s, lease %s", record.devices, record.host, record.mark)

    def _remove_older(self, job: V1Job) -> None:
        """Delete what an earlier try left: two would train at once."""
        labels = job.metadata.labels
        mine = ",".join(f"{name}={labels[name]}" for name in _OF_TASK if name in labels)
        for older in self._api.jobs(job.metadata.namespace, mine):
            name = older["metadata"]["name"]
            self.log.warning("Deleting Job %s of an earlier try", name)
            self._api.delete_job(job.metadata.namespace, name)

    def _ask_for(self, job: V1Job, context: Context) -> list[Ticket]:
        template = self.hook.api_client.sanitize_for_serialization(job.spec.template)
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        request = self._request(template, limits[str(self.gpu_resource)])
        task = identity_of(context)
        self._wait.begin(request.max_wait)
        self._holder = f"ti:{task.ti_id}"
        return self._cluster.gang(request, int(self.workers), holder=self._holder, task=task)

    def _acquire(self) -> list[LeaseRecord]:
        asked = self._cluster.ask_all(self._tickets)
        if any(one.lease is None for one in asked):
            if self.deferrable:
                self.log.info("Waiting for %s", self._tickets[0].request.describe())
                self._defer_admission()
            self._is_waiting = True
            try:  # all are granted at once: the first one's grant is everybody's
                acquire_in_process(
                    self._cluster, self._tickets[0], self._wait, too_long=self._too_long
                )
            finally:
                self._is_waiting = False
            asked = self._cluster.ask_all(self._tickets)
        return [one.lease for one in asked if one.lease is not None]

    def _defer_admission(self) -> NoReturn:
        from airflow_ai_provider.triggers.gpu_kubernetes import GpuClusterTrigger

        # the first leg's supervisor looks once a heartbeat; until then Airflow thinks it runs
        heartbeat = conf.getint("workers", "min_heartbeat_interval", fallback=5)
        raise TaskDeferred(
            trigger=GpuClusterTrigger(
                ticket=self._tickets[0].id,
                not_before=time.time() + heartbeat + 1,
                deadline=self._wait.deadline,
                waiting_since=self._wait.since,
                store_conn_id=self.store_conn_id,
                resource=str(self.gpu_resource),
                access=self._access.document,
                carried={"waiting_since": self._wait.since, "deadline": self._wait.deadline},
            ),
            method_name="execute_with_lease",
        )

    def _end_all(self, why: str) -> None:
        """Give back what there is; what its pods still use is released when they are gone."""
        job = self.job.metadata if self.job else None
        try:
            if job is not None and not is_over(self._api.job(job.namespace, job.name)):
                self._api.delete_job(job.namespace, job.name)
            for record in self._cluster.leases.held_by(self._holder):
                if record.pod is not None:
                    self._cluster.end(record, reason=why[:200])
            for ticket in self._tickets[:1]:  # the others go with it
                self._cluster.leases.withdraw(ticket.id, reason=why[:500])
        except AirflowAiError as error:  # the next look sees that the pods are gone
            self.log.warning("Not everything is given back yet: %s", error)

    def _too_long(self, reason: str) -> GpuWaitTimeoutError:
        from airflow_ai_provider.services.gpu import waited_too_long

        asked = GpuRequest.of(gpus=self.gpus, gpu_pool=self.gpu_pool, max_wait=self.max_wait)
        workers = GpuRequest.of(gpus=self.workers).wanted
        return waited_too_long(replace(asked, gang_size=workers), reason)

    # --- how it ended ----------------------------------------------------------------------------

    def _cleanup_monitoring_pods(self, context: Context) -> None:
        self._look_why(getattr(self, "pods", None) or [])
        super()._cleanup_monitoring_pods(context)

    def _cleanup_monitoring_pods_from_dict(
        self, context: Context, pods_by_name: dict[str, V1Pod], **kwargs: Any
    ) -> None:
        self._look_why(pods_by_name.values())
        super()._cleanup_monitoring_pods_from_dict(context, pods_by_name, **kwargs)

    def _look_why(self, pods: Iterable[V1Pod]) -> None:
        """Read what the pods wrote and how the first of them failed, before they are deleted."""
        pods = list(pods)
        try:
            for pod in pods if self._shows_logs else ():
                if self._read(pod) is not None:
                    self._write_logs(pod)
            self._why = first_failure(
                pods, read=self._read, tail=self._tail, container=self.base_container_name
            )
        except AirflowAiError as error:
            self.log.warning("How its pods ended cannot be read: %s", error)

    def _tell(self, error: BaseException) -> None:
        if self._why and isinstance(error, AirflowException):
            because = PodEndedError(self._why, kind=EndKind.FAILED.value)
            raise AirflowException(f"{error}\n{because}") from because
