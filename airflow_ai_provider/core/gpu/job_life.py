"""A Job of several pods from its admission by a queue to its end: time in the queue never counts.

A queue such as Kueue's admits a Job as a whole: until then it is suspended, and when its share is
taken away it is suspended again, without its pods, and goes on when it is admitted anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_ai_provider.core.gpu.pod_life import standing_of
from airflow_ai_provider.core.gpu.pod_start import StartClock, Verdict

JOB_NAME = "batch.kubernetes.io/job-name"  # a label of its pods
INDEX = "batch.kubernetes.io/job-completion-index"  # an annotation of its pods


class JobVerdict(str, Enum):
    """How a Job stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PREEMPTED = "preempted"  # it was admitted, and waits again
    ENDED = "ended"  # it says itself how
    FAILED = "failed"  # it will not start, or is gone

    @property
    def is_news(self) -> bool:
        """Whether a task has to hear of it."""
        return self in {JobVerdict.PREEMPTED, JobVerdict.ENDED, JobVerdict.FAILED}


@dataclass(frozen=True, kw_only=True)
class JobDecision:
    """How a Job stands, why, and for how many seconds all of its pods had run."""

    verdict: JobVerdict
    why: str = ""
    ran: float = 0.0


class JobClock:
    """Follows one Job of so many ``workers``; moments are seconds since 1970."""

    def __init__(self, *, workers: int, schedule_timeout: float, startup_timeout: float) -> None:
        self._workers = workers
        self._schedule_timeout = schedule_timeout
        self._startup_timeout = startup_timeout
        self._pods: dict[str, StartClock] = {}
        self._admitted: float | None = None
        self._running: float | None = None
        self._resumed: str | None = None  # when its pods were last let go, as the Job says

    def decide(
        self, job: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]], now: float
    ) -> JobDecision:
        """Return how a Job and its pods, as JSON, stand; None says that it is gone."""
        ran = 0.0 if self._running is None else now - self._running
        if job is None:
            return JobDecision(verdict=JobVerdict.FAILED, why="it was deleted", ran=ran)
        if is_over(job):
            return JobDecision(verdict=JobVerdict.ENDED, ran=ran)
        is_suspended = bool((job.get("spec") or {}).get("suspend"))
        if self._admitted is not None and (is_suspended or self._is_resumed(job)):
            self._admitted = self._running = self._resumed = None
            self._pods.clear()
            why = "its share was taken away"
            return JobDecision(verdict=JobVerdict.PREEMPTED, why=why, ran=ran)
        if is_suspended:
            return JobDecision(verdict=JobVerdict.QUEUED, why="it is suspended")
        self._admitted = now if self._admitted is None else self._admitted
        return self._start([p for p in pods if not p["metadata"].get("deletionTimestamp")], now)

    def _is_resumed(self, job: Mapping[str, Any]) -> bool:
        """Whether it was suspended and let go again since the last look: then it begins anew."""
        at = (job.get("status") or {}).get("startTime")
        was, self._resumed = self._resumed, at or self._resumed
        return at is not None and was not in {None, at}

    def _start(self, pods: Sequence[Mapping[str, Any]], now: float) -> JobDecision:
        started, waits = 0, ""
        for pod in pods:
            meta = pod["metadata"]
            decision = self._clock(meta["uid"]).decide(standing_of(pod), now)
            if decision.verdict is Verdict.STARTED:
                started += 1
            elif decision.waits:
                waits = waits or f"pod {meta['name']}: {decision.why or 'it has not started'}"
            else:
                why = f"pod {meta['name']}: {decision.why}"
                return JobDecision(verdict=JobVerdict.FAILED, why=why)
        if started >= self._workers and self._running is None:
            self._running = now
        if self._running is not None:
            return JobDecision(verdict=JobVerdict.RUNNING, ran=now - self._running)
        missing = self._workers - len(pods)
        lasted = now - (self._admitted or now)
        if missing > 0 and lasted >= self._startup_timeout:
            why = f"{missing} of its pods were not made in {self._startup_timeout:g} s"
            return JobDecision(verdict=JobVerdict.FAILED, why=why)
        why = waits or f"{missing} of its pods are not made yet"
        return JobDecision(verdict=JobVerdict.STARTING, why=why)

    def _clock(self, uid: str) -> StartClock:
        if uid not in self._pods:
            self._pods[uid] = StartClock(
                leased=False,
                schedule_timeout=self._schedule_timeout,
                startup_timeout=self._startup_timeout,
            )
        return self._pods[uid]


def is_over(job: Mapping[str, Any] | None) -> bool:
    """Whether a Job has ended, or is gone."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    said = {c["type"] for c in conditions if c["status"] == "True"}
    return job is None or bool(said & {"Complete", "Failed"})


def failure_of(job: Mapping[str, Any]) -> str:
    """Return why an ended Job failed, in the cluster's own word; empty where it did not."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    failed = (c for c in conditions if c["type"] == "Failed" and c["status"] == "True")
    return next((str(c.get("reason") or c.get("message") or "Failed") for c in failed), "")


def index_of(pod: Mapping[str, Any]) -> int:
    """Return which of its Job's pods one is; the first is 0."""
    return int((pod["metadata"].get("annotations") or {}).get(INDEX, 0))
