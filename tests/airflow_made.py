"""The home of an Airflow with its own database, made once in a process and copied from then on."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


def make_airflow(home: Path) -> None:
    """Put Airflow's settings and its empty database into the folder ``home``."""
    settings, database = _made()
    (home / "airflow.cfg").write_text(settings.replace(_HOME, str(home)))
    (home / "airflow.db").write_bytes(database)


_HOME = "<home>"


@cache
def _made() -> tuple[str, bytes]:
    with TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=env | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        settings = (home / "airflow.cfg").read_text().replace(str(home), _HOME)
        return settings, (home / "airflow.db").read_bytes()
