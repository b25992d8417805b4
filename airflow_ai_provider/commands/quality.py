"""``airflow-ai quality``: run a data gate in a terminal."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_ai_provider.commands.output import DONE, REFUSED, emit, table
from airflow_ai_provider.commands.quality_data import add_data, data_of
from airflow_ai_provider.commands.quality_profile import add_profile
from airflow_ai_provider.commands.quality_scan import add_scan
from airflow_ai_provider.commands.quality_shown import Look, shown
from airflow_ai_provider.commands.quality_suggest import add_suggest
from airflow_ai_provider.core.errors import SuiteError


def register(subparsers: Any) -> None:
    """Add the command."""
    quality = subparsers.add_parser("quality", help="data gates")
    commands = quality.add_subparsers(metavar="ACTION", required=True)
    check = commands.add_parser("check", help="check data against an expectation suite")
    add_data(check)
    check.add_argument("suite", metavar="SUITE", help="Great Expectations' suite as JSON")
    check.add_argument(
        "--engine",
        choices=("auto", "compiled", "great_expectations"),
        default="auto",
        help="who measures (default: what can be compiled, and Great Expectations for the rest)",
    )
    check.add_argument(
        "--fail-on",
        choices=("critical", "warning", "info"),
        default="critical",
        help="the severity from which a failed expectation refuses (default: critical)",
    )
    check.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value for the suite's $PARAMETER; JSON, or else text",
    )
    check.add_argument(
        "--allow-empty", action="store_true", help="let data without rows pass, which else refuse"
    )
    check.add_argument("--quarantine", metavar="PATH", help="where failing rows go, as Parquet")
    check.add_argument("--report", metavar="FILE", help="the page with pictures of what failed")
    check.set_defaults(run=run_check)
    add_suggest(commands)
    add_scan(commands)
    add_profile(commands)
    engines = commands.add_parser("engines", help="who decides each expectation, and why")
    engines.set_defaults(run=run_engines)


def run_check(args: argparse.Namespace) -> int:
    """Check; refused when the gate fails."""
    from airflow_ai_provider.services.quality import check
    from airflow_ai_provider.services.quality_page import write_page

    result = check(
        data_of(args),
        args.suite,
        engine=args.engine,
        fail_on=args.fail_on,
        allow_empty=args.allow_empty,
        suite_parameters=dict(_parameter(text) for text in args.parameter),
        quarantine_path=args.quarantine,
        pictures=args.report is not None,
    )
    if args.report is not None:
        write_page(result, args.report)
    look = Look.of_standard_output()
    lines = shown(result, suite=args.suite, look=look, page=args.report)
    document = result.report.as_gx()
    if result.saw_nothing:  # every expectation is true of no rows: say why it is refused
        document["meta"]["refused"] = result.error().message
    emit(args, document, lines)
    return DONE if result.success else REFUSED


def run_engines(args: argparse.Namespace) -> int:
    """List every core expectation with who decides it on files and on tables."""
    from airflow_ai_provider.core.quality.engines import engines

    listed = engines()
    rows = [
        (row.expectation, *(why or "compiled" for why in (row.files, row.tables))) for row in listed
    ]
    document = {"expectations": [vars(row) for row in listed]}
    emit(args, document, table(rows, ("expectation", "files and frames", "tables")))
    return DONE


def _parameter(written: str) -> tuple[str, Any]:
    name, separator, value = written.partition("=")
    if not (name and separator):
        raise SuiteError(f"--parameter {written!r} is not NAME=VALUE.", remedy="Write it so.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
