"""When to go on waiting for a pod to start, and when to give up: time in a queue never counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from airflow_ai_provider.core.gpu.pod_life import Stage, Standing

_ROUNDED = 1.0  # a cluster's stamps are of whole seconds, rounded down
PATIENCE = 3.0  # seconds that a pod with a lease may find no room: the scheduler may lag behind


class Verdict(str, Enum):
    """What to do with a pod that has not started."""

    WAIT = "wait"
    STARTED = "started"
    BACK = "back"  # to the queue, with its place
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict and why."""

    verdict: Verdict
    why: str = ""

    @property
    def waits(self) -> bool:
        """Whether to look again."""
        return self.verdict is Verdict.WAIT


class StartClock:
    """Follows one pod to its start; moments are seconds since 1970.

    What the pod's own stamps say is taken at the first look: a worker or a triggerer that takes
    over a pod does not give it its time anew. Later looks go by this process's clock alone.

    ``leased`` pods were given devices: that there is no room for them is news. Others, of a queue
    of the cluster's own, may be unbound for ``schedule_timeout`` once their gate is open. With a
    ``node_timeout`` an autoscaler is to bring a node: that is waited for so long, and for no other
    limit.
    """

    def __init__(
        self, *, leased: bool, schedule_timeout: float, startup_timeout: float,
        patience: float = PATIENCE, node_timeout: float | None = None,
    ) -> None:  # fmt: skip
        self._leased = leased
        self._schedule_timeout = schedule_timeout
        self._startup_timeout = startup_timeout
        self._patience = patience
        self._node_timeout = node_timeout
        self._starting: float | None = None
        self._unbound: float | None = None
        self._refused: float | None = None  # since when the scheduler was seen to find no room
        self._is_first = True

    def decide(self, standing: Standing | None, now: float) -> Decision:
        """Return what to do; None as standing says that the pod is gone."""
        if standing is None:
            return Decision(verdict=Verdict.BACK, why="it is gone")
        since = now
        if self._is_first and standing.since is not None:
            since = min(now, standing.since + _ROUNDED)
        self._is_first = False
        if standing.stage is Stage.STARTED:
            return Decision(verdict=Verdict.STARTED)
        if standing.stage is Stage.BROKEN:
            return Decision(verdict=Verdict.FAIL, why=standing.why)
        if standing.stage is Stage.GATED:
            self._starting = self._unbound = self._refused = None  # it may be gated again
            return Decision(verdict=Verdict.WAIT, why=standing.why)
        if standing.stage is Stage.STARTING:
            self._starting = since if self._starting is None else self._starting
            return self._limited(now - self._starting, self._startup_timeout, "to start", standing)
        self._unbound = since if self._unbound is None else self._unbound
        if standing.stage is not Stage.NO_ROOM:
            self._refused = None
        elif self._refused is None:
            self._refused = now
        return self._unplaced(standing, now, now - self._unbound)

    def _unplaced(self, standing: Standing, now: float, lasted: float) -> Decision:
        if self._node_timeout is not None:
            what = "for a node to come"
            found = self._limited(lasted, self._node_timeout, what, standing)
            said = f" ({standing.why})" if standing.why else ""
            return replace(found, why=f"a node is to come{said}") if found.waits else found
        if self._refused is not None and self._leased:
            is_patient = now - self._refused < self._patience
            verdict = Verdict.WAIT if is_patient else Verdict.BACK
            return Decision(verdict=verdict, why=standing.why)
        return self._limited(lasted, self._schedule_timeout, "to be scheduled", standing)

    def _limited(self, lasted: float, limit: float, what: str, standing: Standing) -> Decision:
        if lasted < limit:
            return Decision(verdict=Verdict.WAIT, why=standing.why)
        said = f": {standing.why}" if standing.why else ""
        return Decision(verdict=Verdict.FAIL, why=f"it took longer than {limit:g} s {what}{said}")
