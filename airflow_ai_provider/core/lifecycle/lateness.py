"""What is late against the plan, why, and who is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_ai_provider.core.lifecycle.forecast import Forecast, Step

TOLERATED = 0.5  # working days; less is rounding to whole days


@dataclass(frozen=True, kw_only=True)
class Late:
    """A milestone that ends later than planned: by how many working days, and why."""

    name: str
    days: float
    why: str


def late(
    steps: Mapping[str, Step], planned: Forecast, found: Forecast, *, now: float
) -> list[Late]:
    """Return the milestones that end later than planned with 50 percent, in the order given."""
    days = {name: found.steps[name].p50 - planned.steps[name].p50 for name in steps}
    behind = {name: by for name, by in days.items() if by > TOLERATED}
    return [
        Late(name=name, days=by, why=_why(name, steps, planned, found, behind, now))
        for name, by in behind.items()
    ]


def waiting(steps: Mapping[str, Step]) -> list[str]:
    """Return the milestones that somebody can work on now: not done, and all before them is."""
    return [
        name
        for name, step in steps.items()
        if step.finished is None
        and (
            step.started is not None
            or all(steps[a].finished is not None for a in step.after if a in steps)
        )
    ]


def _why(
    name: str,
    steps: Mapping[str, Step],
    planned: Forecast,
    found: Forecast,
    behind: Mapping[str, float],
    now: float,
) -> str:
    step, first = steps[name], planned.steps[name]
    expected = first.finish - first.start
    reasons = []
    if step.finished is not None:
        took = step.finished - (step.begun or 0.0)
        if took > expected + TOLERATED:
            reasons.append(f"it took {_days(took)}, {_days(expected)} were expected")
    elif step.started is not None:
        gone = now - step.started
        if step.estimate and gone >= step.estimate.worst:
            reasons.append(
                f"it has run for {_days(gone)}, longer than its worst estimate of "
                f"{_days(step.estimate.worst)}"
            )
        elif gone > expected:
            reasons.append(f"it has run for {_days(gone)}, {_days(expected)} were expected")
    elif name in waiting(steps) and now > first.start + TOLERATED:
        reasons.append("it could be begun and is not")
    held = max(
        (a for a in step.after if a in behind),
        key=lambda a: found.steps[a].p50,
        default=None,
    )
    if held is not None:
        reasons.append(f"{held} before it is {_days(behind[held])} late")
    if not reasons and step.begun is not None and step.begun > first.start + TOLERATED:
        reasons.append(f"it was begun {_days(step.begun - first.start)} late")
    return "; ".join(reasons) or "several estimates before it add up to more than was planned"


def _days(number: float) -> str:
    shown = f"{number:.1f}".removesuffix(".0")
    return f"{shown} working day{'' if shown == '1' else 's'}"
