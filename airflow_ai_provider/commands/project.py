"""``airflow-ai project``: begin, check, refine, show and try a project."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ai_provider.commands.output import (
    COULD_NOT_LOOK,
    DONE,
    REFUSED,
    add_viewer,
    emit,
    open_store,
    say,
    sight,
)
from airflow_ai_provider.core.errors import (
    LifecycleError,
    ProjectFileError,
    ProjectRefinementError,
    ProjectTemplateError,
)

if TYPE_CHECKING:
    from airflow_ai_provider.core.lifecycle.visible import Sight
    from airflow_ai_provider.store.engine import Store


def register(subparsers: Any) -> None:
    """Add the command."""
    project = subparsers.add_parser("project", help="the plan of an AI project")
    commands = project.add_subparsers(metavar="ACTION", required=True)
    init = commands.add_parser("init", help="begin a project from a template")
    init.add_argument("folder", type=Path, metavar="FOLDER", help="where its files go")
    init.add_argument(
        "--template",
        default="plan",
        metavar="NAME",
        help="flight_delays, load_sheets, batch_scoring or plan (the default: the file alone)",
    )
    init.set_defaults(run=run_init)
    check = commands.add_parser("check", help="find what is wrong with a project file")
    _add_file(check)
    check.set_defaults(run=run_check)
    show = commands.add_parser("show", help="where a project stands, from the store")
    show.add_argument("name", metavar="NAME", help="the project's name")
    show.add_argument("--report", type=Path, metavar="FILE", help="also write the report (HTML)")
    add_viewer(show)
    show.set_defaults(run=run_show)
    refine = commands.add_parser("refine", help="take a file as the project's next plan")
    _add_file(refine)
    refine.add_argument("--dry-run", action="store_true", help="say what changes and keep nothing")
    add_viewer(refine)
    refine.set_defaults(run=run_refine)
    test = commands.add_parser("test", help="parse the DAGs, try suites and gates; for a CI")
    _add_file(test)
    test.add_argument("--dags", type=Path, metavar="FOLDER", help="the project's DAGs")
    test.add_argument(
        "--phase",
        choices=("discovery", "pilot"),
        default="pilot",
        help="judge what is due by the end of this phase (default: pilot)",
    )
    test.add_argument("--fetch", action="store_true", help="fetch samples from the data sources")
    test.set_defaults(run=run_test)
    schema = commands.add_parser("schema", help="the JSON Schema of a project file, for editors")
    schema.set_defaults(run=run_schema)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the project file, in YAML")


def run_init(args: argparse.Namespace) -> int:
    """Write a template; refused when something of it is there."""
    from airflow_ai_provider.services.project_templates import begin

    try:
        path, names = begin(args.folder, args.template)
    except ProjectTemplateError as error:
        return _refused(args, error)
    lines = [
        *(f"wrote {args.folder / name}" for name in names),
        f"Fill in {path}, then: airflow-ai project check {path}",
    ]
    emit(args, {"ok": True, "project": str(path), "files": names}, lines)
    return DONE


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


def run_show(args: argparse.Namespace) -> int:
    """Show what the store knows of a project."""
    from airflow_ai_provider.services.project_shown import shown

    store = open_store(args)
    seen = sight(args, store)
    found = shown(store, args.name, sight=seen)
    if args.report is not None:
        _write_report(store, args.name, seen, args.report)
    emit(args, found, _shown_lines(found))
    return DONE


def _write_report(store: Store, name: str, seen: Sight, path: Path) -> None:
    from airflow_ai_provider.services.project_report import write_report
    from airflow_ai_provider.services.project_view import project

    today = datetime.now(timezone.utc).date()
    write_report(project(store, name, today=today, sight=seen), html=path)


def run_refine(args: argparse.Namespace) -> int:
    """Take a file as the next plan; refused when it forgets what the one before it had."""
    from airflow_ai_provider.services.noting import refine
    from airflow_ai_provider.services.project_file import read_project_file

    file = read_project_file(args.file)
    store = open_store(args, create=True)
    if not sight(args, store).shows_project(file.project.name):
        raise LifecycleError(
            f"The store keeps a plan of {file.project.name} that you may not see.",
            remedy="Name somebody with --as who is named in its visible_to.",
        )
    try:
        found = refine(store, file, keep=not args.dry_run)
    except ProjectRefinementError as error:
        return _refused(args, error)
    changes = [] if found is None else found.changes
    document = {
        "ok": True,
        "project": file.project.name,
        "digest": file.digest,
        "first": found is None,
        "kept": not args.dry_run,
        "changes": [
            {"field": c.field, "what": c.what, "before": c.before, "after": c.after}
            for c in changes
        ],
    }
    lines = [f"{c.field}: {c.what}" for c in changes]
    emit(args, document, lines or ["This is the first plan." if found is None else "No change."])
    return DONE


def run_test(args: argparse.Namespace) -> int:
    """Try everything that can be tried without a store; refused when something does not hold."""
    from airflow_ai_provider.services.project_file import read_text
    from airflow_ai_provider.services.project_test import try_project

    read_text(args.file)  # an absent file could not be looked at
    checks = list(try_project(args.file, dags=args.dags, phase=args.phase, fetch=args.fetch))
    good = all(check.ok for check in checks)
    document = {
        "ok": good,
        "checks": [
            {"name": c.name, "ok": c.ok, "message": c.message, "remedy": c.remedy} for c in checks
        ],
    }
    lines = [
        f"{'ok  ' if c.ok else 'FAIL'} {c.name}: {c.message} {c.remedy}".rstrip() for c in checks
    ]
    emit(args, document, lines)
    return DONE if good else REFUSED


def run_schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of a project file."""
    from airflow_ai_provider.services.project_templates import schema_text

    say(schema_text(), end="")
    return DONE


def _refused(args: argparse.Namespace, error: LifecycleError) -> int:
    document = {"ok": False, "message": error.message, "remedy": error.remedy, **error.facts}
    emit(args, document, [str(error)])
    return REFUSED


def _shown_lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['title'] or found['name']} is in {found['phase']} (plan {found['digest'][:12]})"
    for milestone in found["milestones"]:
        yield f"  {'done' if milestone['done'] else 'open'}  {milestone['title']}"
    for gate in found["gates"]:
        yield f"  gate {gate['subject']}: {gate['verdict']} on {gate['at']}"
        yield from (f"    {sentence}" for sentence in gate["failed"])
    for kpi in found["kpis"]:
        said = kpi["problem"] or f"{kpi['value']:g} ({'met' if kpi['met'] else 'missed'})"
        yield f"  KPI {kpi['name']}: {said}; target: {kpi['target']}"
    for name, fired in found["risks"].items():
        if fired is not False:
            yield f"  risk {name}: {'it has come true' if fired else 'nobody can tell'}"
    yield f"  {len(found['versions'])} versions of the plan"
