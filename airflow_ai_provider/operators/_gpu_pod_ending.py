"""How a pod with GPUs ended, and what follows of it: success, an error that says why, a requeue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.utils.pod_manager import PodNotFoundException
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_ai_provider.core.errors import AirflowAiError, ClusterForbiddenError, PodEndedError
from airflow_ai_provider.core.gpu.lease import parse_mark
from airflow_ai_provider.core.gpu.pod_life import Ending, EndKind, ending_of
from airflow_ai_provider.core.gpu.wait_reasons import WaitReason
from airflow_ai_provider.operators._gpu_pod_admission import AdmittedPod, BackToQueue
from airflow_ai_provider.operators._gpu_pod_manager import node_trouble

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

GO_BACK = {EndKind.PREEMPTED, EndKind.DELETED}


class EndedPod(AdmittedPod):
    """What is done once a pod has ended, or its trigger fired."""

    max_preemptions: int
    min_run_time: float | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._not_started = ""
        self._started: float | None = None

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the pod has ended, or cannot run."""
        self._recall(event)
        outcome, why = event.get("gpu_outcome"), event.get("gpu_why") or ""
        try:
            document = self._api.pod(event["namespace"], event["name"])
            if document is None and event["status"] != "success":
                self._is_gone(event, why)
            if document is None:
                self._give_back("its pod has ended")
            elif outcome is not None:
                pod = self.hook.get_pod(event["name"], event["namespace"])
                if outcome == "back":
                    self._remove(pod)
                    raise BackToQueue(WaitReason.NO_ROOM_ON_NODE, why)
                self.pod = pod
                self.cleanup(pod, pod, None, context)
            try:
                return super().trigger_reentry(context, event)
            except PodNotFoundException:
                if event["status"] == "success":
                    raise
                self._is_gone(event, why)  # taken away since we looked
            except AirflowException as error:
                if document is not None and self.pod is None:  # gone while the parent looked
                    self._was_going(document, event, error)
                raise
        except BackToQueue as back:
            self._go_back(back)
            self._pause(back.reason)
        except ClusterForbiddenError as error:  # the next try would have the same token
            raise AirflowFailException(str(error)) from error
        return self.execute(context)

    def _was_going(
        self, document: dict[str, Any], event: dict[str, Any], error: AirflowException
    ) -> None:
        """Say of a pod that is gone by now what its last JSON says."""
        ending = ending_of(document, container=self.base_container_name)
        if ending.kind in GO_BACK:
            self._is_gone(event, ending.sentence)
        self._give_back(ending.sentence)
        self._fail(ending, [], error)

    def _is_gone(self, event: dict[str, Any], why: str) -> NoReturn:
        self._count_preemption(why or "it is gone", self._ran())
        raise BackToQueue(WaitReason.PREEMPTED, f"pod {event['name']} is gone")

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

    def _count_preemption(self, why: str, ran: float = 0.0) -> None:
        if self._ran_enough(ran):
            self.log.info("Taken away after %.0f s, which is not counted: %s", ran, why)
            return
        self._preemptions += 1
        if self._preemptions > self.max_preemptions:
            raise PodEndedError(
                f"The pod was taken away {self._preemptions} times; the last time: {why}",
                remedy="Raise max_preemptions, or its priority class.",
                kind=EndKind.PREEMPTED.value,
            )
        self.log.info("Taken away, %d of %d: %s", self._preemptions, self.max_preemptions, why)

    def _ran(self) -> float:
        return 0.0 if self._started is None else time.monotonic() - self._started

    def _ran_enough(self, seconds: float) -> bool:
        return self.min_run_time is not None and seconds >= self.min_run_time

    def _recall(self, event: dict[str, Any]) -> None:
        """Take up again what an earlier leg knew."""
        self._take_up(event.get("gpu_carried") or {})  # empty keeps what there is
        if "gpu_ran" in event:  # the trigger saw it start
            self._started = time.monotonic() - float(event["gpu_ran"])
        if event.get("gpu_outcome") == "failed":
            self._not_started = event.get("gpu_why") or ""
        if "gpu_lease" not in event:  # of this very leg: its pod had ended before it deferred
            return
        mark = parse_mark(event["gpu_lease"])
        self._lease = None if mark is None else self._cluster.leases.lease_of(mark)
        self._ticket_id = self._lease.request_id if self._lease else None
