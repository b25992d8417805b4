"""Read a project file from disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_ai_provider.core.errors import CriteriaError, ProjectFileError
from airflow_ai_provider.core.lifecycle.nodes import MAX_CHARACTERS, Problem, dotted, read
from airflow_ai_provider.core.lifecycle.parsing import as_error, examine, parse_project, traps
from airflow_ai_provider.core.lifecycle.project import Project


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """A project as its file says it, where that file is, its text and the digest of that."""

    project: Project
    path: Path
    digest: str
    text: str = field(repr=False)


def load_project(path: str | os.PathLike[str]) -> Project:
    """Return the project that the file at ``path`` describes.

    ``{home}`` in it becomes Airflow's home, ``{here}`` the file's folder.

    :raises ProjectFileError: there is no such file, or it does not fit; ``facts["errors"]`` lists
        line, field, message and remedy of every problem.
    """
    return read_project_file(path).project


def read_project_file(path: str | os.PathLike[str]) -> ProjectFile:
    """Do as ``load_project``; also say where it was read and what its text was."""
    found = Path(path)
    text = read_text(found)
    project = parse_project(text, places=places(found), source=str(found))
    return ProjectFile(
        project=project,
        path=found.absolute(),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
    )


def places(path: Path) -> dict[str, str]:
    """Return the folders that a project file may name as ``{home}`` and ``{here}``."""
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser().absolute()
    return {"home": str(home), "here": str(path.absolute().parent)}


def read_text(path: Path) -> str:
    """Return the text of the project file at ``path``.

    :raises ProjectFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_CHARACTERS + 1)
        return content.decode()
    except OSError as error:
        reason = f"There is no project file {path}: {error.strerror}."
        remedy = "Name an existing file; `airflow-ai project init FOLDER` begins one."
    except UnicodeDecodeError:
        reason, remedy = f"The project file {path} is no UTF-8 text.", "Save it as UTF-8."
    errors = [{"line": 1, "field": "", "message": reason, "remedy": remedy}]
    raise ProjectFileError(reason, remedy=remedy, errors=errors)


def check_text(text: str) -> list[dict[str, Any]]:
    """Return line, field, message and remedy of every problem of a project file's ``text``.

    A file that can be read is also held against the exit criteria that it alone decides.
    """
    project, problems = examine(text)
    if project is not None:
        problems = sorted([*criteria_problems(project, text), *traps(project, text)], key=_line)
    return [as_error(problem) for problem in problems]


def criteria_problems(project: Project, text: str) -> list[Problem]:
    """Return the model gates' criteria that mean nothing, each with its place."""
    document = read(text)
    found = []
    for i, use_case in enumerate(project.use_cases):
        for phase in ("pilot", "production"):
            listed = getattr(use_case.criteria, phase, None) or ()
            error = _criteria_error(listed)
            if error is None:
                continue
            alone = [j for j, criterion in enumerate(listed) if _criteria_error([criterion])]
            path = ("use_cases", i, "criteria", phase, *alone[:1])
            found.append(
                Problem(
                    line=document.line(path),
                    field=dotted(path),
                    message=error.message,
                    remedy=error.remedy or "Correct it.",
                )
            )
    return found


def _criteria_error(listed: Sequence[Any]) -> CriteriaError | None:
    from airflow_ai_provider.core.promotion.criteria import parse_criteria  # imports numpy

    try:
        if listed:
            parse_criteria(list(listed))
    except CriteriaError as error:
        return error
    return None


def _line(problem: Problem) -> int:
    return problem.line
