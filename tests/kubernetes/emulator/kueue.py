"""Kueue as pods and Jobs meet it: a gate or suspension, a Workload that says why, preemption."""

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
        jobs = [j for j in self.objects.all("jobs") if QUEUE in _labels(j)]
        for job in jobs:
            self._meet(job)
        waiting = [p for p in pods if _is_gated(p) and not p["metadata"].get("deletionTimestamp")]
        waiting += [j for j in jobs if _is_suspended(j) and not self._is_active(j)]
        for one in sorted(waiting, key=_order):
            self._admit(one)

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

    def preempt_job(self, namespace: str, name: str) -> None:
        """Take the quota of an admitted Job away: Kueue suspends it, and admits it again later."""
        job = self.objects.lookup("jobs", namespace, name)
        workload = self._workload(job)
        assert workload, "the Job has no Workload"
        set_condition(workload, "Evicted", "True", reason="Preempted", message="Preempted")
        set_condition(workload, "QuotaReserved", "False", reason="Pending", message="Preempted")
        set_condition(workload, "Admitted", "False", reason="NoReservation", message="Preempted")
        self.objects.changed("MODIFIED", "workloads", workload)
        job["spec"]["suspend"] = True
        self.objects.changed("MODIFIED", "jobs", job)

    def _meet(self, job: Object) -> None:
        """Suspend a Job that is new, make its Workload, and let that go with the Job."""
        workload, over = self._workload(job), _is_over(job)
        if workload is None and not over:
            job["spec"]["suspend"] = True  # the webhook's work
            self._make(job)
        elif workload is not None and over:
            self.objects.remove("workloads", workload)

    def _make(self, of: Object) -> None:
        meta, kind = of["metadata"], str(of["kind"])
        owner = {"kind": kind, "name": meta["name"], "uid": meta["uid"], "apiVersion": "v1"}
        name = f"{kind.lower()}-{meta['name']}"[:63]
        workload = {
            "metadata": {"name": name, "ownerReferences": [owner]},
            "spec": {"queueName": _labels(of)[QUEUE], "active": True},
            "status": {},
        }
        self.objects.create("workloads", meta["namespace"], workload)

    def _admit(self, one: Object) -> None:
        namespace, queue = one["metadata"]["namespace"], _labels(one)[QUEUE]
        workload = self._workload(one)
        if workload is None:
            return
        asked = _asked(one)
        if (namespace, queue) not in self.queues:
            self._wait(workload, "Inadmissible", f"LocalQueue {queue} doesn't exist")
        elif self._used(namespace, queue) + asked > self.queues[namespace, queue]:
            said = f"couldn't assign flavors to pod set main: insufficient unused quota for {GPU}"
            self._wait(workload, "Pending", said)
        else:
            set_condition(workload, "QuotaReserved", "True", reason="QuotaReserved")
            set_condition(workload, "Admitted", "True", reason="Admitted")
            self.objects.changed("MODIFIED", "workloads", workload)
            if one["kind"] == "Job":
                one["spec"]["suspend"] = False
                self.objects.changed("MODIFIED", "jobs", one)
                return
            gates = [g for g in one["spec"]["schedulingGates"] if g["name"] != GATE]
            one["spec"]["schedulingGates"] = gates
            self.objects.changed("MODIFIED", "pods", one)

    def _wait(self, workload: Object, reason: str, message: str) -> None:
        if set_condition(workload, "QuotaReserved", "False", reason=reason, message=message):
            self.objects.changed("MODIFIED", "workloads", workload)

    def _used(self, namespace: str, queue: str) -> float:
        admitted = [p for p in self.objects.all("pods") if not (_is_gated(p) or is_over(p))]
        admitted += [j for j in self.objects.all("jobs") if not (_is_suspended(j) or _is_over(j))]
        return sum(
            _asked(one)
            for one in admitted
            if one["metadata"]["namespace"] == namespace and _labels(one).get(QUEUE) == queue
        )

    def _is_active(self, job: Object) -> bool:
        owners = [p["metadata"].get("ownerReferences") or [{}] for p in self.objects.all("pods")]
        return job["metadata"]["uid"] in {owner[0].get("uid") for owner in owners}

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


def _is_suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def _is_over(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    ended = any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)
    return ended or bool(job["metadata"].get("deletionTimestamp"))


def _asked(one: Object) -> float:
    """Return for how many devices a pod, or a Job with all of its pods, asks."""
    if one["kind"] != "Job":
        return requests_of(one).get(GPU, 0)
    each = requests_of(one["spec"]["template"]).get(GPU, 0)
    return each * int(one["spec"].get("parallelism", 1))


def _order(pod: Object) -> tuple[int, int]:
    return (-(pod["spec"].get("priority") or 0), int(pod["metadata"]["resourceVersion"]))
