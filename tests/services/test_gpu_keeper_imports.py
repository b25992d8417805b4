"""The keeper lives as long as any lease: what it imports is what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, sys
import airflow_ai_provider.services.keeper_process, airflow_ai_provider.store.light
from airflow_ai_provider.services.keeper_drivers import HostDrivers
HostDrivers("h", "cpu:0").report()
heavy = ("airflow", "alembic", "numpy", "pandas", "psycopg", "pynvml", "pydantic", "sqlalchemy")
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([[name for name in heavy if name in sys.modules], peak / 1024]))
"""


def test_the_keeper_stays_small() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy, mib = json.loads(done.stdout)
    assert heavy == []
    assert mib < 32  # 40 are its goal with PostgreSQL's driver, which is imported only for that
