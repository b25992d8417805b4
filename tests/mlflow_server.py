"""A real MLflow server for tests: on this machine, on SQLite; with authentication where asked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ADMIN, ADMIN_PASSWORD = "admin", "a-password-of-the-admin"
_ROOT = Path(__file__).parents[1]

# Runs a program until it ends, or this process is gone, and leaves nothing of it behind.
_UNTIL_STDIN_CLOSES = """
import os, select, signal, subprocess, sys
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
while program.poll() is None and not select.select([sys.stdin], [], [], 0.5)[0]:
    pass
os.killpg(0, signal.SIGKILL)
"""

# A password is digested once a minute and not at each request: that costs more than the rest.
_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
admin_username = {admin}
admin_password = {password}
authorization_function = tests.mlflow_tokens:authenticate
auth_cache_ttl_seconds = 60
"""


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mlflow_running(folder: Path) -> Iterator[str]:
    """Run a server that lets everybody in, and yield its address."""
    with _running(folder, [], {}) as url:
        yield url


@contextmanager
def guarded_mlflow_running(folder: Path) -> Iterator[str]:
    """Run a server that asks who is there, and what they may do; every user may read."""
    settings = folder / "auth.ini"
    database = folder / "auth.db"
    settings.write_text(
        _AUTH.format(database=database, admin=ADMIN, password=ADMIN_PASSWORD), encoding="utf-8"
    )
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the tests only",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with _running(folder, ["--app-name", "basic-auth"], environment) as url:
        yield url


@contextmanager
def _running(folder: Path, more: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-c", _UNTIL_STDIN_CLOSES),
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", url.rpartition(":")[2]),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
        *more,
    ]
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment},
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(url, process, log)
        yield url
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the MLflow server did not start: {log.read_text()[-3000:]}")
