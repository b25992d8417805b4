"""How a pod with GPUs gets in: found again, leased, parked, or sent back into the queue."""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import TaskDeferred
from kubernetes.client.exceptions import ApiException

from airflow_ai_provider.adapters.kubernetes_refusals import refuse
from airflow_ai_provider.core.errors import AirflowAiError, GpuRequestError, GpuWaitTimeoutError
from airflow_ai_provider.core.gpu.cluster import LEASE_ANNOTATION
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Ticket, parse_mark
from airflow_ai_provider.core.gpu.pod_life import KUEUE_LABEL
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason
from airflow_ai_provider.hooks.gpu import identity_of
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_pod import (
    add_gpus,
    card_expressions,
    gpus_of,
    own,
    require,
    share_memory,
    stamp,
)
from airflow_ai_provider.operators._gpu_pod_access import PodAccess
from airflow_ai_provider.operators._gpu_pod_waiting import Wait, acquire_in_process, wait_for_quota

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

_SUFFIX = 8  # characters that the parent makes a pod's name unique with
_PAUSE, _LONGEST_PAUSE = 2.0, 120.0  # seconds before a pod that found no room is made again
_link = GpuLeaseLink()


class BackToQueue(Exception):  # noqa: N818 - not an error: it waits again
    """The pod cannot run now; its task goes back into the queue, in its place."""

    def __init__(self, reason: WaitReason, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why


class AdmittedPod(PodAccess):
    """A pod that is made once there are devices for it."""

    name: str | None
    gpus: int | str | None
    gpu_model: str | list[str] | None
    min_gpu_memory: str | None
    shared_memory: str | None
    capacity: str
    node_timeout: float

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lease: LeaseRecord | None = None
        self._ticket: Ticket | None = None
        self._ticket_id: str | None = None
        self._wait = Wait()
        self._preemptions = 0
        self._refused = 0  # how often the scheduler found no room for the pod
        self._is_waiting = False
        self._is_going_back = False
        self._awaits_node = False  # the lease is on a node that an autoscaler is to make
        self._count = 1
        self._namespace = "default"
        self._ended: V1Pod | None = None

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
        own(self.pod_request_obj, identity_of(context))
        self._namespace = self.pod_request_obj.metadata.namespace
        self.log.debug("In the cluster %s", self._cluster.identity)  # which must answer first
        self._check_capacity()
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
        self._bind(self.pod_request_obj, self._lease)
        self._named(self.pod_request_obj, self._lease.mark)

    def _bind(self, pod: V1Pod, record: LeaseRecord) -> None:
        """Let the pod go where its lease is: to a node, or into a group that is to grow."""
        node = self._cluster.leases.node_of(record)
        name = node.name if node else None
        self.log.info("Holding %s of node %s, lease %s", record.devices, name, record.mark)
        if node is not None and node.group:
            self._awaits_node, name = True, None
            group = self._cluster.group(node.group)
            labels = group.labels if group else ()
            require(pod, [{"key": k, "operator": "In", "values": [v]} for k, v in labels])
        # where that node had no room before, the scheduler knows of more than devices
        stamp(pod, record.mark, None if self._refused else name)

    def _check_capacity(self) -> None:
        if self.capacity not in {"free", "autoscale"}:
            raise GpuRequestError(
                f"capacity={self.capacity!r} means nothing.", remedy="Use 'free' or 'autoscale'."
            )
        if self.capacity == "autoscale" and not self.kueue_queue and not self._cluster.groups:
            raise GpuRequestError(
                f"capacity='autoscale', but no group of nodes with {self.gpu_resource} is declared "
                f"for the cluster {self._cluster.cluster}.",
                remedy="Declare it in [ai_provider] node_groups, with the most nodes it may have.",
            )

    @property
    def _node_timeout(self) -> float | None:
        """How long an autoscaler may take; None when the pod waits for none."""
        by_kueue = self.kueue_queue is not None and self.capacity == "autoscale"
        return self.node_timeout if self._awaits_node or by_kueue else None

    def _find_ours(self, context: Context) -> V1Pod | None:
        if not self.reattach_on_restart:
            return None
        pod = self._get_pod_from_task_state_store(context)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            try:
                pod = self.find_pod(self._namespace, context=context)
            except ApiException as error:
                refuse(error)
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
            if self._lease is not None and pod.spec.node_name is None:
                node = self._cluster.leases.node_of(self._lease)
                self._awaits_node = node is not None and bool(node.group)
            self._hold(pod)

    def _make_ticket(self, context: Context) -> Ticket:
        document = self.hook.api_client.sanitize_for_serialization(self.pod_request_obj)
        may_wait = self.capacity == "autoscale"
        request = self._request(document, self._count, may_wait=may_wait)
        task = identity_of(context)
        self._wait.begin(request.max_wait)
        return self._cluster.ticket(request, holder=f"ti:{task.ti_id}", task=task)

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
        except BaseException:  # a task that is ended must not keep its place
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

    def _go_back(self, back: BackToQueue) -> None:
        self.log.info("Back to the queue: %s", back.why)
        if self._ticket_id is not None:
            self._cluster.leases.back(self._ticket_id, reason=back.reason.value)
        self._is_going_back = self._awaits_node = False
        self._lease = None
        self.pod = self.remote_pod = self.pod_request_obj = None
        self.pod_manager.follows = False

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
            waits = WaitReason.NODE_COMING.sentence.rstrip(".") if self._awaits_node else ""
            self._cluster.leases.hold(self._lease, path, waits=waits)
        except AirflowAiError:
            self._api.delete_pod(meta.namespace, meta.name, meta.uid)
            raise
        self._lease = replace(self._lease, pod=path)

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
        if carried:
            self._preemptions, self._refused = carried["preemptions"], carried["refused"]
            self._wait = Wait(since=carried["waiting_since"], deadline=carried["deadline"])

    def _withdraw(self, why: str) -> None:
        if self._ticket_id is not None and self.pod is None:
            self._cluster.leases.withdraw(self._ticket_id, reason=why[:500])

    def _too_long(self, reason: str) -> GpuWaitTimeoutError:
        from airflow_ai_provider.services.gpu import waited_too_long

        request = self._ticket.request if self._ticket else GpuRequest.of(max_wait=self.max_wait)
        return waited_too_long(request, reason)
