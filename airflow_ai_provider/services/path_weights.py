"""Priority weights of whole DAGs, worked out once for each DAG and file of durations."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from airflow_ai_provider.adapters.task_durations import DurationsFile
from airflow_ai_provider.core.errors import LifecycleError, TaskDurationsError
from airflow_ai_provider.core.lifecycle.durations import TaskDurations
from airflow_ai_provider.core.lifecycle.remaining import PathTask, weights

log = logging.getLogger(__name__)


class PathWeights:
    """The weights of every DAG that a process has seen.

    The scheduler keeps each version of a DAG as one object for as long as it needs it; weights are
    kept beside that object and go with it, or when the durations change. Nothing that is wrong with
    the file stops a scheduler: what was known before goes on, and the log says why.
    """

    def __init__(self, file: DurationsFile) -> None:
        self._file = file
        self._durations = TaskDurations()
        self._of_dag: dict[int, tuple[weakref.ref[Any], dict[str, int]]] = {}

    def weight(self, dag: Any, task_id: str) -> int:
        """Return the weight of a task of ``dag``, an object of Airflow's with ``task_dict``."""
        if self._file.changed():
            self._read()
        key = id(dag)
        kept = self._of_dag.get(key)
        if kept is None or kept[0]() is not dag or task_id not in kept[1]:
            found = self._work_out(dag)
            forget = self._of_dag.pop
            kept = (weakref.ref(dag, lambda _: forget(key, None)), found)
            self._of_dag[key] = kept
        return kept[1][task_id]

    @property
    def known(self) -> int:
        """How many DAGs are kept."""
        return len(self._of_dag)

    def _read(self) -> None:
        try:
            self._durations = self._file.read()
        except TaskDurationsError as error:
            log.warning("Priorities go on with the durations known before. %s", error)
            return
        self._of_dag = {}

    def _work_out(self, dag: Any) -> dict[str, int]:
        tasks = dag.task_dict
        # what does nothing is never started, so that history has no word of it
        idle = {n for n, t in tasks.items() if getattr(t, "inherits_from_empty_operator", False)}
        seconds = self._durations.seconds(dag.dag_id, tasks.keys() - idle)
        try:
            return weights(
                {
                    name: PathTask(
                        seconds=seconds.get(name, 0.0),
                        followers=task.downstream_task_ids,
                        factor=task.priority_weight,
                    )
                    for name, task in tasks.items()
                }
            )
        except LifecycleError as error:
            log.warning("DAG %s keeps its own weights. %s", dag.dag_id, error)
            return {name: task.priority_weight for name, task in tasks.items()}
