"""How a pod is admitted: a lease before it is made, waits with a reason, a place that is kept."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ai_provider.core.errors import AirflowAiError, ClusterUnavailableError
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason, sentence

if TYPE_CHECKING:
    from airflow_ai_provider.core.gpu.lease import LeaseRecord, Ticket
    from airflow_ai_provider.services.gpu_cluster import ClusterPool

log = logging.getLogger(__name__)

_LOOK_AGAIN = 3.0
_SAY_AGAIN = 30.0


@dataclass(kw_only=True)
class Wait:
    """What a task waits for and since when; moments are seconds since 1970."""

    since: float = 0.0
    deadline: float | None = None
    reason: str = ""

    def begin(self, max_wait: float | None) -> None:
        """Begin to count, unless it has begun: ``max_wait`` seconds are for the whole try."""
        if not self.since:
            self.since = time.time()
            self.deadline = None if max_wait is None else self.since + max_wait

    @property
    def left(self) -> float:
        """How many seconds it may still wait."""
        return math.inf if self.deadline is None else self.deadline - time.time()


def acquire_in_process(
    cluster: ClusterPool, ticket: Ticket, wait: Wait, *, too_long: Callable[[str], Exception]
) -> LeaseRecord:
    """Wait in this process until the ticket has its lease.

    :raises GpuRequestError: it can never be met.
    """
    from airflow_ai_provider.services.cluster_watch import cluster_watch
    from airflow_ai_provider.services.gpu_waiting import watch_of

    with cluster_watch(cluster):
        while True:
            asked = cluster.ask(ticket)
            if asked.lease is not None:
                return asked.lease
            if asked.reason != wait.reason:
                wait.reason = asked.reason
                log.info("Waiting: %s", sentence(asked.reason))
            if wait.left <= 0:
                raise too_long(asked.reason)
            seconds = min(wait.left, _SAY_AGAIN)
            try:
                watch_of(cluster.pool).wait(ticket.id, timeout=seconds)
            except AirflowAiError as error:
                log.warning("Asking again: %s", error)
                time.sleep(min(seconds, 1.0))


def wait_for_quota(
    cluster: ClusterPool,
    namespace: str,
    gpus: int,
    wait: Wait,
    *,
    too_long: Callable[[str], Exception],
) -> None:
    """Wait in this process until the namespace's quotas leave room for so many devices."""
    log.info("Waiting: %s", sentence(WaitReason.NAMESPACE_QUOTA.value))
    while True:
        try:
            room = cluster.room_in(namespace)
        except ClusterUnavailableError as error:
            log.warning("Looking at the quota again: %s", error)
            room = 0.0
        if room is None or room >= gpus:
            return
        if wait.left <= 0:
            raise too_long(WaitReason.NAMESPACE_QUOTA.value)
        time.sleep(min(_LOOK_AGAIN, max(0.0, wait.left)))
