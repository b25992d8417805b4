"""The folder where everything of one run lives, and the environment that leads there."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import airflow_ai_provider
from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.processes import LOCALHOST

MARKER = ".airflow-ai-demo"
USERS = {"sponsor": "user", "ml": "op", "viewer": "viewer"}
_PATIENT = "airflow_ai_provider.demo.database.PATIENT"
_FOREIGN = ("AIRFLOW", "_AIRFLOW", "MLFLOW", "_MLFLOW")
# What a run leaves: the next one removes these names and nothing else.
_MADE = (
    "airflow.cfg", "airflow.db*", "airflow_ai.db*", "config", "data", "logs", "matplotlib",
    "mlartifacts", "mlflow.db*", "mlruns", "passwords.json", "plugins", "report.html", "work",
    "*.pid",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Home:
    """One run's folder and ports."""

    path: Path
    airflow_port: int
    mlflow_port: int
    dags: Path

    @property
    def airflow_url(self) -> str:
        """Where Airflow answers."""
        return f"http://{LOCALHOST}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Where MLflow answers."""
        return f"http://{LOCALHOST}:{self.mlflow_port}"

    @property
    def logs(self) -> Path:
        """The folder of the components' logs; Airflow keeps the tasks' beside them."""
        return self.path / "logs"

    @property
    def store(self) -> Path:
        """The file of our store."""
        return self.path / "airflow_ai.db"

    @property
    def report(self) -> Path:
        """The report that the run ends with."""
        return self.path / "report.html"

    @property
    def passwords(self) -> Path:
        """The users' passwords, readable by this user only."""
        return self.path / "passwords.json"


@contextmanager
def claimed(folder: str | None) -> Iterator[Path]:
    """Yield the emptied folder of a run, ours alone while it lasts.

    ``folder`` stays afterwards; None means a temporary one, which is removed.

    :raises DemoError: the folder cannot be made, holds what no earlier run made, or is in use.
    """
    path = _made(folder)
    marker = path / MARKER
    try:
        descriptor = os.open(marker, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, path)
            _empty(path)
            yield path
        finally:
            os.close(descriptor)
    finally:
        if folder is None:
            shutil.rmtree(path, ignore_errors=True)


def write_passwords(home: Home) -> dict[str, str]:
    """Give each user a password, write them to a file that only this user reads, return them."""
    passwords = {user: secrets.token_urlsafe(12) for user in USERS}
    descriptor = os.open(home.passwords, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(passwords, file, indent=2)
    return passwords


def find_dags() -> Path:
    """Return the DAGs that the demo runs: those that came installed, in a checkout its own."""
    package = Path(airflow_ai_provider.__file__).resolve().parent
    for folder in (package / "templates", package.parent / "dags"):
        if folder.is_dir():
            return folder
    raise DemoError(
        f"There are no DAGs beside {package}.",
        remedy="Install the package's wheel, or run from a whole checkout.",
    )


def environment(home: Home, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every child: nothing of another Airflow or MLflow leaks in."""
    env = {name: value for name, value in inherited.items() if not name.startswith(_FOREIGN)}
    direct = ",".join(filter(None, [env.get("NO_PROXY") or env.get("no_proxy"), LOCALHOST]))
    env |= {"NO_PROXY": direct, "no_proxy": direct}
    env |= _airflow(home) | _libraries(home)
    package = Path(airflow_ai_provider.__file__).resolve().parent
    places = [str(home.dags)]  # the training packages stand beside the DAGs
    if (package.parent / "pyproject.toml").is_file():  # a checkout, perhaps not installed
        places.append(str(package.parent))
    env["PYTHONPATH"] = os.pathsep.join([*places, *filter(None, [env.get("PYTHONPATH")])])
    return env


def _airflow(home: Home) -> dict[str, str]:
    sections = {
        "CORE": {
            "EXECUTOR": "LocalExecutor",
            "PARALLELISM": "4",
            "LOAD_EXAMPLES": "False",
            "DAGS_ARE_PAUSED_AT_CREATION": "False",
            "DAGS_FOLDER": str(home.dags),
            "SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{role}" for u, role in USERS.items()),
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.passwords),
            "EXECUTION_API_SERVER_URL": f"{home.airflow_url}/execution/",
            "FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        },
        "DATABASE": {
            "SQL_ALCHEMY_CONNECT_ARGS": _PATIENT,
            "SQL_ALCHEMY_CONNECT_ARGS_ASYNC": _PATIENT,
        },
        "API": {
            "HOST": LOCALHOST,
            "PORT": str(home.airflow_port),
            "BASE_URL": home.airflow_url,
            "WORKERS": "1",
            "SECRET_KEY": secrets.token_hex(32),
        },
        "API_AUTH": {"JWT_SECRET": secrets.token_hex(32)},
        # At the default 5 a finished task often holds its worker for five seconds more; the first
        # request to the execution API takes up to five seconds, as long as a client waits.
        "WORKERS": {"MIN_HEARTBEAT_INTERVAL": "1", "EXECUTION_API_TIMEOUT": "30"},
        "SCHEDULER": {"SCHEDULER_IDLE_SLEEP_TIME": "0.1", "JOB_HEARTBEAT_SEC": "2"},
        "TRIGGERER": {"JOB_HEARTBEAT_SEC": "2"},
        "DAG_PROCESSOR": {"MIN_FILE_PROCESS_INTERVAL": "600", "REFRESH_INTERVAL": "600"},
        "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
        "AI_PROVIDER": {"STATIC_DEVICES": "cpu:0,cpu:1"},
    }
    env = {
        f"AIRFLOW__{section}__{option}": value
        for section, options in sections.items()
        for option, value in options.items()
    }
    store = {"conn_type": "ai_store", "extra": {"url": f"sqlite:///{home.store}"}}
    mlflow = {"conn_type": "mlflow", "host": home.mlflow_url}
    return env | {
        "AIRFLOW_HOME": str(home.path),
        "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(mlflow),
        # The default, said: a look-up in vain costs the triggerer seconds at its first time.
        "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(store),
    }


def _libraries(home: Home) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": "1",  # four tasks share the cores
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(home.path / "matplotlib"),
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_TRACKING_URI": home.mlflow_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nothing here runs jobs; no helpers then
        "DO_NOT_TRACK": "1",
        "GIT_PYTHON_REFRESH": "quiet",
        "PYTHONUNBUFFERED": "1",
    }


def _made(folder: str | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="airflow-ai-demo-")).resolve()
    path = Path(folder).expanduser().resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise DemoError(
            f"{path} cannot be the demo's folder: {error.strerror}.",
            remedy="Name a folder that this user may write to with DEMO_HOME=DIR.",
        ) from error
    if names and MARKER not in names:
        raise DemoError(
            f"{path} is not empty, and no earlier demo made what is in it.",
            remedy="Name an empty or a new folder with DEMO_HOME=DIR.",
        )
    return path


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DemoError(
            f"Another demo runs in {path}.", remedy="End it, or name another DEMO_HOME."
        ) from error


def _empty(path: Path) -> None:
    for entry in [found for pattern in _MADE for found in path.glob(pattern)]:
        _remove(entry)


def _remove(entry: Path) -> None:
    try:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    except OSError as error:
        raise DemoError(
            f"What an earlier run left at {entry} cannot be removed: {error.strerror}.",
            remedy="Remove it, or name another DEMO_HOME.",
        ) from error
