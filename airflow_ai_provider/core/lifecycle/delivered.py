"""Whether a milestone's deliverables are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_ai_provider.core.gate import Criterion, Verdict
from airflow_ai_provider.core.lifecycle.milestones import (
    MAX_ANSWER,
    MIN_ANSWER,
    DeliverableKind,
    Milestone,
)
from airflow_ai_provider.core.lifecycle.project import Project


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A deliverable that is not there, and why."""

    deliverable: str
    kind: DeliverableKind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What was found for a milestone: deliverables by kind, and those that are not there."""

    measured: Mapping[str, Any] = field(default_factory=dict)
    answered: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()


def assess(
    definition: Milestone,
    project: Project,
    *,
    measured: Mapping[str, Any] | None,
    answers: Mapping[str, Any] | None,
) -> Delivered:
    """Return what ``definition`` has and lacks.

    An answer that is empty takes the project file's own: whoever answered saw it in the form. A
    measurement that holds a non-empty ``problems`` is not there: it says so itself.
    """
    found, given = dict(measured or {}), dict(answers or {})
    have_measured: dict[str, Any] = {}
    have_answered: dict[str, str] = {}
    missing: list[Missing] = []
    for deliverable in definition.deliverables:
        name = deliverable.name
        if deliverable.measured:
            value = found.get(name)
            if reason := absent_reason(value):
                missing.append(
                    Missing(deliverable=name, kind=DeliverableKind.MEASURED, reason=reason)
                )
            else:
                have_measured[name] = value
        if deliverable.asked:
            answer = answer_of(given.get(name)) or deliverable.propose(project)
            if answer is None:
                missing.append(
                    Missing(
                        deliverable=name,
                        kind=DeliverableKind.ASKED,
                        reason="nobody answered it and the project file says nothing",
                    )
                )
            else:
                have_answered[name] = answer
    return Delivered(measured=have_measured, answered=have_answered, missing=tuple(missing))


def milestone_criteria(
    definition: Milestone, delivered: Delivered, vanished: Sequence[str]
) -> tuple[Criterion, ...]:
    """Return one criterion for each deliverable; those in ``vanished`` name a lost file."""
    missing = {m.deliverable: m.reason for m in delivered.missing}
    criteria = []
    for deliverable in definition.deliverables:
        reason = missing.get(deliverable.name)
        if reason is None and deliverable.name in vanished:
            reason = "the file that it names is not there"
        criteria.append(
            Criterion(
                name=deliverable.name,
                limit="delivered",
                observed="delivered" if reason is None else "missing",
                verdict=Verdict.PASS if reason is None else Verdict.FAIL,
                sentence=f"{deliverable.title}: {'delivered' if reason is None else reason}.",
            )
        )
    return tuple(criteria)


def answer_of(value: Any) -> str | None:
    """Return a form's value as an answer; None when it says nothing."""
    text = value.strip() if isinstance(value, str) else ""
    return text[:MAX_ANSWER] if len(text) >= MIN_ANSWER else None


def absent_reason(value: Any) -> str | None:
    """Return why a measured ``value`` counts as absent; None when it is there."""
    if not value:
        return "it was not measured"
    if isinstance(value, Mapping) and value.get("problems"):
        return "; ".join(str(problem) for problem in value["problems"])
    return None
