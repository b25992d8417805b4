"""What a control plane does beside scheduling: lost nodes and Jobs."""

from __future__ import annotations

import copy
import time

from tests.kubernetes.emulator.kubelet import Kubelet
from tests.kubernetes.emulator.objects import Objects
from tests.kubernetes.emulator.values import Object, now, set_condition

_TAKEN = "sim/taken"  # stands for the finalizer without which a pod counts for nothing
_UNREACHABLE = "node.kubernetes.io/unreachable"


class NodeController:
    """Says of a lost node that it is, and later deletes what ran there."""

    def __init__(self, objects: Objects, kubelet: Kubelet) -> None:
        self.objects = objects
        self.kubelet = kubelet
        self._evict_at: dict[str, float] = {}

    def lose(self, name: str, *, evict_after: float) -> None:
        """Have a node answer no more: NotReady at once, its pods marked deleted later."""
        node = self.objects.lookup("nodes", None, name)
        self.kubelet.lost.add(name)
        self._evict_at[name] = time.monotonic() + evict_after
        set_condition(node, "Ready", "Unknown", reason="NodeStatusUnknown")
        taints = node["spec"].setdefault("taints", [])
        taints.append({"key": _UNREACHABLE, "effect": "NoExecute"})
        taints.append({"key": _UNREACHABLE, "effect": "NoSchedule"})
        self.objects.changed("MODIFIED", "nodes", node)

    def step(self) -> None:
        for name in [n for n, at in self._evict_at.items() if time.monotonic() >= at]:
            del self._evict_at[name]
            for pod in self.objects.all("pods"):
                if pod["spec"].get("nodeName") == name:
                    set_condition(pod, "DisruptionTarget", "True", reason="DeletionByTaintManager")
                    meta = pod["metadata"]
                    self.objects.delete("pods", meta["namespace"], meta["name"], {})


class JobController:
    """Keeps as many pods of a Job as it asks for, and counts how they end."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def step(self) -> None:
        jobs = self.objects.all("jobs")
        for job in jobs:
            if not job["metadata"].get("deletionTimestamp"):
                self._step(job)
        there = {job["metadata"]["uid"] for job in jobs}
        for pod in self.objects.all("pods"):  # the garbage collector
            if _is_of_job(pod) and _owner(pod) not in there:
                self._delete(pod)

    def _step(self, job: Object) -> None:
        spec, status = job["spec"], job.setdefault("status", {})
        if any(c["type"] in {"Complete", "Failed"} for c in status.get("conditions", [])):
            return
        every = [p for p in self.objects.all("pods") if _owner(p) == job["metadata"]["uid"]]
        mine = [p for p in every if not p["metadata"].get("labels", {}).get(_TAKEN)]
        phases = [p["status"]["phase"] for p in mine]
        done, failed = phases.count("Succeeded"), phases.count("Failed")
        active = len(phases) - done - failed
        wanted = int(spec.get("completions", spec.get("parallelism", 1)))
        before = copy.deepcopy(status)
        status.update(active=active, succeeded=done, failed=failed)
        if done >= wanted:
            set_condition(job, "Complete", "True")
            status["completionTime"] = now()
        elif failed > int(spec.get("backoffLimit", 6)):
            set_condition(job, "Failed", "True", reason="BackoffLimitExceeded")
            for pod in mine:
                if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
                    self._delete(pod)
        elif spec.get("suspend"):
            set_condition(job, "Suspended", "True", reason="JobSuspended")
            for pod in mine:
                if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
                    pod["metadata"]["labels"][_TAKEN] = "true"
                    self._delete(pod)
        else:
            if set_condition(job, "Suspended", "False", reason="JobResumed"):
                status["startTime"] = now()
            room = min(int(spec.get("parallelism", 1)), wanted - done) - active
            there = {_index(pod) for pod in mine if pod["status"]["phase"] != "Failed"}
            free = [number for number in range(wanted) if number not in there]
            for index in free[: max(0, room)]:
                self._add(job, index=index)
        if status != before:
            self.objects.changed("MODIFIED", "jobs", job)

    def _add(self, job: Object, *, index: int) -> None:
        meta, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
        owner = {"kind": "Job", "name": meta["name"], "uid": meta["uid"], "apiVersion": "batch/v1"}
        given = {k: v for k, v in (template.get("metadata") or {}).items() if k != "name"}
        labels = {
            **(given.get("labels") or {}),
            "job-name": meta["name"],
            "batch.kubernetes.io/job-name": meta["name"],
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        spec = copy.deepcopy(template["spec"])
        marks = given.get("annotations") or {}
        if job["spec"].get("completionMode") == "Indexed":
            marks = {**marks, "batch.kubernetes.io/job-completion-index": str(index)}
            spec["hostname"] = f"{meta['name']}-{index}"
            for container in spec["containers"]:
                told = {"name": "JOB_COMPLETION_INDEX", "value": str(index)}
                container.setdefault("env", []).append(told)
        pod = {
            "metadata": {
                **given,
                "annotations": marks,
                "generateName": f"{meta['name']}-{index}-",
                "labels": labels,
                "ownerReferences": [owner],
            },
            "spec": spec,
        }
        self.objects.create("pods", meta["namespace"], pod)

    def _delete(self, pod: Object) -> None:
        meta = pod["metadata"]
        if not meta.get("deletionTimestamp"):
            self.objects.delete("pods", meta["namespace"], meta["name"], {})


def _index(pod: Object) -> int:
    return int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])


def _owner(pod: Object) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return owners[0].get("uid")


def _is_of_job(pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return owners[0].get("kind") == "Job"
