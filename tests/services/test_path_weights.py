"""The file of durations, what is learnt into it, and the weights that a scheduler reads from it."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.adapters.airflow_api import FinishedTask
from airflow_ai_provider.adapters.task_durations import DurationsFile
from airflow_ai_provider.core.errors import TaskDurationsError
from airflow_ai_provider.core.lifecycle.durations import TaskDurations
from airflow_ai_provider.services.path_weights import PathWeights
from airflow_ai_provider.services.task_durations import FIRST_LOOK, SETTLED, learn_durations

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


@dataclass(kw_only=True)
class Task:
    downstream_task_ids: set[str] = field(default_factory=set)
    priority_weight: int = 1
    inherits_from_empty_operator: bool = False


class Dag:
    def __init__(self, dag_id: str, **tasks: Task) -> None:
        self.dag_id, self.task_dict = dag_id, tasks


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Past:
    def __init__(self, *tasks: FinishedTask) -> None:
        self.tasks, self.asked = sorted(tasks, key=lambda t: t.ended), list[tuple[str, str]]()

    def finished(self, *, since: str, until: str, most: int) -> Iterator[FinishedTask]:
        self.asked.append((since, until))
        yield from [t for t in self.tasks if since <= t.ended < until][:most]


def finished(task: str, seconds: float, minute: int) -> FinishedTask:
    ended = (NOW - timedelta(hours=2) + timedelta(minutes=minute)).isoformat()
    return FinishedTask(dag_id="d", task_id=task, seconds=seconds, ended=ended)


def diamond() -> Dag:
    return Dag(
        "d",
        start=Task(downstream_task_ids={"short", "long"}),
        short=Task(downstream_task_ids={"end"}),
        long=Task(downstream_task_ids={"end"}),
        end=Task(inherits_from_empty_operator=True),
    )


def weights_of(weights: PathWeights, dag: Dag) -> dict[str, int]:
    return {name: weights.weight(dag, name) for name in dag.task_dict}


def test_weights_follow_the_file_when_it_changes(tmp_path: Path) -> None:
    clock = Clock()
    file = DurationsFile(tmp_path / "durations.json", clock=clock)
    weights, dag = PathWeights(file), diamond()
    assert weights_of(weights, dag) == {"start": 12_000, "short": 6_000, "long": 6_000, "end": 0}

    file.write(
        TaskDurations().with_runs([("d", "start", 1), ("d", "long", 9), ("d", "short", 2)], "")
    )
    assert weights.weight(dag, "long") == 6_000  # it is looked at once a second
    clock.now = 1.1
    assert weights_of(weights, dag) == {"start": 1_000, "short": 200, "long": 900, "end": 0}


def test_a_users_weight_multiplies(tmp_path: Path) -> None:
    dag = diamond()
    dag.task_dict["short"].priority_weight = 5
    weights = PathWeights(DurationsFile(tmp_path / "none.json"))
    assert weights.weight(dag, "short") == 5 * weights.weight(dag, "long")


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", '{"format": 1, "durations": {"d": 1}}'])
def test_a_broken_file_stops_no_scheduler(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = Clock(), tmp_path / "durations.json"
    file = DurationsFile(path, clock=clock)
    file.write(TaskDurations().with_runs([("d", "long", 9), ("d", "short", 2)], ""))
    weights, dag = PathWeights(file), diamond()
    before = weights_of(weights, dag)
    path.write_text(content)
    for second in (2.0, 4.0, 6.0):
        clock.now = second
        with caplog.at_level(logging.WARNING):
            assert weights_of(weights, dag) == before
    assert sum("known before" in record.message for record in caplog.records) == 1


def test_a_task_that_is_added_to_a_dag_is_weighed(tmp_path: Path) -> None:
    weights, dag = PathWeights(DurationsFile(tmp_path / "none.json")), diamond()
    before = weights.weight(dag, "short")
    dag.task_dict["short"].downstream_task_ids.add("more")
    dag.task_dict["more"] = Task(downstream_task_ids={"end"})
    assert weights.weight(dag, "more") == before
    assert weights.weight(dag, "short") == 2 * before


def test_a_dag_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    weights = PathWeights(DurationsFile(tmp_path / "none.json"))
    for _ in range(100):
        weights.weight(diamond(), "start")
    gc.collect()
    assert weights.known == 0


def test_each_run_counts_once_whatever_the_calls(tmp_path: Path) -> None:
    past = Past(*(finished("a", 10.0 + n, n) for n in range(10)), finished("b", 5.0, 3))
    file = DurationsFile(tmp_path / "durations.json")
    first = learn_durations(file, past, now=NOW)
    assert (first.read, first.dags, first.tasks) == (11, 1, 2)
    assert past.asked[0][0] == (NOW - FIRST_LOOK).isoformat()
    again = learn_durations(file, past, now=NOW + timedelta(hours=1))
    assert again.read == 0
    assert file.read().of_dag["d"]["a"].runs == 10


def test_what_is_too_much_at_once_is_read_in_parts_and_counts_the_same(tmp_path: Path) -> None:
    past = Past(*(finished("a", float(n), n // 3) for n in range(30)))
    whole, parts = (DurationsFile(tmp_path / name) for name in ("whole.json", "parts.json"))
    learn_durations(whole, past, now=NOW)
    while learn_durations(parts, past, now=NOW, most=7).until != (NOW - SETTLED).isoformat():
        pass
    assert parts.read().of_dag == whole.read().of_dag


def test_when_airflow_is_away_the_file_stays_as_it_was(tmp_path: Path) -> None:
    class Away:
        def finished(self, **_: Any) -> Iterator[FinishedTask]:
            yield finished("a", 1.0, 1)
            raise ConnectionError

    file = DurationsFile(tmp_path / "durations.json")
    learn_durations(file, Past(finished("a", 3.0, 1)), now=NOW)
    before = file.path.read_bytes()
    with pytest.raises(ConnectionError):
        learn_durations(file, Away(), now=NOW)
    assert file.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["durations.json"]


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskDurationsError, match="durations_file"):
        DurationsFile(tmp_path / "file" / "durations.json").write(TaskDurations())


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    path.write_text(json.dumps({"format": 1, "durations": {}}))
    with path.open("r+b") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(TaskDurationsError, match="larger"):
        DurationsFile(path).read()
