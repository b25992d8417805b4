"""Who is planned for more than they have: shares of working time over the milestones in time.

A milestone begins when those before it have ended, as their likely lengths say. While milestones
overlap, the shares of their people add up; what they may reach is what the project file says that
a person has for the project.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_ai_provider.core.lifecycle.project import Project

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Overload:
    """Roles of one person that milestones take more of than there is, at the same time."""

    roles: tuple[str, ...]
    milestones: tuple[str, ...]
    planned: float
    available: float


def likely_spans(project: Project) -> dict[str, tuple[float, float]]:
    """Return when each milestone begins and ends, in working days from the project's begin."""
    spans: dict[str, tuple[float, float]] = {}
    waiting = list(project.milestones)
    while waiting:
        ready = [m for m in waiting if all(before in spans for before in m.after)]
        if not ready:
            break  # they wait for each other: the parser says so
        for milestone in ready:
            start = max((spans[before][1] for before in milestone.after), default=0.0)
            length = milestone.estimate.likely if milestone.estimate else 0.0
            spans[milestone.name] = (start, start + length)
        waiting = [m for m in waiting if m.name not in spans]
    return spans


def overloads(project: Project) -> list[Overload]:
    """Return, of each person who is planned for too much, the first worst time."""
    spans = likely_spans(project)
    roles_of: dict[str, list[str]] = {}
    available: dict[str, float] = {}
    for role, person in project.people.items():
        roles_of.setdefault(person.user, []).append(role)
        available[person.user] = available.get(person.user, 0.0) + (person.share or 0.0)
    found = []
    for user, roles in roles_of.items():
        taken = [
            (spans[m.name], m.name, sum(m.people.get(role, 0.0) for role in roles))  # type: ignore[call-overload]
            for m in project.milestones
            if m.name in spans
        ]
        taken = [entry for entry in taken if entry[2] > 0]
        worst: Overload | None = None
        for (start, _), _, _ in sorted(taken):
            here = [e for e in taken if e[0][0] <= start < e[0][1]]
            planned = sum(share for _, _, share in here)
            limit = min(available[user], 1.0)
            if planned > limit + _ROUNDING and (worst is None or planned > worst.planned):
                worst = Overload(
                    roles=tuple(roles),
                    milestones=tuple(name for _, name, _ in here),
                    planned=round(planned, 3),
                    available=round(limit, 3),
                )
        if worst:
            found.append(worst)
    return found
