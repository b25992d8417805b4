"""How long tasks usually take, as learnt from the runs that were.

A typical duration follows its task: a plain mean over the first runs, later one in which the newest
run counts a fifth, so that a task that grew slower is known as slower after a few runs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from airflow_ai_provider.core.errors import TaskDurationsError

_NEWEST = 0.2  # the least share of the newest run
_LONGEST = 366 * 86_400.0  # seconds; a run that took longer says nothing about the next one
UNKNOWN = 60.0  # seconds that a task counts where nothing at all is known: only shapes decide


@dataclass(frozen=True, kw_only=True)
class Typical:
    """What a task usually takes: seconds, and over how many runs that was learnt."""

    seconds: float
    runs: int

    def with_another(self, seconds: float) -> Typical:
        """Return what is typical after a run of ``seconds`` more."""
        runs = self.runs + 1
        share = max(1 / runs, _NEWEST)
        return Typical(seconds=self.seconds + share * (seconds - self.seconds), runs=runs)


@dataclass(frozen=True, kw_only=True)
class TaskDurations:
    """Typical durations by DAG and task; ``until`` (ISO 8601) is how far the past was read."""

    of_dag: Mapping[str, Mapping[str, Typical]] = field(default_factory=dict)
    until: str | None = None

    def seconds(self, dag_id: str, task_ids: Collection[str]) -> dict[str, float]:
        """Return the seconds of each task.

        A task that never ran counts as the mean of its DAG's other tasks, else of all tasks. Not as
        their median: a few tasks take long, and to take one of those for a short one costs more
        than the other way round.
        """
        known = self.of_dag.get(dag_id, {})
        found = {name: known[name].seconds for name in task_ids if name in known}
        if len(found) < len(task_ids):
            usual = fmean(found.values()) if found else self._usual()
            found.update({name: usual for name in task_ids if name not in found})
        return found

    def with_runs(self, runs: Collection[tuple[str, str, float]], until: str) -> TaskDurations:
        """Return what is known after more runs: DAG, task and seconds of each, oldest first.

        A run without a length that time can have is left out.
        """
        of_dag = {dag: dict(tasks) for dag, tasks in self.of_dag.items()}
        for dag_id, task_id, seconds in runs:
            if 0 <= seconds <= _LONGEST:
                tasks = of_dag.setdefault(dag_id, {})
                before = tasks.get(task_id, Typical(seconds=0.0, runs=0))
                tasks[task_id] = before.with_another(seconds)
        return TaskDurations(of_dag=of_dag, until=until)

    def _usual(self) -> float:
        every = [t.seconds for tasks in self.of_dag.values() for t in tasks.values()]
        return fmean(every) if every else UNKNOWN

    def document(self) -> dict[str, Any]:
        """Return the durations as a JSON document: ``[seconds, runs]`` by DAG and task."""
        return {
            "format": 1,
            "until": self.until,
            "durations": {
                dag: {name: [round(t.seconds, 3), t.runs] for name, t in tasks.items()}
                for dag, tasks in self.of_dag.items()
            },
        }

    @classmethod
    def of_document(cls, document: Any) -> TaskDurations:
        """Return the durations that a JSON document holds.

        :raises TaskDurationsError: it is no such document.
        """
        if not isinstance(document, Mapping) or document.get("format") != 1:
            raise _unreadable("it is no document of format 1")
        dags, until = document.get("durations"), document.get("until")
        if not isinstance(dags, Mapping) or not (until is None or isinstance(until, str)):
            raise _unreadable("durations or until are of another kind")
        return cls(
            of_dag={str(dag): _tasks(dag, tasks) for dag, tasks in dags.items()}, until=until
        )


def _tasks(dag_id: Any, tasks: Any) -> dict[str, Typical]:
    if not isinstance(tasks, Mapping):
        raise _unreadable(f"the tasks of {dag_id} are no object")
    return {str(name): _typical(f"{dag_id}.{name}", value) for name, value in tasks.items()}


def _typical(task: str, value: Any) -> Typical:
    if not isinstance(value, list) or len(value) != 2:
        raise _unreadable(f"{task} is not [seconds, runs]")
    seconds, runs = value
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in value) or not (
        math.isfinite(seconds) and seconds >= 0 and runs >= 1
    ):
        raise _unreadable(f"{task} has seconds {seconds!r} of {runs!r} runs")
    return Typical(seconds=float(seconds), runs=int(runs))


def _unreadable(why: str) -> TaskDurationsError:
    return TaskDurationsError(
        f"The file of task durations cannot be used: {why}.",
        remedy="Delete it; the next run of the maintenance task writes it anew.",
    )
