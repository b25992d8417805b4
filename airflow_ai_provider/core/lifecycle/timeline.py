"""A project's plan against what happened, as dates: what a page, a report or a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow_ai_provider.core.lifecycle.calendar import WorkCalendar
from airflow_ai_provider.core.lifecycle.estimates import ThreePoint
from airflow_ai_provider.core.lifecycle.forecast import DRAWS, Forecast, Step, forecast, plan
from airflow_ai_provider.core.lifecycle.lateness import late, waiting


@dataclass(frozen=True, kw_only=True)
class Happened:
    """When a milestone was begun, and when it was done; None of what has not happened.

    ``share`` is how much of an unfinished one is known to be done, from 0 to 1.
    """

    started: date | None = None
    finished: date | None = None
    share: float = 0.0


def timeline(
    milestones: Sequence[Mapping[str, Any]],
    happened: Mapping[str, Happened],
    *,
    calendar: WorkCalendar,
    today: date,
    people: Mapping[str, str] | None = None,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return plan, actual and forecast of each milestone, and of the whole.

    ``milestones`` are as the project file has them; ``people`` are users by role. Dates are ISO
    8601, JSON-safe. A milestone without an estimate takes no time and is named in
    ``unestimated``: every date after it is the earliest one.

    :raises LifecycleError: milestones wait for one another, or an estimate runs backwards.
    """
    steps = {str(m["name"]): _step(m, happened, calendar) for m in milestones}
    now = float(calendar.morning(today))
    planned, found = plan(steps, draws=draws), forecast(steps, now=now, draws=draws)
    behind = {entry.name: entry for entry in late(steps, planned, found, now=now)}
    ready = waiting(steps)
    whose = people or {}
    rows = [
        {
            **_said(m, whose),
            "state": _state(str(m["name"]), steps, ready),
            "share_done": round(steps[str(m["name"])].share, 3),
            "planned": _span(planned, str(m["name"]), calendar),
            "actual": _actual(happened.get(str(m["name"]))),
            "forecast": _span(found, str(m["name"]), calendar),
            "slack_days": round(found.steps[str(m["name"])].slack, 1),
            "critical": found.steps[str(m["name"])].critical,
            "criticality": round(found.steps[str(m["name"])].criticality, 3),
            "late_days": round(behind[m["name"]].days, 1) if m["name"] in behind else 0.0,
        }
        for m in milestones
    ]
    return {
        "start": calendar.start.isoformat(),
        "today": today.isoformat(),
        "done": sum(step.finished is not None for step in steps.values()),
        "milestones": rows,
        "path": list(found.path),
        "planned_finish": _end(planned.p50, calendar) if steps else None,
        "p50": _end(found.p50, calendar) if steps else None,
        "p90": _end(found.p90, calendar) if steps else None,
        "late": [{"name": e.name, "days": round(e.days, 1), "why": e.why} for e in behind.values()],
        "waiting_for": [_waited(row, happened, calendar) for row in rows if row["name"] in ready],
        "unestimated": [name for name, step in steps.items() if step.estimate is None],
    }


def _step(
    milestone: Mapping[str, Any], happened: Mapping[str, Happened], calendar: WorkCalendar
) -> Step:
    said, what = milestone.get("estimate"), happened.get(str(milestone["name"]), Happened())
    finished = None if what.finished is None else float(calendar.evening(what.finished))
    started = None if what.started is None else float(calendar.morning(what.started))
    if started is not None and finished is not None:
        started = min(started, finished)
    return Step(
        estimate=ThreePoint(**{k: float(said[k]) for k in ("best", "likely", "worst")})
        if said
        else None,
        after=tuple(milestone.get("after") or ()),
        started=started,
        finished=finished,
        share=0.0 if finished is not None else what.share,
    )


def _said(milestone: Mapping[str, Any], people: Mapping[str, str]) -> dict[str, Any]:
    owner = str(milestone.get("owner") or "")
    return {
        "name": str(milestone["name"]),
        "phase": str(milestone.get("phase") or ""),
        "owner": owner,
        "person": people.get(owner),
        "after": list(milestone.get("after") or ()),
        "deliverables": list(milestone.get("deliverables") or ()),
    }


def _state(name: str, steps: Mapping[str, Step], ready: Sequence[str]) -> str:
    step = steps[name]
    if step.finished is not None:
        return "done"
    if step.started is not None:
        return "running"
    return "ready" if name in ready else "waiting"


def _span(found: Forecast, name: str, calendar: WorkCalendar) -> dict[str, str]:
    outlook = found.steps[name]
    return {
        "start": calendar.starts(outlook.start).isoformat(),
        "finish": _end(outlook.finish, calendar),
        "p50": _end(outlook.p50, calendar),
        "p90": _end(outlook.p90, calendar),
    }


def _actual(what: Happened | None) -> dict[str, str | None] | None:
    if what is None or (what.started is None and what.finished is None):
        return None
    return {
        "start": what.started.isoformat() if what.started else None,
        "finish": what.finished.isoformat() if what.finished else None,
    }


def _waited(
    row: Mapping[str, Any], happened: Mapping[str, Happened], calendar: WorkCalendar
) -> dict[str, Any]:
    """Return who is waited for, and since when: since what comes before was done."""
    before = [
        what.finished
        for name in row["after"]
        if (what := happened.get(name)) and what.finished is not None
    ]
    since = max(before, default=calendar.start)
    return {
        "milestone": row["name"],
        "role": row["owner"],
        "person": row["person"],
        "since": since.isoformat(),
    }


def _end(place: float, calendar: WorkCalendar) -> str:
    return calendar.ends(place).isoformat()
