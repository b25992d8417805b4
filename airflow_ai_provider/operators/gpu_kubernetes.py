"""Pods with GPUs, admitted by a lease or by Kueue."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_ai_provider.adapters.kubernetes import KubernetesApi
from airflow_ai_provider.core.errors import (
    AirflowAiError,
    ClusterError,
    ClusterForbiddenError,
    ClusterGoneError,
    ClusterQuotaError,
    ClusterUnavailableError,
    GpuRequestError,
    GpuWaitTimeoutError,
    PodEndedError,
)
from airflow_ai_provider.core.gpu.cluster import DEFAULT_RESOURCE, LEASE_ANNOTATION
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Ticket, parse_mark
from airflow_ai_provider.core.gpu.nodes import placement_of
from airflow_ai_provider.core.gpu.pod_life import (
    Ending,
    EndKind,
    ending_of,
    kueue_says,
    standing_of,
)
from airflow_ai_provider.core.gpu.pod_start import StartClock, Verdict
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason
from airflow_ai_provider.hooks._cluster import ClusterAccess, cluster_of
from airflow_ai_provider.hooks.gpu import GpuPoolHook, identity_of
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_admission import Wait, acquire_in_process, wait_for_quota
from airflow_ai_provider.operators._gpu_pod import (
    KUEUE_LABEL,
    add_gpus,
    card_expressions,
    gpus_of,
    require,
    share_memory,
    stamp,
)
from airflow_ai_provider.operators._gpu_pod_manager import GpuPodManager, node_trouble

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

    from airflow_ai_provider.services.gpu_cluster import ClusterPool

_FIELDS = (
    "gpus",
    "gpu_resource",
    "gpu_model",
    "min_gpu_memory",
    "gpu_pool",
    "shared_memory",
    "kueue_queue",
    "priority",
    "team",
    "project",
    "phase",
    "estimate",
    "max_wait",
    "priority_class_name",
    "store_conn_id",
)
_TAIL = 20  # lines of the log that an error has
_SUFFIX = 8  # characters that the parent makes a pod's name unique with
_TERMINATED = 143
_GRACE = 30  # seconds that Kubernetes gives a pod to end, unless told otherwise
_PAUSE, _LONGEST_PAUSE = 2.0, 120.0  # seconds before a pod that found no room is made again
_GO_BACK = {EndKind.PREEMPTED, EndKind.DELETED}
_link = GpuLeaseLink()


class _BackToQueue(Exception):  # noqa: N818 - not an error: it waits again
    """The pod cannot run now; its task goes back into the queue, in its place."""

    def __init__(self, reason: WaitReason, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


class GpuKubernetesPodOperator(KubernetesPodOperator):
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
    :param priority: higher goes first among those that wait; the task's ``priority_weight`` unless
        said. For the cluster's own preemption use ``priority_class_name``.
    :param team: on whose account.
    :param project: for which project.
    :param phase: for which phase of it.
    :param estimate: how many seconds the pod will run.
    :param max_wait: how many seconds to wait for devices at most, over the whole try.
    :param store_conn_id: the connection of the store, of type ``ai_store``.
    """

    template_fields: Sequence[str] = (*KubernetesPodOperator.template_fields, *_FIELDS)
    operator_extra_links = (_link,)
    name: str | None

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
        priority: int | str | None = None,
        team: str | None = None,
        project: str | None = None,
        phase: str | None = None,
        estimate: float | str | None = None,
        max_wait: float | str | None = None,
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
        self.priority = priority
        self.team = team
        self.project = project
        self.phase = phase
        self.estimate = estimate
        self.max_wait = max_wait
        self.store_conn_id = store_conn_id
        self._lease: LeaseRecord | None = None
        self._ticket: Ticket | None = None
        self._ticket_id: str | None = None
        self._is_going_back = False
        self._wait = Wait()
        self._preemptions = 0
        self._refused = 0  # how often the scheduler found no room for the pod
        self._is_waiting = False
        self._not_started = ""
        self._count = 1
        self._namespace = "default"
        self._ended: V1Pod | None = None

    # --- what the pod is --------------------------------------------------------------------------

    def build_pod_request_obj(
        self, context: Context | None = None, *, dry_run: bool = False
    ) -> V1Pod:
        """Return the pod as the parent builds it, with its GPUs and where they may be."""
        given = {"dry_run": True} if dry_run else {}
        pod = copy.deepcopy(super().build_pod_request_obj(context, **given))
        container, resource = self.base_container_name, str(self.gpu_resource)
        asked = None if self.gpus is None else GpuRequest.of(gpus=self.gpus).gpus
        self._count = gpus_of(pod, container, resource, asked)
        add_gpus(pod, container, resource, self._count)
        require(
            pod,
            card_expressions(resource, model=self.gpu_model, min_memory=self.min_gpu_memory),
        )
        share_memory(pod, container, self.shared_memory)
        if self.kueue_queue:
            pod.metadata.labels[KUEUE_LABEL] = self.kueue_queue
        return pod

    def _named(self, pod: V1Pod, identity: str) -> None:
        """Make the pod's name say whose it is: there can be no second one of the same name."""
        if self.random_name_suffix:
            suffix = hashlib.sha256(identity.encode()).hexdigest()[:_SUFFIX]
            pod.metadata.name = pod.metadata.name[:-_SUFFIX] + suffix

    # --- getting in -------------------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Get devices, or defer until there are some, and run the pod on them."""
        while True:  # once for each time that the pod goes back into the queue
            try:
                self._admit(context)
                return super().execute(context)
            except _BackToQueue as back:  # noqa: PERF203 - it costs nothing beside a pod
                self._go_back(back)
                self._pause(back.reason)
            except ClusterQuotaError as error:
                self._go_back(_BackToQueue(WaitReason.NAMESPACE_QUOTA, str(error)))
                self._wait_for_quota()
            except GpuWaitTimeoutError:
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

    def execute_with_lease(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back with the ticket after the admission's trigger fired."""
        self._take_up(event["carried"])
        if event["outcome"] == "timeout":
            self._cluster.leases.withdraw(event["ticket"], reason="waited longer than max_wait")
            raise self._too_long(event["reason"])
        return self.execute(context)

    def _admit(self, context: Context) -> None:
        """Find the pod of an earlier leg or try, or get a lease for a new one."""
        self.name = self._set_name(self.name)
        self.pod_request_obj = self.build_pod_request_obj(context)
        self._namespace = self.pod_request_obj.metadata.namespace
        there = self._find_ours(context)
        if there is not None:
            self._take_over(there, context)
            self.pod = there
            return
        ti = context["ti"]
        if self.kueue_queue:
            self._named(self.pod_request_obj, f"{ti.id}:{self._preemptions}")
            return
        self._ticket = self._make_ticket(context)
        self._ticket_id = self._ticket.id
        ti.xcom_push(key=_link.xcom_key, value=_link.get_link(self, ti_key=ti))
        self._cluster.look()
        self._lease = self._acquire(self._ticket)
        ti.xcom_push(key="gpu_lease_id", value=self._lease.id)
        node = self._cluster.leases.node_of(self._lease)
        self.log.info(
            "Holding %s of node %s, lease %s", self._lease.devices, node, self._lease.mark
        )
        # where that node had no room before, the scheduler knows of more than devices
        stamp(self.pod_request_obj, self._lease.mark, None if self._refused else node)
        self._named(self.pod_request_obj, self._lease.mark)

    def _find_ours(self, context: Context) -> V1Pod | None:
        if not self.reattach_on_restart:
            return None
        pod = self._get_pod_from_task_state_store(context)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            pod = self.find_pod(self._namespace, context=context)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return None
        if pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}:
            self._ended = pod
            return None
        return pod

    def _take_over(self, pod: V1Pod, context: Context) -> None:
        """Go on with the lease of a pod that another leg or try of this task made."""
        mark = parse_mark((pod.metadata.annotations or {}).get(LEASE_ANNOTATION))
        if mark is not None:
            self._lease = self._cluster.leases.adopt(*mark, identity_of(context))
            self._hold(pod)

    def _make_ticket(self, context: Context) -> Ticket:
        request = GpuRequest.of(
            gpus=self._count,
            gpu_pool=self.gpu_pool,
            priority=self.priority_weight if self.priority is None else self.priority,
            team=self.team,
            project=self.project,
            phase=self.phase,
            estimate=self.estimate,
            max_wait=self.max_wait,
        )
        document = self.hook.api_client.sanitize_for_serialization(self.pod_request_obj)
        where = placement_of(
            document, cluster=self._cluster.cluster, resource=str(self.gpu_resource)
        )
        task = identity_of(context)
        self._wait.begin(request.max_wait)
        return self._cluster.ticket(
            replace(request, placement=where), holder=f"ti:{task.ti_id}", task=task
        )

    def _acquire(self, ticket: Ticket) -> LeaseRecord:
        asked = self._cluster.ask(ticket)
        if asked.lease is not None:
            return asked.lease
        if self.deferrable:
            self.log.info("Waiting for %s", ticket.request.describe())
            self._defer_admission(ticket.id)
        self._is_waiting = True
        try:
            return acquire_in_process(self._cluster, ticket, self._wait, too_long=self._too_long)
        except BaseException:
            self._withdraw("the one who asked gave up")
            raise
        finally:
            self._is_waiting = False

    def _defer_admission(self, ticket: str, parked: dict[str, Any] | None = None) -> NoReturn:
        from airflow_ai_provider.triggers.gpu_kubernetes import GpuClusterTrigger

        # the first leg's supervisor looks once a heartbeat; until then Airflow thinks it runs
        heartbeat = conf.getint("workers", "min_heartbeat_interval", fallback=5)
        raise TaskDeferred(
            trigger=GpuClusterTrigger(
                ticket=ticket,
                not_before=time.time() + heartbeat + 1,
                deadline=self._wait.deadline,
                waiting_since=self._wait.since,
                store_conn_id=self.store_conn_id,
                resource=str(self.gpu_resource),
                access=self._access.document,
                parked=parked,
                carried=self._carried,
            ),
            method_name="execute_with_lease",
        )

    def _pause(self, reason: WaitReason) -> None:
        """Let a while pass before a pod is made again that found no room; others go ahead."""
        if reason is not WaitReason.NO_ROOM_ON_NODE:
            return
        self._refused += 1
        seconds = min(_LONGEST_PAUSE, _PAUSE * 2 ** (self._refused - 1))
        if self._wait.left <= 0:
            self._withdraw("waited longer than max_wait")
            raise self._too_long(reason.value)
        if self._ticket_id is not None and self.deferrable:
            self._defer_admission(self._ticket_id, {"reason": reason.value, "pause": seconds})
        self._is_waiting = True
        try:
            time.sleep(min(seconds, max(0.0, self._wait.left)))
        finally:
            self._is_waiting = False

    def _wait_for_quota(self) -> None:
        """Wait for the namespace's quota: the ticket keeps its place, others may go ahead."""
        namespace = self._namespace
        if self._ticket_id is not None and self.deferrable:
            reason = WaitReason.NAMESPACE_QUOTA.value
            parked = {"reason": reason, "namespace": namespace, "gpus": self._count}
            self._defer_admission(self._ticket_id, parked)
        self._is_waiting = True
        try:
            wait_for_quota(
                self._cluster, namespace, self._count, self._wait, too_long=self._too_long
            )
        finally:
            self._is_waiting = False

    def _go_back(self, back: _BackToQueue) -> None:
        self.log.info("Back to the queue: %s", back.why)
        if self._ticket_id is not None:
            self._cluster.leases.back(self._ticket_id, reason=back.reason.value)
        self._is_going_back = False
        self._lease = None
        self.pod = self.remote_pod = self.pod_request_obj = None
        self.pod_manager.follows = False

    # --- the pod's life ---------------------------------------------------------------------------

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Make the pod and write down that it holds the lease.

        One of this task that runs was found before; one that has ended goes, unless it is kept.
        """
        if self._ended is not None and not self.process_pod_deletion(self._ended):
            return self._ended
        made = self.pod_manager.create_pod(pod_request_obj)
        self._hold(made)
        if self.reattach_on_restart:
            self._persist_pod_identity_to_task_state_store(context, made)
        return made

    def _hold(self, pod: V1Pod) -> None:
        if self._lease is None:
            return
        meta = pod.metadata
        path = f"{meta.namespace}/{meta.name}/{meta.uid}"
        try:
            self._cluster.leases.hold(self._lease, path)
        except AirflowAiError:
            self._api.delete_pod(meta.namespace, meta.name, meta.uid)
            raise
        self._lease = replace(self._lease, pod=path)

    def await_pod_start(self, pod: V1Pod) -> None:
        """Wait for the pod to run: a gate, a queue and want of room count for no limit.

        :raises PodEndedError: it will not start, or not in time.
        """
        clock = StartClock(
            leased=self._lease is not None,
            schedule_timeout=self.schedule_timeout_seconds,
            startup_timeout=self.startup_timeout_seconds,
        )
        said = ""
        while True:
            document = self._read(pod)
            standing = None if document is None else standing_of(document)
            decision = clock.decide(standing, time.monotonic())
            if decision.verdict is Verdict.STARTED:
                self.pod_manager.follows = True
                return
            if decision.verdict is Verdict.BACK:
                reason = WaitReason.NO_ROOM_ON_NODE if document else WaitReason.PREEMPTED
                if document is None:
                    self._count_preemption(decision.why)
                self._remove(pod)
                self._is_going_back = True
                raise _BackToQueue(reason, f"pod {pod.metadata.name}: {decision.why}")
            if decision.verdict is Verdict.FAIL:
                self._not_started = decision.why
                if self.log_events_on_failure:
                    self._read_pod_events(pod, reraise=False)
                raise PodEndedError(
                    f"Pod {pod.metadata.name} did not start: {decision.why}.",
                    kind=EndKind.NOT_STARTED.value,
                )
            if decision.why != said:
                said = decision.why
                self.log.info("Pod %s waits: %s", pod.metadata.name, self._explained(said, pod))
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
        ending, lines = self._how_it_ended(remote_pod)
        if ending.kind in _GO_BACK and self._preemptions < self.max_preemptions:
            self._count_preemption(ending.sentence)
            self._remove(remote_pod)
            raise _BackToQueue(WaitReason.PREEMPTED, ending.sentence)
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
            trigger = GpuPodTrigger(leased=self._lease is not None, **arguments)
        super().defer(trigger=trigger, **kwargs)
        raise AssertionError("defer returned")

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the pod has ended, or cannot run."""
        self._recall(event)
        outcome, why = event.get("gpu_outcome"), event.get("gpu_why") or ""
        document = self._api.pod(event["namespace"], event["name"])
        try:
            if document is None and event["status"] != "success":
                self._count_preemption(why or "it is gone")
                raise _BackToQueue(WaitReason.PREEMPTED, f"pod {event['name']} is gone")
            if document is None:
                self._give_back("its pod has ended")
            elif outcome is not None:
                pod = self.hook.get_pod(event["name"], event["namespace"])
                if outcome == "back":
                    self._remove(pod)
                    raise _BackToQueue(WaitReason.NO_ROOM_ON_NODE, why)
                self.pod = pod
                self.cleanup(pod, pod, None, context)
            return super().trigger_reentry(context, event)
        except _BackToQueue as back:
            self._go_back(back)
            self._pause(back.reason)
        return self.execute(context)

    # --- how it ends ------------------------------------------------------------------------------

    def _how_it_ended(self, pod: V1Pod) -> tuple[Ending, list[str]]:
        """Return how the pod ended, and the last lines of its log where it failed by itself."""
        document, name = self._read(pod), f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        if document is None:
            gone = f"{name} is gone: somebody else deleted it."
            return Ending(kind=EndKind.DELETED, sentence=gone), []
        trouble = ""
        node = (document.get("spec") or {}).get("nodeName")
        if node and document["status"].get("phase") not in {"Succeeded", "Failed"}:
            trouble = node_trouble(self._api, node)
        ending = ending_of(document, container=self.base_container_name, node_trouble=trouble)
        if ending.kind is EndKind.NOT_STARTED and self._not_started:
            sentence = f"{name} did not start: {self._not_started}."
            ending = Ending(kind=EndKind.NOT_STARTED, sentence=sentence)
        wants_log = ending.kind in {EndKind.FAILED, EndKind.OUT_OF_MEMORY}
        return ending, self._tail(pod) if wants_log else []

    def _tail(self, pod: V1Pod) -> list[str]:
        try:
            answer = self.client.read_namespaced_pod_log(
                name=pod.metadata.name,
                namespace=pod.metadata.namespace,
                container=self.base_container_name,
                tail_lines=_TAIL,
                _preload_content=False,
                _request_timeout=(5.0, 10.0),
            )
            return str(answer.data.decode(errors="backslashreplace")).splitlines()
        except Exception as error:  # noqa: BLE001 - the log is a help, not the verdict
            self.log.warning("The last lines of its log cannot be read: %s", error)
            return []

    def _fail(self, ending: Ending, lines: list[str], error: AirflowException) -> NoReturn:
        if ending.kind is EndKind.SUCCEEDED:  # its work is done; what failed came after
            raise error
        tail = "\nThe last lines of its log:\n" + "\n".join(lines) if lines else ""
        because = PodEndedError(
            ending.sentence + tail,
            kind=ending.kind.value,
            exit_code=ending.exit_code,
            lines=lines,
        )
        said = str(error) if self.log_pod_spec_on_failure else ""
        raise AirflowException("\n".join(filter(None, [str(because), said]))) from because

    def _give_back(self, why: str) -> None:
        if self._lease is None:
            return
        try:
            self._cluster.end(self._lease, reason=why[:200])
        except AirflowAiError as error:  # whoever looks next sees that its pod is gone
            self.log.warning("Lease %s is not released yet: %s", self._lease.id, error)
        self._lease = None

    def _remove(self, pod: V1Pod) -> None:
        """Delete this very pod, whatever ``on_finish_action`` says: another takes its place."""
        document = self._read(pod)
        if document is not None:
            self.patch_already_checked(pod, reraise=False)  # nobody is to find it again
            meta = document["metadata"]
            self._api.delete_pod(meta["namespace"], meta["name"], meta["uid"])
            self._wait_until_gone(pod, meta["uid"])

    def _wait_until_gone(self, pod: V1Pod, uid: str) -> None:
        """Wait a grace period: its devices are not free before, whatever the store says."""
        grace = self.termination_grace_period
        ends = time.monotonic() + (_GRACE if grace is None else grace) + 1
        while time.monotonic() < ends:
            document = self._read(pod)
            if document is None or document["metadata"]["uid"] != uid:
                return
            time.sleep(0.3)

    def _read(self, pod: V1Pod) -> dict[str, Any] | None:
        """Return the pod's JSON; what may pass is waited out."""
        while True:
            try:
                return self._api.pod(pod.metadata.namespace, pod.metadata.name)
            except ClusterUnavailableError as error:  # noqa: PERF203 - that is what is waited out
                self.log.warning("Looking again: %s", error)
                time.sleep(1.0)

    def _count_preemption(self, why: str) -> None:
        self._preemptions += 1
        if self._preemptions > self.max_preemptions:
            raise PodEndedError(
                f"The pod was taken away {self._preemptions} times; the last time: {why}",
                remedy="Raise max_preemptions, or its priority class.",
                kind=EndKind.PREEMPTED.value,
            )
        self.log.info("Taken away, %d of %d: %s", self._preemptions, self.max_preemptions, why)

    def _recall(self, event: dict[str, Any]) -> None:
        """Take up again what an earlier leg knew."""
        self._take_up(event.get("gpu_carried") or {})
        if event.get("gpu_outcome") == "failed":
            self._not_started = event.get("gpu_why") or ""
        mark = parse_mark(event.get("gpu_lease"))
        self._lease = None if mark is None else self._cluster.leases.lease_of(mark)
        self._ticket_id = self._lease.request_id if self._lease else None

    @property
    def _carried(self) -> dict[str, Any]:
        """What the next leg has to know of this one."""
        return {
            "preemptions": self._preemptions,
            "refused": self._refused,
            "waiting_since": self._wait.since,
            "deadline": self._wait.deadline,
        }

    def _take_up(self, carried: dict[str, Any]) -> None:
        self._preemptions = int(carried.get("preemptions", 0))
        self._refused = int(carried.get("refused", 0))
        if carried:
            self._wait = Wait(since=carried["waiting_since"], deadline=carried["deadline"])

    def _withdraw(self, why: str) -> None:
        if self._ticket_id is not None and self.pod is None:
            self._cluster.leases.withdraw(self._ticket_id, reason=why[:500])

    def _too_long(self, reason: str) -> GpuWaitTimeoutError:
        from airflow_ai_provider.services.gpu import waited_too_long

        request = self._ticket.request if self._ticket else GpuRequest.of(max_wait=self.max_wait)
        return waited_too_long(request, reason)

    def _explained(self, why: str, pod: V1Pod) -> str:
        """Return ``why`` with what Kueue says of it."""
        if not self.kueue_queue:
            return why
        try:
            return kueue_says(self._api.workloads(pod.metadata.namespace), pod.metadata.name) or why
        except ClusterError as error:
            return f"{why} (nothing is known of its Workload: {error})"

    # --- the ways there ---------------------------------------------------------------------------

    @cached_property
    def hook(self) -> Any:
        """The parent's, which reads a pod again when the API server could not just then."""
        hook = KubernetesPodOperator.hook.func(self)
        hook.get_pod = generic_api_retry(hook.get_pod)
        return hook

    @cached_property
    def pod_manager(self) -> GpuPodManager:
        """The parent's, which also knows of nodes and of pods that were made already."""
        return GpuPodManager(api=self._api, kube_client=self.client, callbacks=self.callbacks)

    @property
    def _api(self) -> KubernetesApi:
        return KubernetesApi(self.hook.api_client)

    @cached_property
    def _cluster(self) -> ClusterPool:
        pool = GpuPoolHook(self.store_conn_id).get_conn()
        return cluster_of(pool, self.hook.api_client, resource=str(self.gpu_resource))

    @property
    def _access(self) -> ClusterAccess:
        self.convert_config_file_to_dict()
        extras: dict[str, Any] | None = None
        if self.kubernetes_conn_id:
            try:
                extras = BaseHook.get_connection(self.kubernetes_conn_id).extra_dejson
            except AirflowNotFoundException:
                self.log.debug("There is no connection %s", self.kubernetes_conn_id)
        return ClusterAccess(
            config_dict=self._config_dict,
            cluster_context=self.cluster_context,
            in_cluster=self.in_cluster,
            connection_extras=extras,
        )
