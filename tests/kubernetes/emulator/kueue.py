"""Kueue as a pod meets it: a gate, a Workload that says why it waits, admission, preemption."""

from __future__ import annotations

from tests.kubernetes.emulator.objects import Objects
from tests.kubernetes.emulator.scheduler import GPU
from tests.kubernetes.emulator.values import Object, is_over, requests_of, set_condition

GATE = "kueue.x-k8s.io/admission"
QUEUE = "kueue.x-k8s.io/queue-name"
MANAGED = "kueue.x-k8s.io/managed"


class Kueue:
    """Admits gated pods by priority, then age, while their queue has GPUs left."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.queues: dict[tuple[str, str], float] = {}  # namespace and name to GPUs

    def add_queue(self, namespace: str, name: str, gpus: float) -> None:
        self.objects.kueue = True
        self.queues[namespace, name] = gpus
        queue = {"metadata": {"name": name}, "spec": {"clusterQueue": name}}
        self.objects.create("localqueues", namespace, queue)

    def step(self) -> None:
        if not self.objects.kueue:
            return
        pods = [p for p in self.objects.all("pods") if MANAGED in _labels(p)]
        for pod in pods:
            self._let_go(pod)
            if self._workload(pod) is None and not is_over(pod):
                self._make(pod)
        waiting = [p for p in pods if _is_gated(p) and not p["metadata"].get("deletionTimestamp")]
        for pod in sorted(waiting, key=_order):
            self._admit(pod)

    def preempt(self, namespace: str, name: str) -> None:
        """Take the quota of an admitted pod away: Kueue deletes it and does not make it again."""
        pod = self.objects.lookup("pods", namespace, name)
        workload = self._workload(pod)
        assert workload, "the pod has no Workload"
        set_condition(workload, "Evicted", "True", reason="Preempted", message="Preempted")
        set_condition(workload, "QuotaReserved", "False", reason="Pending", message="Preempted")
        self.objects.changed("MODIFIED", "workloads", workload)
        set_condition(pod, "TerminationTarget", "True", reason="WorkloadEvictedDueToPreempted")
        self.objects.changed("MODIFIED", "pods", pod)
        self.objects.delete("pods", namespace, name, {})

    def _make(self, pod: Object) -> None:
        meta = pod["metadata"]
        owner = {"kind": "Pod", "name": meta["name"], "uid": meta["uid"], "apiVersion": "v1"}
        workload = {
            "metadata": {"name": f"pod-{meta['name']}"[:63], "ownerReferences": [owner]},
            "spec": {"queueName": _labels(pod)[QUEUE], "active": True},
            "status": {},
        }
        self.objects.create("workloads", meta["namespace"], workload)

    def _admit(self, pod: Object) -> None:
        namespace, queue = pod["metadata"]["namespace"], _labels(pod)[QUEUE]
        workload = self._workload(pod)
        if workload is None:
            return
        asked = requests_of(pod).get(GPU, 0)
        if (namespace, queue) not in self.queues:
            self._wait(workload, "Inadmissible", f"LocalQueue {queue} doesn't exist")
        elif self._used(namespace, queue) + asked > self.queues[namespace, queue]:
            said = f"couldn't assign flavors to pod set main: insufficient unused quota for {GPU}"
            self._wait(workload, "Pending", said)
        else:
            set_condition(workload, "QuotaReserved", "True", reason="QuotaReserved")
            set_condition(workload, "Admitted", "True", reason="Admitted")
            self.objects.changed("MODIFIED", "workloads", workload)
            gates = [g for g in pod["spec"]["schedulingGates"] if g["name"] != GATE]
            pod["spec"]["schedulingGates"] = gates
            self.objects.changed("MODIFIED", "pods", pod)

    def _wait(self, workload: Object, reason: str, message: str) -> None:
        if set_condition(workload, "QuotaReserved", "False", reason=reason, message=message):
            self.objects.changed("MODIFIED", "workloads", workload)

    def _used(self, namespace: str, queue: str) -> float:
        return sum(
            requests_of(pod).get(GPU, 0)
            for pod in self.objects.all("pods")
            if pod["metadata"]["namespace"] == namespace
            and _labels(pod).get(QUEUE) == queue
            and not _is_gated(pod)
            and not is_over(pod)
        )

    def _let_go(self, pod: Object) -> None:
        """Take the finalizer off what has ended, and with the last pod its Workload."""
        meta = pod["metadata"]
        unbound = meta.get("deletionTimestamp") and not pod["spec"].get("nodeName")
        if MANAGED in (meta.get("finalizers") or ()) and (is_over(pod) or unbound):
            meta["finalizers"] = [f for f in meta["finalizers"] if f != MANAGED]
            workload = self._workload(pod)
            if meta.get("deletionTimestamp"):
                self.objects.remove("pods", pod)
            else:
                self.objects.changed("MODIFIED", "pods", pod)
            if workload:
                self.objects.remove("workloads", workload)

    def _workload(self, pod: Object) -> Object | None:
        uid = pod["metadata"]["uid"]
        return next(
            (
                workload
                for workload in self.objects.all("workloads")
                if workload["metadata"]["ownerReferences"][0]["uid"] == uid
            ),
            None,
        )


def _labels(pod: Object) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def _is_gated(pod: Object) -> bool:
    return any(gate["name"] == GATE for gate in pod["spec"].get("schedulingGates") or ())


def _order(pod: Object) -> tuple[int, int]:
    return (-(pod["spec"].get("priority") or 0), int(pod["metadata"]["resourceVersion"]))
