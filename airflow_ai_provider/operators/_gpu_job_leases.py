"""The leases of a Job's pods: all of them in one decision, and given back however it ends."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import TaskDeferred

from airflow_ai_provider.core.errors import GpuWaitTimeoutError
from airflow_ai_provider.core.gpu.lease import LeaseRecord, Ticket
from airflow_ai_provider.core.gpu.request import GpuRequest
from airflow_ai_provider.hooks.gpu import identity_of
from airflow_ai_provider.links.gpu import GpuLeaseLink
from airflow_ai_provider.operators._gpu_gang import Gang
from airflow_ai_provider.operators._gpu_job_following import FollowedJob
from airflow_ai_provider.operators._gpu_pod_waiting import Wait, acquire_in_process

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Job

_link = GpuLeaseLink()


class LeasedJob(FollowedJob):
    """A Job that is made once there are devices for all of its pods."""

    gpus: int | str | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._wait = Wait()
        self._holder = ""
        self._tickets: list[Ticket] = []
        self._leases: list[LeaseRecord] = []
        self._is_waiting = False

    def _take_leases(self, job: V1Job, context: Context) -> None:
        self.log.debug("In the cluster %s", self._cluster.identity)  # which must answer first
        self._tickets = self._ask_for(job, context)
        ti = context["ti"]
        ti.xcom_push(key=_link.xcom_key, value=_link.get_link(self, ti_key=ti))
        self._cluster.look()
        self._leases = self._acquire()
        ti.xcom_push(key="gpu_lease_id", value=[record.id for record in self._leases])
        for record in self._leases:
            self.log.info("Holding %s of %s, lease %s", record.devices, record.host, record.mark)

    def _let_go(self) -> None:
        """Let each pod go to the node of its lease."""
        job = self.job.metadata
        gang = Gang(self._api, self._cluster, job.namespace, job.name, log=self.log)
        gang.admit(self._leases, within=self.startup_timeout_seconds)

    def _ask_for(self, job: V1Job, context: Context) -> list[Ticket]:
        template = self.hook.api_client.sanitize_for_serialization(job.spec.template)
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        request = self._request(template, limits[str(self.gpu_resource)])
        task = identity_of(context)
        self._wait.begin(request.max_wait)
        self._hold_as(context)
        return self._cluster.gang(request, int(self.workers), holder=self._holder, task=task)

    def _hold_as(self, context: Context) -> None:
        self._holder = f"ti:{identity_of(context).ti_id}"

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

    def _come_back(self, event: dict[str, Any]) -> None:
        """Take up the wait that the admission's trigger ended.

        :raises GpuWaitTimeoutError: it was too long.
        """
        carried = event["carried"]
        self._wait = Wait(since=carried["waiting_since"], deadline=carried["deadline"])
        if event["outcome"] == "timeout":
            self._cluster.leases.withdraw(event["ticket"], reason="waited longer than max_wait")
            raise self._too_long(event["reason"])

    def _give_back(self, why: str) -> None:
        """Give back what there is; what its pods still use is released when they are gone."""
        for record in self._cluster.leases.held_by(self._holder):
            if record.pod is not None:
                self._cluster.end(record, reason=why[:200])
        for ticket in self._tickets[:1]:  # the others go with it
            self._cluster.leases.withdraw(ticket.id, reason=why[:500])

    def _too_long(self, reason: str) -> GpuWaitTimeoutError:
        from airflow_ai_provider.services.gpu import waited_too_long

        asked = GpuRequest.of(gpus=self.gpus, gpu_pool=self.gpu_pool, max_wait=self.max_wait)
        workers = GpuRequest.of(gpus=self.workers).wanted
        return waited_too_long(replace(asked, gang_size=workers), reason)
