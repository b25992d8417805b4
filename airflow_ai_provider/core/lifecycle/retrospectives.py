"""What a phase taught: a form for each phase, asked and kept as a milestone's is."""

from __future__ import annotations

from collections.abc import Callable

from airflow_ai_provider.core.lifecycle.milestones import Deliverable, Milestone
from airflow_ai_provider.core.lifecycle.project import PHASES, Project

_QUESTIONS = {
    "went_well": ("What went well", "What is kept?"),
    "went_badly": ("What went badly", "What is not done again?"),
    "changes": ("What changes", "What is done differently from now on, and by whom?"),
}


def _said(phase: str, field: str) -> Callable[[Project], str | None]:
    def proposal(project: Project) -> str | None:
        found = project.retrospectives.get(phase)  # type: ignore[call-overload]
        return getattr(found, field) if found else None

    return proposal


RETROSPECTIVES: tuple[Milestone, ...] = tuple(
    Milestone(
        name=f"{phase}_retrospective",
        title=f"Retrospective of {phase}",
        role="project_manager",
        after=(),
        phase=phase,
        deliverables=tuple(
            Deliverable(name=field, title=title, question=question, proposal=_said(phase, field))
            for field, (title, question) in _QUESTIONS.items()
        ),
    )
    for phase in PHASES
)
