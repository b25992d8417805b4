"""From the text of a project file to the project, or to everything that is wrong with it."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from airflow_ai_provider.core.errors import ProjectFileError
from airflow_ai_provider.core.lifecycle.contradictions import contradictions
from airflow_ai_provider.core.lifecycle.criteria import operations_owner
from airflow_ai_provider.core.lifecycle.nodes import (
    Document,
    Problem,
    Steps,
    Unreadable,
    dotted,
    read,
)
from airflow_ai_provider.core.lifecycle.phases import plan_criteria
from airflow_ai_provider.core.lifecycle.project import Project

_TRAP_FIELDS = {
    "business_need": "business_need",
    "kpis_beyond_accuracy": "kpis",
    "minimum_resources": "budget",
    "right_people_first": "people",
    "operations_owner": "people",
    "pilots": "use_cases",
}


def parse_project(
    text: str, *, places: Mapping[str, str] | None = None, source: str = "the project file"
) -> Project:
    """Return the project that ``text`` describes.

    ``places`` gives the folders that ``{home}`` and ``{here}`` stand for; without it they stay as
    they are. ``source`` names the file in the error.

    :raises ProjectFileError: it does not fit; ``facts["errors"]`` lists line, field, message and
        remedy of every problem.
    """
    project, problems = examine(text, places=places)
    if project is None:
        first = problems[0]
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ProjectFileError(
            f"{source}, line {first.line}, {first.field or 'file'}: {first.message}",
            remedy=f"{first.remedy}{more}",
            errors=[as_error(problem) for problem in problems],
        )
    return project


def examine(
    text: str, *, places: Mapping[str, str] | None = None
) -> tuple[Project | None, list[Problem]]:
    """Return the project, or None, and every problem in order of lines."""
    try:
        document = read(text)
    except Unreadable as stopped:
        return None, [stopped.problem]
    values = _expand(document.value, places) if places else document.value
    try:
        project = Project.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        inner = {tuple(d["loc"][:i]) for d in details for i in range(len(d["loc"]))}
        problems = [
            _problem(document, detail)
            for detail in details  # a list with a wrong item also counts as too short: say it once
            if detail["type"] != "too_short" or tuple(detail["loc"]) not in inner
        ]
        return None, sorted(problems, key=lambda p: p.line)
    found = sorted(
        (
            Problem(line=document.line(path), field=dotted(path), message=message, remedy=remedy)
            for path, message, remedy in contradictions(project)
        ),
        key=lambda p: p.line,
    )
    return (None if found else project), found


def traps(project: Project, text: str) -> list[Problem]:
    """Return where ``project``, read from ``text``, would fail a gate whatever happens."""
    document = read(text)
    return [
        Problem(
            line=document.line((_TRAP_FIELDS[criterion.name],)),
            field=_TRAP_FIELDS[criterion.name],
            message=f"The criterion {criterion.name} fails: {criterion.limit}.",
            remedy=criterion.sentence,
        )
        for criterion in (*plan_criteria(project), operations_owner(project))
        if not criterion.verdict.lets_pass
    ]


def as_error(problem: Problem) -> dict[str, Any]:
    """Return ``problem`` as `airflow-ai project check` prints it."""
    return asdict(problem)


def _expand(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, folder in places.items():
            value = value.replace(f"{{{name}}}", folder)
        return value
    if isinstance(value, dict):
        return {key: _expand(inner, places) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_expand(inner, places) for inner in value)
    return value


def _problem(document: Document, detail: Mapping[str, Any]) -> Problem:
    path = _without_key_mark(tuple(detail["loc"]))
    kind, context = detail["type"], detail.get("ctx", {})
    name = str(path[-1]) if path else ""
    if kind == "missing":
        return Problem(
            line=document.line(path[:-1]),
            field=dotted(path),
            message=f"The field {name} is missing.",
            remedy=f"Add it: {_description(path)}.",
        )
    if kind == "extra_forbidden":
        return _unknown(document, path, _fields(_model_at(path[:-1])), "field")
    if kind == "literal_error" and "[key]" in detail["loc"]:
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return _unknown(document, path, known, "name")
    message = re.sub(r"^(Input|String|Value|Tuple)\b", "The value", str(detail["msg"]))
    return Problem(
        line=document.line(path),
        field=dotted(path),
        message=f"{message}, not {_shown(detail.get('input'))}.",
        remedy=f"Give {_description(path)}.",
    )


def _unknown(document: Document, path: Steps, known: list[str], what: str) -> Problem:
    name = str(path[-1])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = ", ".join(known)
    return Problem(
        line=document.line(path),
        field=dotted(path),
        message=f"There is no {what} {name[:60]} here.",
        remedy=f"Did you mean {near[0]}?" if near else f"Remove it; known are {listed}.",
    )


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, (dict, tuple)):
        return "a group of fields" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_key_mark(location: tuple[Any, ...]) -> Steps:
    return tuple(step for step in location if step != "[key]")


def _description(path: Steps) -> str:
    """Return what a field is for, in the words of its model."""
    for end in range(len(path), 0, -1):
        model, name = _model_at(path[: end - 1]), path[end - 1]
        if model is not None and name in model.model_fields:
            return str(model.model_fields[str(name)].description or name)
    return "a value that fits"


def _fields(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model is not None else []


def _model_at(path: Steps) -> type[BaseModel] | None:
    """Return the model whose fields stand at ``path``."""
    found: Any = Project
    for step in path:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(step))
            found = None if field is None else field.annotation
        else:
            arguments = get_args(found)
            origin = get_origin(found)
            found = arguments[1] if origin is dict else arguments[0] if arguments else None
        found = _bare(found)
        if found is None:
            return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """Return an annotation without ``None`` beside it and without its constraints."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in {Union, types.UnionType}:
            annotation = next(a for a in get_args(annotation) if a is not type(None))
        else:
            return annotation
