"""A real MLflow server on 127.0.0.1 for tests, gone with the process that started it."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ADMIN, ADMIN_PASSWORD = "admin", "a-password-of-the-admin"
_ROOT = Path(__file__).parents[1]
_PATIENCE_S = 150
# A password is digested once a minute and not at each request: that costs more than the rest.
_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
admin_username = {admin}
admin_password = {password}
authorization_function = tests.mlflow_tokens:authenticate
auth_cache_ttl_seconds = 60
"""

# Runs a program until this process is gone, however it ended, and leaves nothing of it behind.
_UNTIL_STDIN_CLOSES = """
import os, signal, subprocess, sys
subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""


@contextmanager
def mlflow_running(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a server on SQLite and files in ``folder``; yield its address, stop it at the end.

    ``options`` are further words of ``mlflow server``.
    """
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-c", _UNTIL_STDIN_CLOSES),
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", url.rpartition(":")[2]),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
        *options,
    ]
    process = _started(command, folder, environment or {})
    try:
        _wait_until_healthy(url, process, folder)
        yield url
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


@contextmanager
def guarded_mlflow_running(folder: Path) -> Iterator[str]:
    """Run a server that asks who is there, and what they may do; every user may read."""
    settings = folder / "auth.ini"
    said = _AUTH.format(database=folder / "auth.db", admin=ADMIN, password=ADMIN_PASSWORD)
    settings.write_text(said, encoding="utf-8")
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "for the tests only",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    with mlflow_running(folder, "--app-name", "basic-auth", environment=environment) as url:
        yield url


@contextmanager
def mlflow_shared(folder: Path) -> Iterator[str]:
    """Yield the address of one server for every process of this test run that knows ``folder``.

    Who comes first starts it, and stops it when nobody uses it any more: the others hold a lock
    until they end, however they end.
    """
    address = folder / "mlflow_server.url"
    with ExitStack() as until_the_end:
        users = until_the_end.enter_context((folder / "mlflow_server.users").open("w"))
        with _alone(folder):
            first = not address.exists()
            if first:
                place = Path(tempfile.mkdtemp(prefix="mlflow_server", dir=folder))
                address.write_text(until_the_end.enter_context(mlflow_running(place)))
            else:
                fcntl.flock(users, fcntl.LOCK_SH)
        yield address.read_text()
        if first:
            with _alone(folder):
                address.unlink()
            fcntl.flock(users, fcntl.LOCK_EX)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "mlflow_server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not _is_healthy(url):
        if time.monotonic() > deadline or process.poll() is not None:
            said = (folder / "log").read_text(errors="replace")[-2000:]
            raise AssertionError(f"the MLflow server did not start: {said}")
        time.sleep(0.2)


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
