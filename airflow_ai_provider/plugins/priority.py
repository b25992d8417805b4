"""``CriticalPathPriority``: of the tasks that are ready, the longest way to go first."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

from airflow_ai_provider.hooks._durations import durations_path

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

    from airflow_ai_provider.services.path_weights import PathWeights


class CriticalPathPriority(PriorityWeightStrategy):
    """Weigh a task by the longest path from it to the end of its DAG, in hundredths of a second.

    Say ``weight_rule="airflow_ai_provider.plugins.priority.CriticalPathPriority"``, the dotted
    string, on tasks or in ``default_args``: an instance of the class fails on mapped tasks.

    Durations come from a file that ``TaskDurationsOperator`` writes (``durations_file`` in
    ``[ai_provider]``; every scheduler must see it). A task that never ran counts as the mean of
    its DAG's others. No call asks a database: the file is looked at once a second at most, and a
    DAG is worked out once. Where nothing is known yet, the number of tasks on the path decides.

    A task's ``priority_weight`` multiplies. Weights are large numbers: a task under one of
    Airflow's rules goes behind, unless its pool is its own. Airflow weighs a task instance when it
    is made: later runs learn from new durations, a run that began does not.
    """

    def get_weight(self, ti: TaskInstance) -> int:
        """Return the weight of a task instance."""
        task = ti.task
        if task is None:
            raise ValueError(f"the task instance {ti} has no task to be weighed by")
        dag = task.get_dag()
        return task.priority_weight if dag is None else path_weights().weight(dag, task.task_id)


@cache
def path_weights() -> PathWeights:
    """Return this process's weights."""
    from airflow_ai_provider.adapters.task_durations import DurationsFile
    from airflow_ai_provider.services.path_weights import PathWeights

    return PathWeights(DurationsFile(durations_path()))
