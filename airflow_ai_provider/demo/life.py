"""One life of the project: begun once over the API, then followed until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.airflow_process import Say, Servers
from airflow_ai_provider.demo.ledger import Gates
from airflow_ai_provider.demo.people import People
from airflow_ai_provider.demo.processes import Interrupts
from airflow_ai_provider.demo.rest import AirflowRest

FIRST = "discovery"
_LIVE = {"queued", "running"}
_ENDED_BADLY = {"failed"}
_LOG_LINES = 80


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the life may take, in seconds.

    ``settled`` without a live run is the end when the state says so, ``stalled`` without one is an
    error; ``patience`` without news is told; ``overall`` ends the demo.
    """

    settled: float = 8.0
    stalled: float = 45.0
    patience: float = 45.0
    overall: float = 900.0


@dataclass
class _Seen:
    """What was seen so far, to tell news from what is known."""

    runs: dict[tuple[str, str], str] = field(default_factory=dict)
    live_at: float = 0.0
    news_at: float = 0.0
    told_at: float = 0.0


class Life:
    """Follows every run, lets the people answer, and knows when it is over.

    A failed task whose gate left a refusal in the ledger is a result. Any other failed task ends
    the demo, and so does silence before ``is_over`` says that the life is over.
    """

    def __init__(
        self,
        *,
        rest: AirflowRest,
        people: People,
        servers: Servers,
        gates: Gates,
        interrupts: Interrupts,
        say: Say,
        is_over: Callable[[Gates, list[dict[str, Any]]], str | None],
        limits: Limits | None = None,
    ) -> None:
        self._rest = rest
        self._people = people
        self._servers = servers
        self._gates = gates
        self._interrupts = interrupts
        self._say = say
        self._is_over = is_over
        self._limits = limits or Limits()
        self._seen = _Seen()
        self._results: set[str] = set()

    def run(self) -> list[dict[str, Any]]:
        """Live it, and return every run at its end.

        :raises DemoError: a task failed that is no gate's refusal, or nothing moves any more.
        """
        self._begin()
        began = time.monotonic()
        self._seen.live_at = self._seen.news_at = began
        while True:
            self._servers.check()
            for answer in self._people.answer_what_waits():
                self._say(f"{answer.dag_id}.{answer.task_id}: {answer.user} answered")
            runs = self._rest.runs()
            self._tell(runs)
            self._look_for_failures()
            if self._settled(runs):
                return runs
            if time.monotonic() - began > self._limits.overall:
                raise self._stalled(
                    f"The life is not over after {self._limits.overall:.0f} s", runs
                )
            self._interrupts.pause(0.5)

    def _begin(self) -> None:
        deadline = time.monotonic() + 60
        while FIRST not in self._rest.dag_ids():
            self._servers.check()
            self._check_imports()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Airflow knows no DAG {FIRST!r} in {self._servers.home.dags}.",
                    remedy="Look into logs/dag-processor.log of the demo's home.",
                )
            self._interrupts.pause(0.3)
        self._check_imports()
        self._rest.trigger(FIRST)
        self._say(f"{FIRST}: started by {self._rest.user}")

    def _check_imports(self) -> None:
        broken = self._rest.import_errors()
        if broken:
            raise DemoError(
                f"{broken[0]['filename']} cannot be imported:\n{broken[0]['stack_trace']}",
                remedy="Correct the DAG file.",
            )

    def _tell(self, runs: Iterable[dict[str, Any]]) -> None:
        now = time.monotonic()
        for sentence in self._gates.news():
            self._seen.news_at = now
            self._say(sentence)
        for run in runs:
            key = (run["dag_id"], run["dag_run_id"])
            if run["state"] in _LIVE:
                self._seen.live_at = now
            if self._seen.runs.get(key) != run["state"]:
                self._seen.runs[key] = run["state"]
                self._seen.news_at = now
                if run["state"] != "queued":
                    self._say(f"{run['dag_id']}: {run['state']}{_why(run)}")
        if now - max(self._seen.news_at, self._seen.told_at) > self._limits.patience:
            self._seen.told_at = now
            self._say(f"waiting for {self._waited_for()}")

    def _look_for_failures(self) -> None:
        for task in self._rest.tasks(state=sorted(_ENDED_BADLY)):
            if task["id"] in self._results:
                continue
            if not self._gates.refused(task):
                log = "\n".join(self._rest.log(task).splitlines()[-_LOG_LINES:])
                raise DemoError(
                    f"Task {task['dag_id']}.{task['task_id']} (map index {task['map_index']}) of "
                    f"run {task['dag_run_id']} failed, and no gate refused anything there. "
                    f"Its log:\n{log}\n",
                    remedy="Correct what the log says and run the demo again.",
                )
            self._results.add(task["id"])

    def _settled(self, runs: list[dict[str, Any]]) -> bool:
        quiet = time.monotonic() - self._seen.live_at
        if quiet < self._limits.settled:
            return False
        missing = self._is_over(self._gates, runs)
        if missing is not None and quiet > self._limits.stalled:
            raise self._stalled(f"Nothing runs any more, but {missing}", runs)
        return missing is None

    def _stalled(self, what: str, runs: list[dict[str, Any]]) -> DemoError:
        lines = [f"  {r['dag_id']} {r['dag_run_id']}: {r['state']}" for r in runs]
        return DemoError(
            f"{what}. Waited for: {self._waited_for()}. The runs:\n" + "\n".join(lines) + "\n",
            remedy="Set DEMO_HOME=DIR to keep the logs, and look into them.",
        )

    def _waited_for(self) -> str:
        states = ["queued", "running", "deferred", "awaiting_input", "up_for_retry", "scheduled"]
        tasks = self._rest.tasks(state=states)
        named = [f"{t['dag_id']}.{t['task_id']}[{t['map_index']}] ({t['state']})" for t in tasks]
        return ", ".join(named[:12]) or "no task"


def _why(run: dict[str, Any]) -> str:
    return " (caused by an asset)" if run.get("run_type") == "asset_triggered" else ""
