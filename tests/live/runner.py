"""Runs a real Airflow for a test, in a process of its own that surely stops all below it.

usage: runner.py FOLDER, which has Airflow's database, with a JSON object on the first line of
standard input: ``env`` (what to add to the environment) and ``dags``. It answers
``{"url", "user", "password"}`` when Airflow is healthy; then each line ``kill NAME SECONDS`` ends a
component with SIGKILL and starts it again after that many seconds, and ``worker`` ends a process of
the executor that runs a task. At the end of the input everything is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path

from airflow_ai_provider.demo.airflow_home import Home, environment, write_passwords
from airflow_ai_provider.demo.airflow_process import COMPONENTS, airflow_command, is_healthy
from airflow_ai_provider.demo.processes import Child, Interrupts, Processes, free_ports
from airflow_ai_provider.demo.rest import AirflowRest

USER = "ml"


def main() -> None:
    folder = Path(sys.argv[1])
    order = json.loads(sys.stdin.readline())
    port = free_ports(1)[0]
    home = Home(path=folder, airflow_port=port, mlflow_port=port, dags=Path(order["dags"]))
    env = environment(home, os.environ) | order["env"]
    passwords = write_passwords(home)
    interrupts = Interrupts()
    interrupts.install()
    processes = Processes(home.logs)
    try:
        children = start(processes, home, env, AirflowRest(home.airflow_url, USER, passwords[USER]))
        print(json.dumps({"url": home.airflow_url, "password": passwords[USER]}), flush=True)
        for line in sys.stdin:
            if line.strip() == "worker":
                print(json.dumps({"killed": kill_worker(children["scheduler"].pid)}), flush=True)
                continue
            _, name, seconds = line.split()
            os.kill(children[name].pid, signal.SIGKILL)
            time.sleep(float(seconds))
            children[name] = component(processes, home, env, name)
            print(json.dumps({"started": name}), flush=True)
    finally:
        interrupts.hush()
        processes.stop()


def start(
    processes: Processes, home: Home, env: dict[str, str], rest: AirflowRest
) -> dict[str, Child]:
    """Start every component and wait until all are healthy."""
    with sqlite3.connect(home.path / "airflow.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer side by side
    children = {name: component(processes, home, env, name) for name in COMPONENTS}
    deadline = time.monotonic() + 120
    while not is_healthy(rest):
        for child in children.values():
            assert processes.exit_status(child) is None, child.tail()
        assert time.monotonic() < deadline, "Airflow is not healthy"
        time.sleep(0.2)
    rest.warm_execution_api()
    return children


def kill_worker(scheduler: int) -> int:
    """Wait until a child of the scheduler runs a task, and kill it; return its pid."""
    for _ in range(600):
        for worker in children_of(scheduler):
            if children_of(worker):
                os.kill(worker, signal.SIGKILL)
                return worker
        time.sleep(0.1)
    return 0


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def component(processes: Processes, home: Home, env: dict[str, str], name: str) -> Child:
    return processes.start(name, airflow_command(*COMPONENTS[name]), env=env, cwd=home.path)


if __name__ == "__main__":
    main()
