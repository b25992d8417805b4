"""``CriticalPathPriority`` as Airflow loads, keeps and asks it, and the task that feeds it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.plugins_manager import get_priority_weight_strategy_plugins
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from airflow.serialization.serialized_objects import DagSerialization

from airflow_ai_provider.adapters.task_durations import DurationsFile
from airflow_ai_provider.core.errors import AirflowApiError
from airflow_ai_provider.core.lifecycle.durations import TaskDurations
from airflow_ai_provider.operators.durations import TaskDurationsOperator
from airflow_ai_provider.plugins.priority import CriticalPathPriority, path_weights

RULE = "airflow_ai_provider.plugins.priority.CriticalPathPriority"


@pytest.fixture
def durations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DurationsFile]:
    path = tmp_path / "durations.json"
    monkeypatch.setenv("AIRFLOW__AI_PROVIDER__DURATIONS_FILE", str(path))
    path_weights.cache_clear()
    yield DurationsFile(path)
    path_weights.cache_clear()


def dag_of() -> Any:
    """Return a DAG as the scheduler has it: a mapped task, an empty one, a short and a long way."""
    with DAG("life", default_args={"weight_rule": RULE}) as dag:
        start = BashOperator(task_id="start", bash_command="true")
        short = BashOperator(task_id="short", bash_command="true", priority_weight=3)
        long = BashOperator.partial(task_id="long").expand(bash_command=["1", "2"])
        end = EmptyOperator(task_id="end")
        start >> [short, long] >> end
    return DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))


def weights_of(dag: Any) -> dict[str, int | None]:
    """Return the weights that Airflow gives to task instances when it makes them."""
    return {
        name: TaskInstance(task=task, run_id="r", dag_version_id=None).priority_weight  # type: ignore[arg-type]
        for name, task in dag.task_dict.items()
    }


def test_airflow_knows_it_by_our_plugin() -> None:
    assert get_priority_weight_strategy_plugins()[RULE] is CriticalPathPriority


def test_task_instances_are_weighed_by_history(durations: DurationsFile) -> None:
    runs = [("life", "start", 5.0), ("life", "short", 10.0), ("life", "long", 60.0)]
    durations.write(TaskDurations().with_runs(runs, until=""))
    dag = dag_of()
    assert weights_of(dag) == {"start": 6_500, "short": 3_000, "long": 6_000, "end": 0}


def test_without_any_history_the_number_of_tasks_on_the_path_decides(
    durations: DurationsFile,
) -> None:
    assert not durations.path.exists()
    assert weights_of(dag_of()) == {"start": 12_000, "short": 18_000, "long": 6_000, "end": 0}


class Airflow(BaseHTTPRequestHandler):
    """Airflow's REST API, as far as finished task instances go."""

    tasks: list[dict[str, Any]]

    def do_GET(self) -> None:
        url, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        assert url.path == "/api/v2/dags/~/dagRuns/~/taskInstances"
        assert asked["state"] == ["success"]
        assert asked["order_by"] == ["end_date"]
        since, until = asked["end_date_gte"][0], asked["end_date_lt"][0]
        found = [t for t in self.tasks if since <= t["end_date"] < until]
        first, most = int(asked["offset"][0]), int(asked["limit"][0])
        page = {"task_instances": found[first : first + most], "total_entries": len(found)}
        data = json.dumps(page).encode()
        self.send_response(200 if self.headers["Authorization"] == "Bearer mine" else 403)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """An Airflow that finished nothing yet, found by the default connection."""
    tasks: list[dict[str, Any]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("It", (Airflow,), {"tasks": tasks})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = {"conn_type": "http", "host": "127.0.0.1", "port": server.server_port}
        connection = json.dumps({**host, "extra": {"token": "mine"}})
        monkeypatch.setenv("AIRFLOW_CONN_AIRFLOW_API_DEFAULT", connection)
        yield tasks
        server.shutdown()


def instance(task: str, seconds: float | None, minutes_ago: int) -> dict[str, Any]:
    ended = datetime.now(timezone.utc) - timedelta(minutes=minutes_ago)
    start = None if seconds is None else (ended - timedelta(seconds=seconds)).isoformat()
    said = {"dag_id": "life", "task_id": task, "duration": seconds}
    return {**said, "start_date": start, "end_date": ended.isoformat()}


def test_the_task_learns_page_by_page_and_once(
    durations: DurationsFile, airflow: list[dict[str, Any]]
) -> None:
    airflow += [instance("long", 60.0, 300 - n) for n in range(230)]
    airflow += [instance("end", None, 60), instance("short", 10.0, 10)]
    task = TaskDurationsOperator(task_id="durations")
    told = task.execute({})
    assert (told["read"], told["dags"], told["tasks"]) == (231, 1, 2)
    assert durations.read().of_dag["life"]["long"].runs == 230
    assert task.execute({})["read"] == 0
    assert weights_of(dag_of())["long"] == 6_000


@pytest.mark.usefixtures("airflow")
def test_a_broken_file_fails_the_task_and_is_left(durations: DurationsFile) -> None:
    durations.path.write_text("{")
    with pytest.raises(AirflowFailException, match="Delete it"):
        TaskDurationsOperator(task_id="durations").execute({})
    assert durations.path.read_text() == "{"


@pytest.mark.usefixtures("durations")
def test_who_may_not_ask_is_told(
    airflow: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    airflow.append(instance("long", 60.0, 1))
    task = TaskDurationsOperator(task_id="t", durations_file=str(tmp_path / "other.json"))
    monkeypatch.setenv(
        "AIRFLOW_CONN_AIRFLOW_API_DEFAULT",
        json.dumps({"conn_type": "http", "host": "127.0.0.1", "port": 1, "extra": {"token": "x"}}),
    )
    with pytest.raises(AirflowApiError, match="does not answer"):
        task.execute({})
    monkeypatch.delenv("AIRFLOW_CONN_AIRFLOW_API_DEFAULT")
    with pytest.raises(AirflowNotFoundException):
        task.execute({})
    assert not (tmp_path / "other.json").exists()
