"""A real Airflow, as a test talks to it, and an observer of what its tasks do with devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_ai_provider.adapters.keeper import PROGRAM as KEEPER
from airflow_ai_provider.demo.rest import AirflowRest
from tests.airflow_made import make_airflow
from tests.faults.checker import Event, faults_in, read_events
from tests.faults.clock import now
from tests.faults.observer import Observer
from tests.live.runner import USER

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).with_name("dags")
TTL = 4.0
WHOLE = 1  # a static device without memory is used whole or not at all

_PATIENT = "airflow_ai_provider.demo.database.PATIENT"
_FAST = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": _PATIENT,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": _PATIENT,
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "200",
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "50",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "12",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
    "AIRFLOW__AI_PROVIDER__LEASE_TTL": str(TTL),
}


class People(AirflowRest):
    """Somebody who clears tasks and marks them failed."""

    def clear(self, task: Mapping[str, Any]) -> None:
        """Clear one task instance, running or not."""
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": task["dag_run_id"],
            "task_ids": [task["task_id"]],
        }
        self._send("POST", f"dags/{task['dag_id']}/clearTaskInstances", body)

    def fail(self, task: Mapping[str, Any]) -> None:
        """Mark one task instance failed."""
        place = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}".format_map(task)
        self._send("PATCH", place, {"new_state": "failed"})


class LiveStage(Observer):
    """One running Airflow; its tasks log what they use to ``folder``."""

    def __init__(
        self,
        folder: Path,
        rest: People,
        runner: subprocess.Popen[str],
        environment: dict[str, str],
        url: str,
    ) -> None:
        super().__init__(folder)
        self.rest = rest
        self.runner = runner
        self.environment = environment
        self.url = url

    def as_user(self, name: str) -> People:
        """Return what user ``name`` sees; close it."""
        passwords = json.loads((self.folder.with_name("home") / "passwords.json").read_text())
        return People(self.rest.url, name, passwords[name])

    def kill_component(self, name: str, *, for_seconds: float) -> None:
        """SIGKILL a component, and start it again after a while."""
        assert self.runner.stdin is not None
        assert self.runner.stdout is not None
        self.runner.stdin.write(f"kill {name} {for_seconds}\n")
        self.runner.stdin.flush()
        assert json.loads(self.runner.stdout.readline()) == {"started": name}

    def kill_worker(self) -> None:
        """SIGKILL a process of the executor that runs a task now; its task is left alone."""
        assert self.runner.stdin is not None
        assert self.runner.stdout is not None
        self.runner.stdin.write("worker\n")
        self.runner.stdin.flush()
        assert json.loads(self.runner.stdout.readline())["killed"] > 0

    def keepers(self) -> list[int]:
        """Return the keepers of this stage that live."""
        said = f"TMPDIR={self.environment['TMPDIR']}".encode()
        return [
            pid
            for pid in (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
            if KEEPER.encode() in _proc(pid, "cmdline") and said in _proc(pid, "environ")
        ]

    def kill_keepers(self) -> None:
        """SIGKILL every keeper of this stage."""
        for pid in self.keepers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def begin(self, name: str, **conf: Any) -> list[Event]:
        """Return what the task or the child that calls itself ``name`` logged as its start."""
        return [e for e in self.events if e["e"] == "start" and e["name"] == name]

    def wait(self, what: str, until: Callable[[], bool], *, timeout: float) -> None:
        """Observe until something holds."""
        if not self.run(until, timeout=timeout, turn_every=0.02):
            raise AssertionError(f"{what}: not within {timeout:g} s. {self.tasks_by_state()}")

    def wait_for_start(self, name: str, *, timeout: float = 60) -> Event:
        """Return the first start of ``name``, once it is there."""
        self.wait(f"start of {name}", lambda: bool(self.begin(name)), timeout=timeout)
        return self.begin(name)[0]

    def wait_for_states(
        self, dag_id: str, run_id: str, count: int, states: set[str], *, timeout: float
    ) -> list[dict[str, Any]]:
        """Return the GPU tasks of a run once ``count`` of them are in one of ``states``."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            every = self.rest.tasks(task_id="hold")
            found[:] = [t for t in every if t["dag_id"] == dag_id and t["dag_run_id"] == run_id]
            return sum(t["state"] in states for t in found) >= count

        def slowly() -> bool:
            self.run(lambda: False, timeout=0.5)
            return there()

        self.wait(f"{count} tasks of {dag_id} {states}", slowly, timeout=timeout)
        return found

    def tasks_by_state(self) -> dict[str, int]:
        """Return how many task instances are in each state, for people."""
        counted: dict[str, int] = {}
        for task in self.rest.tasks():
            key = f"{task['dag_id']}.{task['task_id']} {task['state']}"
            counted[key] = counted.get(key, 0) + 1
        return counted

    def granted_at(self, lease: str) -> float:
        """Return when the devices of ``lease`` were handed to it, by the boot-time clock."""
        engine = sa.create_engine(self.environment["LIVE_STORE"])
        with engine.connect() as connection:
            statement = sa.text("SELECT granted_at FROM lease WHERE id = :lease")
            moment = connection.execute(statement, {"lease": lease}).scalar_one()
        engine.dispose()
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        return float(moment.timestamp()) - time.time() + now()

    def status(self) -> dict[str, Any]:
        """Return what ``airflow-ai gpu status`` says."""
        told = subprocess.run(
            [sys.executable, "-m", "airflow_ai_provider.cli", "gpu", "status", "--json"],
            env=self.environment,
            capture_output=True,
            check=True,
            timeout=60,
        )
        document: dict[str, Any] = json.loads(told.stdout)
        return document

    def judge(self, devices: list[str]) -> list[Event]:
        """Hold everything that was logged so far to the checker; return it."""
        self.write_seen()
        events = read_events(self.folder)
        assert faults_in(events, dict.fromkeys(devices, WHOLE)) == []
        return events


@contextmanager
def live(
    folder: Path, *, store: str, env: Mapping[str, str], dags: Path = DAGS
) -> Iterator[LiveStage]:
    """Run an Airflow in ``folder``, with the DAG files in ``dags``, while the block does."""
    home, events, temporary = folder / "home", folder / "events", folder / "tmp"
    for path in (home, events, temporary):
        path.mkdir()
    make_airflow(home)
    ours = {
        **_FAST,
        "TMPDIR": str(temporary),
        "LIVE_EVENTS": str(events),
        "AIRFLOW_CONN_AI_STORE_DEFAULT": json.dumps(
            {"conn_type": "ai_store", "extra": {"url": store}}
        ),
        **env,
    }
    runner = subprocess.Popen(
        [sys.executable, "-m", "tests.live.runner", str(home)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "runner.log").open("wb"),
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    try:
        runner.stdin.write(json.dumps({"env": ours, "dags": str(dags)}) + "\n")
        runner.stdin.flush()
        told = runner.stdout.readline()
        assert told, (folder / "runner.log").read_text()
        answer = json.loads(told)
        rest = People(answer["url"], USER, answer["password"])
        outside = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        environment = {**outside, "PYTHONPATH": str(REPOSITORY), **ours}
        stage = LiveStage(events, rest, runner, environment, answer["url"])
        yield stage
        rest.close()
    finally:
        runner.stdin.close()
        runner.wait(timeout=60)


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
