"""Distributed training: a Job of several pods with GPUs, admitted by one lease each or by Kueue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_ai_provider.core.errors import AirflowAiError, ClusterForbiddenError, GpuRequestError
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE
from airflow_ai_provider.core.gpu.job_life import is_over
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import GpuPoolHook, identity_of
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_gang import job_at, make_distributed
from airflow_ai_provider.operators._gpu_job_leases import LeasedJob
from airflow_ai_provider.operators._gpu_pod import own
from airflow_ai_provider.operators._gpu_pod_access import POD_FIELDS

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Job

_FIELDS = ("workers", "subdomain", "kueue_queue", *POD_FIELDS)
_KEEP_JOB = 3600  # seconds after its end
_TERMINATED = 143


class GpuKubernetesJobOperator(LeasedJob):
    """Run an Indexed Job of ``workers`` pods with ``gpus`` each, once there are devices for all.

    Takes what ``KubernetesJobOperator`` takes. All pods get their leases in one decision, of
    whatever nodes, or none does: no training holds half of what it needs while it waits. The pods
    are made behind a scheduling gate and let go to the nodes of their leases; these end with the
    Job, however it ends. One pod that fails ends the Job; ``retries`` of the task start it anew.
    With ``kueue_queue`` Kueue decides instead: the Job is made suspended and admitted as a whole.

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
    :param kueue_queue: the LocalQueue of Kueue that admits the Job as a whole; then no lease is
        taken, and what it waits for is Kueue's own word. Time in the queue counts for no limit.
    :param max_preemptions: how often the queue may take the Job's share away before the task
        fails; it is queued again, and that is counted apart from retries.
    :param min_run_time: a preemption after so many seconds of running is not counted: the pods had
        time to write a checkpoint.
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
    operator_extra_links = (GpuLeaseLink(),)

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
        kueue_queue: str | None = None,
        max_preemptions: int = 5,
        min_run_time: float | None = None,
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
        self.kueue_queue = kueue_queue
        self.max_preemptions = max_preemptions
        self.min_run_time = min_run_time

    def execute(self, context: Context) -> Any:
        """Get devices for all pods, or queue the Job, and follow it to its end."""
        with self._at_the_end():
            self.name = self._set_name(self.name)
            job = self.build_job_request_obj(context)
            if self.kueue_queue:
                self._queue(job)
            else:
                self._remove_older(job)
                self._take_leases(job, context)
                self.job = self.create_job(job)  # from here on a kill takes it along
                self._let_go()
            ti, made = context["ti"], self.job.metadata
            ti.xcom_push(key="job_name", value=made.name)
            ti.xcom_push(key="job_namespace", value=made.namespace)
            return self._follow(context)

    def execute_with_lease(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back after the admission's trigger fired."""
        self._come_back(event)
        return self.execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any], **kwargs: Any) -> Any:
        """Go on when the Job has ended, or its queue took its share away."""
        self.job = job_at(event["namespace"], event["name"])
        if not self.kueue_queue:
            self._hold_as(context)
            self._leases = self._cluster.leases.held_by(self._holder)
        self.workers = GpuRequest.of(gpus=self.workers).wanted
        with self._at_the_end():
            return self._follow_on(context, event)

    def build_job_request_obj(self, context: Context | None = None) -> V1Job:
        """Return the Job as the parent builds it, with GPUs for each pod, behind a gate."""
        self.workers = GpuRequest.of(gpus=self.workers).wanted  # a whole number from one on
        self.parallelism = self.completions = self.workers
        job = make_distributed(super().build_job_request_obj(context), self)
        if context is not None:
            own(job.spec.template, identity_of(context))
        return job

    def on_kill(self) -> None:
        """Delete the Job with its pods; give up a wait. The devices follow the pods."""
        super().on_kill()
        for record in self._leases:
            self._cluster.leases.doubt(record, reason="its task was killed")
        if self._is_waiting:
            self.log.warning("Ended while waiting")
            raise SystemExit(_TERMINATED)

    def _queue(self, job: V1Job) -> None:
        """Make the Job for Kueue to admit, unless one of an earlier try goes on still."""
        going = [older for older in self._older(job) if not is_over(older)]
        if self.reattach_on_restart and going:
            meta = going[-1]["metadata"]
            self.log.info("Going on with Job %s of an earlier try", meta["name"])
            self.job = job_at(meta["namespace"], meta["name"])
            return
        self._remove_older(job)
        self.job = self.create_job(job)

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

    def _end_all(self, why: str) -> None:
        try:
            self._delete_unless_over()
            if not self.kueue_queue:
                self._give_back(why)
        except AirflowAiError as error:  # the next look sees that the pods are gone
            self.log.warning("Not everything is given back yet: %s", error)
