"""How long each page takes on a large store on PostgreSQL, and how large it is.

The store has 50 projects, 200 GPUs, 1,000 models, 100,000 records in the ledger and a million of
feedback. Airflow's own server serves the pages to a logged-in user over HTTP.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.migrate import migrate
from tests.bench.pages_store import fill
from tests.bench.report import figure, say
from tests.postgres import postgres_running

PAGES = (
    "board",
    "project?name=project7",
    "gpus",
    "models",
    "model?name=model7",
    "feedback",
    "exceptions",
    "live?name=model7",
    "ledger",
    "ledger?kind=model&subject=mlflow://",
)
TIMES, MOST_MS, MOST_KB = 15, 300.0, 100.0
_ROOT = Path(__file__).resolve().parents[2]


def measure() -> Iterator[dict[str, Any]]:
    """Yield the median time and the size of each page."""
    with postgres_running() as server, server.database() as url:
        migrate(Store(url))
        store = Store.open(url)
        say("filling the store")
        fill(store)
        store.close()
        with _served(url) as (address, token):
            for page in PAGES:
                seconds, size = _asked(f"{address}/airflow-ai/ui/{page}", token)
                yield figure(f"page {page}: median", 1000 * seconds, "ms", MOST_MS)
                yield figure(f"page {page}: size", size / 1000, "kB", MOST_KB)


def _asked(url: str, token: str) -> tuple[float, int]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    spans, size = [], 0
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        with urllib.request.urlopen(request) as answer:
            size = len(answer.read())
        spans.append(time.perf_counter() - began)
    return median(spans[1:]), size  # the first one opens connections and reads templates


@contextmanager
def _served(url: str) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        home, told = Path(folder), Path(folder) / "told.json"
        env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
            "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(
                {"conn_type": "ai_store", "extra": {"url": url}}
            ),
            "PYTHONPATH": str(_ROOT),
        }
        migration = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migration, env=env, check=True, capture_output=True)
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.server", told], env=env, cwd=_ROOT,
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            while not told.exists():
                if server.poll() is not None:
                    raise RuntimeError((home / "log").read_text()[-3000:])
                time.sleep(0.1)
            document = json.loads(told.read_text())
            yield document["url"], document["tokens"]["viewer"]
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.kill()
            server.wait()
