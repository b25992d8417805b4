"""``airflow-ai project``: look at a project file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from airflow_ai_provider.commands.output import COULD_NOT_LOOK, DONE, REFUSED, emit
from airflow_ai_provider.core.errors import ProjectFileError


def register(subparsers: Any) -> None:
    """Add the command."""
    project = subparsers.add_parser("project", help="the plan of an AI project")
    commands = project.add_subparsers(metavar="ACTION", required=True)
    check = commands.add_parser("check", help="find what is wrong with a project file")
    check.add_argument("file", type=Path, metavar="FILE", help="the project file, in YAML")
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Check a project file: its form, and what its gates would refuse whatever happens."""
    from airflow_ai_provider.services.project_file import check_text, read_text

    try:
        text = read_text(args.file)
    except ProjectFileError as error:
        errors, status = error.facts["errors"], COULD_NOT_LOOK
    else:
        errors = check_text(text)
        status = REFUSED if errors else DONE
    lines = [
        f"{args.file}:{e['line']}: {e['field'] or 'file'}: {e['message']} {e['remedy']}"
        for e in errors
    ]
    document = {"ok": not errors, "errors": errors}
    emit(args, document, lines or [f"{args.file} is a good project file."])
    return status
