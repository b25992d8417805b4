"""Keep a project's plan in the store, and refine it without forgetting."""

from __future__ import annotations

from airflow_ai_provider.core.errors import ProjectRefinementError
from airflow_ai_provider.core.lifecycle.refining import Refinement, refinement
from airflow_ai_provider.services.project_file import ProjectFile
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.lifecycle import Projects


def note(projects: Projects, file: ProjectFile) -> None:
    """Keep the plan as it was just read."""
    project = file.project
    projects.note(
        name=project.name,
        title=project.title,
        owner=project.owner,
        path=str(file.path),
        digest=file.digest,
        plan=project.model_dump(mode="json"),
        text=file.text,
    )


def refine(store: Store, file: ProjectFile, *, keep: bool = True) -> Refinement | None:
    """Take ``file`` as the project's next plan and return what changed; None of a first plan.

    With ``keep`` false nothing is written.

    :raises ProjectRefinementError: it forgets a milestone; the project stays as it was.
    """
    projects = Projects(store)
    standing = projects.get(file.project.name)
    found = None
    if standing is not None:
        found = refinement(standing.plan, file.project, phase=standing.phase)
        if found.forgotten:
            raise ProjectRefinementError(
                f"The plan of {file.project.name} forgets: {' '.join(found.forgotten)}",
                remedy="The project stays as it was.",
                forgotten=list(found.forgotten),
            )
    if keep:
        note(projects, file)
    return found
