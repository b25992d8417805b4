"""When to go on waiting for a pod to start, and when to give up: time in a queue never counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from airflow_ai_provider.core.gpu.pod_life import Stage, Standing

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
    """Follows one pod to its start; times are seconds of any one clock.

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
        self._since: dict[Stage, float] = {}

    def decide(self, standing: Standing | None, now: float) -> Decision:
        """Return what to do; None as standing says that the pod is gone."""
        if standing is None:
            return Decision(verdict=Verdict.BACK, why="it is gone")
        stage = standing.stage
        if stage is Stage.STARTED:
            return Decision(verdict=Verdict.STARTED)
        if stage is Stage.BROKEN:
            return Decision(verdict=Verdict.FAIL, why=standing.why)
        if stage is Stage.GATED:
            self._since.clear()  # it may be gated again
            return Decision(verdict=Verdict.WAIT, why=standing.why)
        if stage is not Stage.NO_ROOM:
            self._since.pop(Stage.NO_ROOM, None)
        lasted = now - self._since.setdefault(stage, now)
        if stage is Stage.STARTING:
            return self._limited(lasted, self._startup_timeout, "to start", standing)
        unbound = now - min(self._since.get(s, now) for s in (Stage.UNBOUND, Stage.NO_ROOM))
        if self._node_timeout is not None:
            what = "for a node to come"
            found = self._limited(unbound, self._node_timeout, what, standing)
            said = f" ({standing.why})" if standing.why else ""
            return replace(found, why=f"a node is to come{said}") if found.waits else found
        if stage is Stage.NO_ROOM and self._leased:
            verdict = Verdict.WAIT if lasted < self._patience else Verdict.BACK
            return Decision(verdict=verdict, why=standing.why)
        return self._limited(unbound, self._schedule_timeout, "to be scheduled", standing)

    def _limited(self, lasted: float, limit: float, what: str, standing: Standing) -> Decision:
        if lasted < limit:
            return Decision(verdict=Verdict.WAIT, why=standing.why)
        said = f": {standing.why}" if standing.why else ""
        return Decision(verdict=Verdict.FAIL, why=f"it took longer than {limit:g} s {what}{said}")
