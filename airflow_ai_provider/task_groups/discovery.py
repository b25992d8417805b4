"""Discovery as a task group: six milestones, then the gate of the phase."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_ai_provider.operators.lifecycle import (
    MilestoneFormOperator,
    MilestoneOperator,
    PhaseGateOperator,
)


def discovery(
    *,
    project: str,
    group_id: str = "discovery",
    response_timeout: timedelta | None = None,
    store_conn_id: str = "ai_store_default",
    form_retries: int = 3,
) -> TaskGroup:
    """Return the task group of discovery.

    Each milestone is a group of its own: ``measure`` what a machine can find out, ``ask`` the
    person of its role, ``done`` when the deliverables are there. Kick-off comes first; data, then
    process and technology, and skills side by side; then the use cases, and the strategy. The last
    task, ``gate``, decides on the phase and emits ``ai-project://NAME/discovery``.

    :param project: path of the project file; a relative one stands beside the DAG's file.
    :param response_timeout: how long a form waits for its answer; for ever unless said.
    :param form_retries: how often a form is asked again after answers that were refused.
    """
    from airflow_ai_provider.core.lifecycle.milestones import MILESTONES

    common: dict[str, Any] = {"project": project, "store_conn_id": store_conn_id}
    with TaskGroup(group_id) as group:
        finished: dict[str, MilestoneOperator] = {}
        for milestone in MILESTONES:
            with TaskGroup(milestone.name, tooltip=milestone.title) as steps:
                named = {**common, "milestone": milestone.name}
                measured = _measure(**named) if milestone.measured else None
                asked = MilestoneFormOperator(
                    task_id="ask",
                    measured=measured,
                    response_timeout=response_timeout,
                    retries=form_retries,
                    retry_delay=timedelta(seconds=5),
                    **named,
                )
                finished[milestone.name] = MilestoneOperator(
                    task_id="done", measured=measured, answers=asked.output, **named
                )
            for before in milestone.after:
                finished[before] >> steps
        gate = PhaseGateOperator(task_id="gate", phase="discovery", **common)
        finished[MILESTONES[-1].name] >> gate
    return group


@task(task_id="measure")
def _measure(project: str, milestone: str, store_conn_id: str) -> dict[str, Any]:
    """Find out what a machine can."""
    from airflow_ai_provider.hooks.lifecycle import ProjectHook

    found = ProjectHook(store_conn_id).measure(project, milestone, get_current_context())
    problems = {str(problem) for value in found.values() for problem in value.get("problems", ())}
    if problems:  # nobody is asked before the data is there
        raise AirflowFailException(" ".join(sorted(problems)))
    return found
