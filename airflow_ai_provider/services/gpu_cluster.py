"""The GPU slots of a Kubernetes cluster: its inventory, and leases that pods hold.

Whoever asks looks at the cluster first, and writes down what it found: devices, leases whose pods
are gone, pods whose leases are. So no process need run for it; where one waits, it watches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from airflow_ai_provider.core.errors import ClusterError, GpuRequestError
from airflow_ai_provider.core.gpu.cluster import (
    DEFAULT_RESOURCE,
    ClusterPod,
    Node,
    devices_of,
    host_name,
    node_of,
    pod_of,
    quantity,
    taken_by_others,
)
from airflow_ai_provider.core.gpu.devices import Device
from airflow_ai_provider.core.gpu.lease import LeaseRecord, TaskIdentity, Ticket, parse_mark
from airflow_ai_provider.core.gpu.node_groups import COMING, NodeGroup, groups_of, of_cluster
from airflow_ai_provider.core.gpu.pod_moves import Move, moves_of
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.core.gpu.states import LeaseState, RequestState
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason
from airflow_ai_provider.services.gpu import CLAIM_WITHIN, GpuPool
from airflow_ai_provider.store.gpu_asking import Asked
from airflow_ai_provider.store.gpu_cluster import ClusterStore, Judged
from airflow_ai_provider.store.gpu_turns import Turns

log = logging.getLogger(__name__)

_WRITE_AGAIN = 30.0  # seconds after which what was written is written again
_RENEW_AFTER = 60.0
_ROOM_FOR = 2.0


class ClusterApi(Protocol):
    """What the pool needs of ``adapters.kubernetes.KubernetesApi``."""

    @property
    def address(self) -> str: ...

    def identity(self) -> str: ...

    def nodes(self) -> tuple[list[dict[str, Any]], str]: ...

    def pods(self) -> tuple[list[dict[str, Any]], str]: ...

    def quotas(self, namespace: str) -> tuple[list[dict[str, Any]], str]: ...

    def watch_nodes(self, version: str, seconds: int) -> Iterable[tuple[str, dict[str, Any]]]: ...

    def watch_pods(self, version: str, seconds: int) -> Iterable[tuple[str, dict[str, Any]]]: ...

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None: ...

    def delete_pod(self, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None: ...


class ClusterPool:
    """The devices of one resource of one cluster, in the store of ``pool``."""

    def __init__(self, pool: GpuPool, api: ClusterApi, *, resource: str) -> None:
        self.pool = pool
        self.api = api
        self.resource = resource
        self.leases = ClusterStore(pool.gpu.store, Turns(pool.gpu.store, clock=pool.gpu.clock))
        self._written: dict[str, tuple[Device, ...]] = {}
        self._written_at = 0.0
        self._seen_at: dict[str, float] = {}
        self._rooms: dict[str, tuple[float, float | None]] = {}
        self._looking = threading.Lock()

    @cached_property
    def identity(self) -> str:
        """The cluster's UID: another one is another cluster, of whatever name."""
        return self.api.identity()

    @cached_property
    def groups(self) -> tuple[NodeGroup, ...]:
        """The groups of nodes that autoscalers make, with the resource, as the settings say.

        :raises SettingsError: the setting ``node_groups`` means nothing.
        """
        said = groups_of(self.pool.settings.node_groups)
        return of_cluster(said, cluster=self.cluster, resource=self.resource)

    def group(self, name: str) -> NodeGroup | None:
        """Return a group by its name; None when it is declared no longer."""
        return next((group for group in self.groups if group.name == name), None)

    @property
    def cluster(self) -> str:
        """The first part of the names of its hosts in the store."""
        return f"k8s-{self.identity[:8]}"

    def ticket(
        self, request: GpuRequest, *, holder: str, task: TaskIdentity | None = None
    ) -> Ticket:
        """Return the ticket of ``holder`` for devices of whatever node."""
        return Ticket(
            holder=holder,
            request=request,
            task=task or TaskIdentity(),
            claim_within=CLAIM_WITHIN,
        )

    def ask(self, ticket: Ticket) -> Asked:
        """Present a ticket; with a lease in the answer its pod may be made.

        :raises GpuRequestError: it can never be met.
        :raises LeaseLostError: a newer try of the same task took its place.
        """
        return self.ask_all([ticket])[0]

    def ask_all(self, tickets: Sequence[Ticket]) -> list[Asked]:
        """Present the tickets of a gang: with a lease in all answers their pods may be made.

        :raises GpuRequestError: they can never be met.
        :raises LeaseLostError: a newer try of the same task took their place.
        """
        asked = self.leases.ask_all(tickets)
        for one in asked:
            if one.state is RequestState.REFUSED:
                raise GpuRequestError(
                    f"{one.reason} It is asked for as {self.resource} in the cluster "
                    f"{self.cluster}.",
                    remedy="Run `airflow-ai gpu status` to see which nodes there are.",
                )
        return asked

    def gang(
        self, request: GpuRequest, size: int, *, holder: str, task: TaskIdentity | None = None
    ) -> list[Ticket]:
        """Return the tickets of ``holder`` for ``size`` pods that are served together or not."""
        together = replace(request, gang=holder, gang_size=size)
        ticket = self.ticket(together, holder=holder, task=task)
        return [replace(ticket, name=f"gpu-{number}") for number in range(size)]

    def look(self, *, checked: bool = True) -> None:
        """Look at the cluster as it is now, and write down what follows.

        Unless ``checked``, it may be that no node has the resource any more.

        :raises ClusterError: it does not answer, or not to us.
        :raises GpuRequestError: no node has the resource.
        """
        before = self.leases.leases(self.cluster)  # first: a pod of theirs that lives is listed
        nodes = [node_of(document) for document in self.api.nodes()[0]]
        if checked:
            self._check_resource(nodes)
        pods = [pod_of(document) for document in self.api.pods()[0]]
        self.settle(nodes, pods, before)

    def settle(
        self, nodes: Iterable[Node], pods: Iterable[ClusterPod], before: Iterable[LeaseRecord]
    ) -> None:
        """Write down what is seen of the cluster; ``before`` are the leases before it was seen."""
        nodes, pods, before = list(nodes), list(pods), list(before)
        now = self.leases.leases(self.cluster)  # last: no pod is older than its lease
        judged = self._judge([record for record in before if self._is_mine(record)], pods)
        # of what ends now others may have the devices already: who took them away, for one
        mine = [r for r in now if self._is_mine(r) and (r.id, r.fence) not in judged.ended]
        moves = self._moves(nodes, pods, mine)
        judged = replace(judged, moves=moves)
        moved = {move.lease_id: move for move in moves}
        mine = [r if r.id not in moved else moved[r.id].of(r) for r in mine]
        devices = self._fresh(self._devices(nodes, pods, mine))
        self.leases.settle(devices, judged, boot_id=self.identity)
        self._written |= devices
        self._reap(pods, [*before, *now])

    def room_in(self, namespace: str) -> float | None:
        """Return how many devices the namespace's quotas leave; None for no limit.

        All that wait in this process share one look every few seconds.
        """
        with self._looking:
            at, room = self._rooms.get(namespace, (-_ROOM_FOR, None))
            if time.monotonic() - at >= _ROOM_FOR:
                room = self._ask_room(namespace)
                self._rooms[namespace] = (time.monotonic(), room)
            return room

    def _ask_room(self, namespace: str) -> float | None:
        name = f"requests.{self.resource}"
        left = []
        for quota in self.api.quotas(namespace)[0]:
            status = quota.get("status") or {}
            hard = status.get("hard") or quota["spec"]["hard"]
            if name in hard:
                left.append(
                    quantity(hard[name]) - quantity((status.get("used") or {}).get(name, 0))
                )
        return min(left, default=None)

    def end(self, record: LeaseRecord, *, reason: str) -> None:
        """Release a lease whose pod is known to be gone or over; else leave it in doubt.

        A pod that is on its way out keeps its devices until it is gone.
        """
        why = self._why_gone(record)
        if why is None:
            self.leases.doubt(record, reason=f"{reason}; its pod is not gone yet")
            return
        ended = {(record.id, record.fence): reason}
        self.leases.settle({}, Judged(alive={}, ended=ended), boot_id=self.identity)

    # --- what a look means --------------------------------------------------------------------

    def _is_mine(self, record: LeaseRecord) -> bool:
        return all(name.rpartition(":")[0] == self.resource for name in record.devices)

    def _moves(
        self, nodes: list[Node], pods: list[ClusterPod], mine: list[LeaseRecord]
    ) -> list[Move]:
        hosts = {host_name(self.cluster, node.name, self.resource): node for node in nodes}
        node_of_pod = {pod.path: pod.node for pod in pods if pod.node and not pod.is_over}
        bound = {
            record.id: host_name(self.cluster, name, self.resource)
            for record in mine
            if (name := node_of_pod.get(record.pod or "")) is not None
        }
        return moves_of(mine, hosts, bound, resource=self.resource)

    def _coming(self, nodes: list[Node], mine: list[LeaseRecord]) -> list[Node]:
        """Return the nodes that autoscalers have yet to make."""
        held: dict[str, int] = {}
        for record in mine:
            name = self._node_name(record.host)
            held[name] = held.get(name, 0) + len(record.devices)
        return [node for group in self.groups for node in group.coming(nodes, held)]

    def _node_name(self, host: str) -> str:
        name = host.removeprefix(f"{self.cluster}/")
        return name if self.resource == DEFAULT_RESOURCE else name.rpartition(":")[0]

    def _devices(
        self, nodes: list[Node], pods: list[ClusterPod], mine: list[LeaseRecord]
    ) -> dict[str, tuple[Device, ...]]:
        every = [*nodes, *self._coming(nodes, mine)]
        hosts = {host_name(self.cluster, node.name, self.resource): node for node in every}
        held: dict[str, set[str]] = {}
        on_node = {}
        for record in mine:
            held.setdefault(record.host, set()).update(record.devices)
            if record.host in hosts:
                on_node[record.mark] = hosts[record.host].name
        taken = taken_by_others(nodes, pods, resource=self.resource, leases=on_node)
        known = self._hosts()
        found = {
            name: devices_of(
                node,
                cluster=self.cluster,
                resource=self.resource,
                taken=taken.get(node.name, 0),
                held=held.get(name, ()),
            )
            for name, node in hosts.items()
            if node.allocatable.get(self.resource) or name in known
        }
        return found | dict.fromkeys(known - found.keys(), ())

    def _hosts(self) -> set[str]:
        named = self.leases.hosts(self.cluster)
        default = host_name(self.cluster, "", self.resource) == f"{self.cluster}/"
        suffix = "" if default else f":{self.resource}"
        return {n for n in named if n.endswith(suffix) and (suffix or ":" not in n)}

    def _fresh(self, devices: Mapping[str, tuple[Device, ...]]) -> dict[str, tuple[Device, ...]]:
        """Return what of ``devices`` this process has not written just so a moment ago."""
        if time.monotonic() - self._written_at > _WRITE_AGAIN:
            self._written, self._written_at = {}, time.monotonic()
        return {name: d for name, d in devices.items() if self._written.get(name) != d}

    def _judge(self, mine: list[LeaseRecord], pods: list[ClusterPod]) -> Judged:
        by_mark = {pod.mark: pod for pod in pods if pod.mark}
        by_uid = {pod.uid: pod for pod in pods}
        now = time.monotonic()
        alive, ended, waits = {}, {}, {}
        for record in mine:
            pod = by_uid.get((record.pod or "").rpartition("/")[2]) or by_mark.get(record.mark)
            if pod is None and (why := self._why_gone(record)) is not None:
                ended[record.id, record.fence] = why
            elif record.pod is not None and self._is_due(record, now):
                alive[record.id] = record.fence
                self._seen_at[record.id] = now
                if pod is not None and pod.node is None and COMING in record.host:
                    waits[record.id] = WaitReason.NODE_COMING.sentence.rstrip(".")
        return Judged(alive=alive, ended=ended, waits=waits)

    def _is_due(self, record: LeaseRecord, now: float) -> bool:
        if record.state is LeaseState.SUSPECT:
            return not record.revoked
        return now - self._seen_at.get(record.id, -_RENEW_AFTER) >= _RENEW_AFTER

    def _why_gone(self, record: LeaseRecord) -> str | None:
        """Return why the pod of a lease is no more; None when it may be there, or may come."""
        if record.state is LeaseState.GRANTED:
            return None
        if record.pod is None:
            return "its pod was never made" if record.state is LeaseState.SUSPECT else None
        namespace, name, uid = record.pod.split("/", 2)
        document = self.api.pod(namespace, name)
        if document is None or document["metadata"]["uid"] != uid:
            return "its pod is gone"
        return "its pod has ended" if pod_of(document).is_over else None

    def _reap(self, pods: list[ClusterPod], before: list[LeaseRecord]) -> None:
        """Delete pods that nobody waits for: their leases have ended, or are a newer try's."""
        live = {record.mark: record for record in before}
        marks = {
            mark: pod
            for pod in pods
            if not pod.deleting
            and not pod.is_over
            and pod.mark is not None
            and (mark := parse_mark(pod.mark)) is not None
            and pod.mark not in live
        }
        orphans = [marks[mark] for mark in self.leases.ended(list(marks))]
        orphans += [
            pod
            for pod in pods
            if pod.mark in live and live[pod.mark].revoked and not pod.deleting and not pod.is_over
        ]
        for pod in orphans:
            log.warning("Deleting pod %s/%s: no task waits for it", pod.namespace, pod.name)
            try:
                self.api.delete_pod(pod.namespace, pod.name, pod.uid)
            except ClusterError as error:  # the next look sees it again
                log.warning("Pod %s/%s is not deleted: %s", pod.namespace, pod.name, error)

    def _check_resource(self, nodes: list[Node]) -> None:
        there = {name for node in nodes for name, count in node.allocatable.items() if count}
        there |= {group.resource for group in self.groups}
        if self.resource not in there:
            others = ", ".join(sorted(name for name in there if "/" in name)) or "none"
            raise GpuRequestError(
                f"No node of the cluster {self.cluster} has {self.resource!r}; there is: {others}.",
                remedy="Correct gpu_resource, or look whether the device plugin runs on the nodes.",
            )
