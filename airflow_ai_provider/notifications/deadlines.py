"""Airflow's own deadline alerts, set by a project's plan."""

from __future__ import annotations

import os
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

if TYPE_CHECKING:
    from airflow.sdk.definitions.callback import Callback


def milestone_deadline(
    project: str | os.PathLike[str],
    milestone: str,
    *,
    start: date,
    callback: Callback,
    grace: timedelta = timedelta(0),
    zone: tzinfo = timezone.utc,
) -> DeadlineAlert:
    """Return a deadline alert for the DAG that carries ``milestone``: ``DAG(deadline=...)``.

    A run that is not done by the evening on which the plan expects the milestone to end, with
    ``grace`` after it, calls ``callback``: ``AsyncCallback(SomeNotifier, kwargs={...})`` or
    ``SyncCallback(...)``; the triggerer gives a notifier no context, so that its templates see
    nothing of the run: write into ``kwargs`` what it is to say, or name an ``async`` function with
    an argument ``context``. A run that starts after that evening is late at once.

    The plan begins on ``start`` and takes the expected length of every estimate, so that the date
    is the same at each parse; a forecast is in the report.

    :param project: path of the project file.
    :raises ProjectFileError: there is none, or it does not fit.
    :raises LifecycleError: it has no such milestone.
    """
    day = planned_end(project, milestone, start=start)
    evening = datetime.combine(day + timedelta(days=1), time(), zone)
    return DeadlineAlert(
        reference=DeadlineReference.FIXED_DATETIME(evening), interval=grace, callback=callback
    )


def planned_end(project: str | os.PathLike[str], milestone: str, *, start: date) -> date:
    """Return the day on which the plan of a project file expects ``milestone`` to end.

    :raises ProjectFileError: there is no such file, or it does not fit.
    :raises LifecycleError: it has no such milestone.
    """
    from airflow_ai_provider.core.errors import LifecycleError
    from airflow_ai_provider.core.lifecycle.calendar import WorkCalendar
    from airflow_ai_provider.core.lifecycle.critical_path import Work, schedule
    from airflow_ai_provider.core.lifecycle.estimates import ThreePoint
    from airflow_ai_provider.services.project_file import load_project

    plan = load_project(project).milestones
    works = {}
    for step in plan:
        said = step.estimate
        expected = (
            ThreePoint(best=said.best, likely=said.likely, worst=said.worst).expected
            if said
            else 0.0
        )
        works[step.name] = Work(length=expected, after=step.after)
    if milestone not in works:
        raise LifecycleError(
            f"The project file {project} has no milestone {milestone}.",
            remedy=f"Name one of {', '.join(works) or 'its milestones, once it has some'}.",
        )
    return WorkCalendar(start=start).ends(schedule(works)[milestone].finish)
