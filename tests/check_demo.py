"""Look at what ``make demo`` left behind, with nothing of ours.

``python tests/check_demo.py DEMO_HOME`` prints a line for each thing that must hold and exits 1
when one does not, 2 when it could not look. It reads the databases with sqlite3, the registry with
MLflow's client and the predictions with DuckDB; of ours it only runs the script ``airflow-ai``, as
a user would, on a copy of the store.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

from demo_checks import data, feedback, leases, models, whole  # noqa: F401 - they add checks
from demo_checks.look import CHECKS, Check, Demo, WrongError


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python tests/check_demo.py DEMO_HOME", file=sys.stderr)
        return 2
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    try:
        demo = Demo(Path(arguments[0]).resolve())
    except (OSError, sqlite3.Error) as error:
        print(f"check_demo: {error}", file=sys.stderr)
        return 2
    held = sum(holds(demo, statement, check) for statement, check in CHECKS)
    print(f"{held} of {len(CHECKS)} hold")
    return 0 if held == len(CHECKS) else 1


def holds(demo: Demo, statement: str, check: Check) -> bool:
    try:
        told = check(demo)
    except Exception as error:  # noqa: BLE001 - whatever it is, the statement was not shown
        name = "" if isinstance(error, WrongError) else f"{type(error).__name__}: "
        print(f"FAIL  {statement}: {name}{error}", flush=True)
        return False
    print(f"ok    {statement}: {told}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
