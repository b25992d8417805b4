"""Airflow's components and MLflow as children: started, healthy, known when they die."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from airflow_ai_provider.core.errors import DemoError
from airflow_ai_provider.demo.airflow_home import Home
from airflow_ai_provider.demo.processes import LOCALHOST, Child, Interrupts, Processes
from airflow_ai_provider.demo.rest import AirflowRest

_HEALTHY_WITHIN = 180.0
_HEALTHY = ("metadatabase", "scheduler", "triggerer", "dag_processor")
# The log servers of these two listen on every interface, and no setting changes that.
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}

Say = Callable[[str], None]


class Servers:
    """Everything that the demo starts, by name."""

    def __init__(
        self,
        home: Home,
        processes: Processes,
        interrupts: Interrupts,
        env: Mapping[str, str],
        say: Say,
    ) -> None:
        self.home = home
        self._processes = processes
        self._interrupts = interrupts
        self._env = env
        self._say = say
        self._children: dict[str, Child] = {}

    def start(self, rest: AirflowRest) -> None:
        """Start MLflow and Airflow, and return when both are healthy.

        :raises DemoError: one of them cannot start, ends, or is not healthy in time.
        """
        _require("mlflow", "pip install 'airflow-ai-provider[mlflow]'")
        _require("airflow", "pip install apache-airflow")
        self._say("starting MLflow and making Airflow's database")
        self._start("mlflow", _mlflow(self.home))
        migration = self._run("db-migrate", airflow_command("db", "migrate"))
        history = self._run("history", _history(self.home))
        self._wait("Airflow's database", lambda: self._ended_well(migration))
        for name, arguments in COMPONENTS.items():
            self._start(name, airflow_command(*arguments))
        self._say("starting Airflow")
        self._wait("Airflow", lambda: is_healthy(rest))
        rest.warm_execution_api()
        self._wait("The data that is there already", lambda: self._ended_well(history))
        self._wait("MLflow", lambda: _answers(f"{self.home.mlflow_url}/health"))
        self._say(f"Airflow is healthy at {self.home.airflow_url}")

    def check(self) -> None:
        """Raise when a server ended by itself.

        :raises DemoError: one did; the end of its log is in the message.
        """
        for child in self._children.values():
            status = self._processes.exit_status(child)
            if status is not None:
                raise _died(child, status)

    def _start(self, name: str, command: Sequence[str]) -> None:
        """Start what has to stay up."""
        self._children[name] = self._run(name, command)

    def _run(self, name: str, command: Sequence[str]) -> Child:
        """Start what ends by itself."""
        return self._processes.start(name, command, env=self._env, cwd=self.home.path)

    def _ended_well(self, child: Child) -> bool:
        status = self._processes.exit_status(child)
        if status is None:
            return False
        if status != 0:
            raise _died(child, status)
        return True

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _HEALTHY_WITHIN
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{what} was not ready within {_HEALTHY_WITHIN:.0f} s.",
                    remedy=f"Look into {self.home.logs}; set DEMO_HOME=DIR to keep the logs.",
                )
            self._interrupts.pause(0.2)


def airflow_command(*arguments: str) -> list[str]:
    """Return the command that runs Airflow's own command line in this environment."""
    return [sys.executable, "-m", "airflow", *arguments]


def _history(home: Home) -> list[str]:
    """What the project finds when it starts: three months of flights, and the digits."""
    return [sys.executable, "-m", "flight_delays", str(home.path / "data" / "landing")]


def _mlflow(home: Home) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", LOCALHOST, "--port", str(home.mlflow_port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home.path / 'mlflow.db'}"),
        *("--artifacts-destination", str(home.path / "mlartifacts")),
    ]


def _require(module: str, remedy: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise DemoError(f"{module} is not installed in {sys.prefix}.", remedy=f"Run: {remedy}")


def is_healthy(rest: AirflowRest) -> bool:
    """Whether every component of Airflow says that it is."""
    health = rest.health()
    return all(health.get(component) == "healthy" for component in _HEALTHY)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _died(child: Child, status: int) -> DemoError:
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return DemoError(
        f"{child.name} {how}. The end of its log:\n{child.tail()}\n",
        remedy=f"Its whole log is {child.log}; set DEMO_HOME=DIR to keep it.",
    )
