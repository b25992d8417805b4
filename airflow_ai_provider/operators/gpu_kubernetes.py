"""Pods with GPUs, admitted by a lease or by Kueue."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from airflow_ai_provider.core.errors import (
    ClusterError,
    ClusterForbiddenError,
    ClusterGoneError,
    ClusterQuotaError,
    ClusterUnavailableError,
    GpuRequestError,
    GpuWaitTimeoutError,
    PodEndedError,
)
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE
from airflow_ai_provider.core.gpu.pod_life import EndKind
from airflow_ai_provider.core.gpu.pod_start import StartClock, Verdict
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason
from airflow_ai_provider.hooks.gpu import GpuPoolHook
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_pod_access import POD_FIELDS
from airflow_ai_provider.operators._gpu_pod_admission import BackToQueue
from airflow_ai_provider.operators._gpu_pod_ending import GO_BACK, EndedPod
from airflow_ai_provider.operators._gpu_pod_manager import ran_for

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

_FIELDS = (*POD_FIELDS, "kueue_queue", "capacity", "priority_class_name")
_TERMINATED = 143
_EXPLAIN_AGAIN = 5.0  # seconds


class GpuKubernetesPodOperator(EndedPod):
    """Run a pod with GPUs, once there are devices for it.

    Takes what ``KubernetesPodOperator`` takes. Before the pod is made the task holds a lease on
    devices of one node, which the pod is then bound to: it does not sit Pending, and what it waits
    for has a name. Waiting never counts as start-up time. With ``kueue_queue`` Kueue decides
    instead. Requests always equal limits. What fails says why: the exit code with the last lines
    of the log, memory, eviction, a lost node, an image that cannot be pulled.

    :param gpus: how many devices; as the pod's own limits say, else one, unless given.
    :param gpu_resource: the resource's name: ``nvidia.com/gpu``, ``nvidia.com/mig-1g.10gb``, ...
    :param gpu_model: the value of the vendor's label for the model, or a list of them.
    :param min_gpu_memory: the least memory of a card, such as ``"40GiB"``.
    :param gpu_pool: the pool of devices: a node's label ``airflow-ai/gpu-pool``, else ``default``.
    :param shared_memory: the size of ``/dev/shm``, such as ``"8Gi"``.
    :param kueue_queue: the LocalQueue of Kueue that admits the pod; then no lease is taken.
    :param max_preemptions: how often a pod that was taken away may go back into the queue before
        the task fails; that is counted apart from retries.
    :param min_run_time: a preemption after so many seconds of running is not counted: the pod had
        time to write a checkpoint.
    :param priority: higher goes first among those that wait; the task's ``priority_weight`` unless
        said. For the cluster's own preemption use ``priority_class_name``.
    :param team: on whose account.
    :param project: for which project.
    :param phase: for which phase of it.
    :param estimate: how many seconds the pod will run.
    :param max_wait: how many seconds to wait for devices at most, over the whole try.
    :param capacity: ``free`` makes a pod once a node has room; ``autoscale`` also while a group of
        nodes may grow by one for it (setting ``node_groups``): no more pods than such nodes can
        take are Pending.
    :param node_timeout: how many seconds a pod may wait for the node that an autoscaler is to
        bring; that counts for no other limit.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (*KubernetesPodOperator.template_fields, *_FIELDS)
    operator_extra_links = (GpuLeaseLink(),)

    def __init__(
        self,
        *,
        gpus: int | str | None = None,
        gpu_resource: str = DEFAULT_RESOURCE,
        gpu_model: str | list[str] | None = None,
        min_gpu_memory: str | None = None,
        gpu_pool: str = "default",
        shared_memory: str | None = None,
        kueue_queue: str | None = None,
        max_preemptions: int = 5,
        min_run_time: float | None = None,
        priority: int | str | None = None,
        team: str | None = None,
        project: str | None = None,
        phase: str | None = None,
        estimate: float | str | None = None,
        max_wait: float | str | None = None,
        capacity: str = "free",
        node_timeout: float = 900.0,
        store_conn_id: str = GpuPoolHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.gpus = gpus
        self.gpu_resource = gpu_resource
        self.gpu_model = gpu_model
        self.min_gpu_memory = min_gpu_memory
        self.gpu_pool = gpu_pool
        self.shared_memory = shared_memory
        self.kueue_queue = kueue_queue
        self.max_preemptions = max_preemptions
        self.min_run_time = min_run_time
        self.priority = priority
        self.team = team
        self.project = project
        self.phase = phase
        self.estimate = estimate
        self.max_wait = max_wait
        self.capacity = capacity
        self.node_timeout = node_timeout
        self.store_conn_id = store_conn_id

    def execute(self, context: Context) -> Any:
        """Get devices, or defer until there are some, and run the pod on them."""
        while True:  # once for each time that the pod goes back into the queue
            try:
                self._admit(context)
                return super().execute(context)
            except BackToQueue as back:  # noqa: PERF203 - it costs nothing beside a pod
                self._go_back(back)
                self._pause(back.reason)
            except ClusterQuotaError as error:
                self._go_back(BackToQueue(WaitReason.NAMESPACE_QUOTA, str(error)))
                self._wait_for_quota()
            except (GpuWaitTimeoutError, PodEndedError):
                raise
            except (GpuRequestError, ClusterForbiddenError) as error:
                self._withdraw(str(error))
                raise AirflowFailException(str(error)) from error
            except (ClusterGoneError, ClusterUnavailableError):
                self._withdraw("the API server did not do it")
                raise
            except ClusterError as error:  # it will say no again
                self._withdraw(str(error))
                raise AirflowFailException(str(error)) from error

    def await_pod_start(self, pod: V1Pod) -> None:
        """Wait for the pod to run: a gate, a queue and want of room count for no limit.

        :raises PodEndedError: it will not start, or not in time.
        """
        clock = StartClock(
            leased=self._lease is not None,
            schedule_timeout=self.schedule_timeout_seconds,
            startup_timeout=self.startup_timeout_seconds,
            node_timeout=self._node_timeout,
        )
        said, why, look_again, is_first = "", "", 0.0, True
        self._started = None
        while True:
            document = self._read(pod)
            standing = None if document is None else self._standing(document, is_first=is_first)
            is_first = False
            decision = clock.decide(standing, time.time())
            if decision.verdict is Verdict.STARTED:
                self.pod_manager.follows = True
                self._started = time.monotonic()
                return
            if decision.verdict is Verdict.BACK:
                reason = WaitReason.NO_ROOM_ON_NODE if document else WaitReason.PREEMPTED
                if document is None:
                    self._count_preemption(decision.why)
                self._remove(pod)
                self._is_going_back = True
                raise BackToQueue(reason, f"pod {pod.metadata.name}: {decision.why}")
            if decision.verdict is Verdict.FAIL:
                self._not_started = decision.why
                if self.log_events_on_failure:
                    self._read_pod_events(pod, reraise=False)
                raise PodEndedError(
                    f"Pod {pod.metadata.name} did not start: {decision.why}.",
                    kind=EndKind.NOT_STARTED.value,
                )
            if decision.why != why or time.monotonic() >= look_again:
                why, look_again = decision.why, time.monotonic() + _EXPLAIN_AGAIN
                explained = self._explained(why, pod)  # Kueue's word may come after the gate
                if explained != said:
                    said = explained
                    self.log.info("Pod %s waits: %s", pod.metadata.name, said)
            time.sleep(min(1.0, self.startup_check_interval_seconds))

    def cleanup(
        self,
        pod: V1Pod,
        remote_pod: V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Delete the pod as asked for, give its devices back, and say how it ended."""
        if self._is_going_back:
            return
        if self._killed or not remote_pod:
            super().cleanup(pod, remote_pod, xcom_result, context)
            return
        if self.pod_manager.refused is not None:  # it may run, and nobody can follow it
            self._remove(remote_pod)
            self._give_back("a right lacks to follow its pod")
            raise self.pod_manager.refused
        ending, lines = self._how_it_ended(remote_pod)
        ran = max(self._ran(), ran_for(remote_pod))
        may_again = self._ran_enough(ran) or self._preemptions < self.max_preemptions
        if ending.kind in GO_BACK and may_again:
            self._count_preemption(ending.sentence, ran)
            self._remove(remote_pod)
            raise BackToQueue(WaitReason.PREEMPTED, ending.sentence)
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            self._fail(ending, lines, error)
        finally:
            self._give_back(ending.sentence)

    def on_kill(self) -> None:
        """Delete the pod, unless it is to be kept; give up a wait. Its devices follow the pod."""
        super().on_kill()
        if self._lease is not None and self.pod is not None:
            self._cluster.leases.doubt(self._lease, reason="its task was killed")
        if self._is_waiting:
            self.log.warning("Ended while waiting")
            raise SystemExit(_TERMINATED)

    def defer(self, *, trigger: Any, **kwargs: Any) -> NoReturn:
        """Defer with our trigger in the place of the parent's."""
        from airflow_ai_provider.triggers.gpu_kubernetes import GpuPodTrigger

        if isinstance(trigger, KubernetesPodTrigger):
            _, arguments = trigger.serialize()
            mark = self._lease.mark if self._lease else None
            carried = {"gpu_lease": mark, "gpu_carried": self._carried}
            arguments["trigger_kwargs"] = {**(arguments.get("trigger_kwargs") or {}), **carried}
            trigger = GpuPodTrigger(
                leased=self._lease is not None, node_timeout=self._node_timeout, **arguments
            )
        super().defer(trigger=trigger, **kwargs)
        raise AssertionError("defer returned")
