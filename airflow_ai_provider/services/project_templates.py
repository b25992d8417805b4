"""Begin a project from a template: its file, its DAGs, and what a company's CI calls."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from airflow_ai_provider.core.errors import ProjectTemplateError
from airflow_ai_provider.core.lifecycle.json_schema import project_schema

SCHEMA_FILE = "project.schema.json"
_COMMON = (".airflowignore", "ci/github-actions.yml", "discovery.py", "use_cases.py")
_FIRST = "projects/flight_delays.yaml"
_TRAINING = ("experiments",)


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a template is for, its project file, and the files and folders beside it."""

    title: str
    project: str
    parts: tuple[str, ...]


TEMPLATES = {
    "flight_delays": Template(
        title="late arrivals: a whole life, from discovery to feedback and retraining",
        project="projects/flight_delays.yaml",
        parts=(
            *_COMMON,
            *_TRAINING,
            *("pilot.py", "production.py", "scoring.py", "feedback.py", "maintenance.py"),
            *("rollback.py", "demo_feed.py", "flight_delays", "handwritten_digits"),
            *("suites/flights.json", "suites/digits.json"),
        ),
    ),
    "load_sheets": Template(
        title="handwritten digits: two vision pilots side by side",
        project="projects/load_sheets.yaml",
        parts=(
            *_COMMON,
            *_TRAINING,
            *("load_sheets.py", "handwritten_digits", "one_or_seven", "suites/digits.json"),
        ),
    ),
    "batch_scoring": Template(
        title="deliveries scored in batches by a rule that nobody trains",
        project="projects/batch_scoring.yaml",
        parts=(
            *_COMMON,
            *("batch_scoring.py", "parcels", "samples/parcels.csv"),
            *("suites/parcels.json", "suites/parcel_scores.json"),
        ),
    ),
    "plan": Template(
        title="a project file alone, to be filled in",
        project="projects/plan.yaml",
        parts=("ci/github-actions.yml",),
    ),
}


def templates_folder() -> Path:
    """Return the folder of the templates: as installed, or in a checkout its own.

    :raises ProjectTemplateError: there is none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "templates", package.parent / "dags"):
        if folder.is_dir():
            return folder
    raise ProjectTemplateError(
        f"There are no templates beside {package}.", remedy="Install the package's wheel."
    )


def begin(folder: Path, template: str) -> tuple[Path, list[str]]:
    """Write ``template`` into ``folder``; return its project file, and every file by its name.

    The JSON Schema stands beside the project file, which names it for editors.

    :raises ProjectTemplateError: there is no such template, or a file of it is there already; then
        nothing was written.
    """
    chosen = TEMPLATES.get(template)
    if chosen is None:
        raise ProjectTemplateError(
            f"There is no template {template}.", remedy=f"Choose from {', '.join(TEMPLATES)}."
        )
    source = templates_folder()
    names = sorted(
        name for part in (*chosen.parts, chosen.project) for name in _files(source, part)
    )
    schema = str(Path(chosen.project).with_name(SCHEMA_FILE))
    there = [name for name in (*names, schema) if (folder / name).exists()]
    if there:
        raise ProjectTemplateError(
            f"{folder} holds {', '.join(there[:5])} already.", remedy="Name an empty folder."
        )
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(source / name, folder / name, chosen)
    project = folder / chosen.project
    modeline = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
    project.write_text(modeline + project.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / schema).write_text(schema_text(), encoding="utf-8")
    return project, [*names, schema]


def schema_text() -> str:
    """Return the JSON Schema of the project file as it is published in the wheel."""
    return json.dumps(project_schema(), indent=2, ensure_ascii=False) + "\n"


def _copy(source: Path, target: Path, chosen: Template) -> None:
    if source.suffix != ".py":
        shutil.copyfile(source, target)
        return
    text = source.read_text(encoding="utf-8")  # the DAGs of a folder ask for one project first
    target.write_text(text.replace(_FIRST, chosen.project), encoding="utf-8")


def _files(source: Path, part: str) -> list[str]:
    place = source / part
    if place.is_file():
        return [part]
    found = [
        str(path.relative_to(source))
        for path in place.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    if not found:
        raise ProjectTemplateError(
            f"The template lacks {place}.", remedy="Install the package's wheel again."
        )
    return found
