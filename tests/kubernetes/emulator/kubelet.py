"""What runs on the nodes: pods that start, write, end and leave, as their annotations say.

``sim/run-seconds``, ``sim/start-seconds``, ``sim/exit-code``, ``sim/reason``, ``sim/logs``,
``sim/xcom`` (JSON), ``sim/pull-error``, ``sim/term-code``, ``sim/term-seconds``; or a function of
the pod that returns the same keys without ``sim/``.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kubernetes.emulator.objects import Objects
from tests.kubernetes.emulator.values import Object, now, set_condition

Behaviour = Callable[[Object], dict[str, Any]]


@dataclass
class Run:
    """A pod as its node knows it; times are of the monotonic clock."""

    says: dict[str, Any]
    main: str
    starts_at: float
    state: str = "new"
    ends_at: float = 0.0
    gone_at: float | None = None
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    to_say: list[str] = field(default_factory=list)
    next_line: float = 0.0
    gap: float = 0.0
    sidecar_told: bool = False


class Kubelet:
    """The kubelets of all nodes; those in ``lost`` do nothing."""

    def __init__(self, objects: Objects, behave: Behaviour) -> None:
        self.objects = objects
        self.behave = behave
        self.runs: dict[str, Run] = {}
        self.lost: set[str] = set()

    def step(self) -> None:
        at = time.monotonic()
        for pod in self.objects.all("pods"):
            node = pod["spec"].get("nodeName")
            if node and node not in self.lost:
                self._step(pod, at)

    def _step(self, pod: Object, at: float) -> None:
        run = self.runs.get(pod["metadata"]["uid"]) or self._begin(pod, at)
        if pod["metadata"].get("deletionTimestamp"):
            self._end(pod, run, at)
        elif run.state == "new":
            self._create(pod, run)
        elif run.state == "create" and at >= run.starts_at:
            self._start(pod, run, at)
        elif run.state == "run":
            self._go_on(pod, run, at)

    def _begin(self, pod: Object, at: float) -> Run:
        given = pod["metadata"].get("annotations") or {}
        says = {k[4:]: v for k, v in given.items() if k.startswith("sim/")}
        says |= self.behave(copy.deepcopy(pod))
        run = Run(
            says=says,
            main=pod["spec"]["containers"][0]["name"],
            starts_at=at + float(says.get("start-seconds", 0.1)),
        )
        self.runs[pod["metadata"]["uid"]] = run
        return run

    def _create(self, pod: Object, run: Run) -> None:
        number = len(self.runs) % 250 + 1
        pod["status"].update(startTime=now(), hostIP="10.0.0.1", podIP=f"10.1.0.{number}")
        wrong = run.says.get("pull-error") == "true"
        pod["status"]["containerStatuses"] = [
            _status(container, wrong) for container in pod["spec"]["containers"]
        ]
        if wrong:
            image = pod["spec"]["containers"][0]["image"]
            said = f'Failed to pull image "{image}": not found'
            self.objects.event(pod, "Failed", said, "Warning")
        run.state = "pull-error" if wrong else "create"
        self.objects.changed("MODIFIED", "pods", pod)

    def _start(self, pod: Object, run: Run, at: float) -> None:
        for container in pod["status"]["containerStatuses"]:
            container.update(
                ready=True,
                started=True,
                imageID="sim@sha256:0",
                containerID="sim://" + pod["metadata"]["uid"],
                state={"running": {"startedAt": now()}},
            )
        pod["status"]["phase"], run.state = "Running", "run"
        seconds = float(run.says.get("run-seconds", 0.2))
        run.ends_at = at + seconds
        run.to_say = str(run.says.get("logs", "")).splitlines()
        run.gap = seconds / (len(run.to_say) + 1)
        run.next_line = at
        set_condition(pod, "Ready", "True")
        self.objects.event(pod, "Started", f"Started container {run.main}")
        self.objects.changed("MODIFIED", "pods", pod)

    def _go_on(self, pod: Object, run: Run, at: float) -> None:
        while run.to_say and at >= run.next_line:
            run.lines.append((time.time_ns(), run.to_say.pop(0).encode() + b"\n"))
            run.next_line += run.gap
        if at < run.ends_at or run.to_say:
            return
        statuses = pod["status"]["containerStatuses"]
        if "running" in statuses[0]["state"]:
            self._finish(pod, run, int(run.says.get("exit-code", 0)), only=run.main)
        live = [c["name"] for c in statuses if "running" in c["state"]]
        if live and run.sidecar_told:
            self._finish(pod, run, 0, only=live[0])
            live = live[1:]
        if not live:
            self._settle(pod, run)

    def _settle(self, pod: Object, run: Run) -> None:
        statuses = pod["status"]["containerStatuses"]
        failed = any(c["state"]["terminated"]["exitCode"] for c in statuses)
        pod["status"]["phase"], run.state = "Failed" if failed else "Succeeded", "done"
        reason = "PodFailed" if failed else "PodCompleted"
        set_condition(pod, "Ready", "False", reason=reason)
        if run.says.get("evicted"):
            pod["status"].update(reason="Evicted", message=run.says["evicted"])
        self.objects.changed("MODIFIED", "pods", pod)

    def _end(self, pod: Object, run: Run, at: float) -> None:
        if run.state == "run":
            run.gone_at = run.gone_at or at + float(run.says.get("term-seconds", 0))
            if at < run.gone_at:
                return
            self._finish(pod, run, int(run.says.get("term-code", 143)))
            self._settle(pod, run)
        if not pod["metadata"].get("finalizers"):
            self.objects.remove("pods", pod)

    def _finish(self, pod: Object, run: Run, code: int, *, only: str | None = None) -> None:
        reason = run.says.get("reason") or ("Error" if code else "Completed")
        for container in pod["status"]["containerStatuses"]:
            if "running" in container["state"] and only in (None, container["name"]):
                started = container["state"]["running"]["startedAt"]
                ended = {
                    "exitCode": code,
                    "reason": reason if container["name"] == run.main else "Completed",
                    "startedAt": started,
                    "finishedAt": now(),
                }
                container.update(ready=False, started=False, state={"terminated": ended})
        self.objects.changed("MODIFIED", "pods", pod)


def _status(container: Object, wrong: bool) -> Object:
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "lastState": {},
        "state": {
            "waiting": {
                "reason": "ErrImagePull" if wrong else "ContainerCreating",
                "message": f"failed to pull image {image}: not found" if wrong else None,
            }
        },
    }
