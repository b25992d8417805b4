"""``airflow-ai doctor``: look whether everything that is needed is there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_ai_provider.commands.gpu_cluster import add_cluster
from airflow_ai_provider.commands.gpu_cluster import examine as examine_cluster
from airflow_ai_provider.commands.output import DONE, REFUSED, emit, open_store


def register(subparsers: Any) -> None:
    """Add the command."""
    doctor = subparsers.add_parser("doctor", help="look whether everything needed is there")
    doctor.add_argument("--project", type=Path, metavar="FILE", help="a project file to check too")
    add_cluster(doctor)
    doctor.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    """Look at store, ledger, devices, extras, and a project file or a cluster when one is named."""
    from airflow_ai_provider.services.doctor import examine

    checks = examine(lambda: open_store(args), args.project)
    if args.cluster:
        checks += examine_cluster(args)
    lines = [
        f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}"
        f"{f' {check.remedy}' if check.remedy else ''}"
        for check in checks
    ]
    emit(args, {"checks": [asdict(check) for check in checks]}, lines)
    return DONE if all(check.ok for check in checks) else REFUSED
