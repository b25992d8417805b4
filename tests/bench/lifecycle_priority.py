"""``CriticalPathPriority`` beside Airflow's three rules: how long runs take, and what it costs.

Durations of a task spread from run to run around a length of its own, lognormal both times; the
rule knows ten earlier runs and never the true ones, and of one task in twenty nothing. A DAG counts
at 2, 3 and 4 slots, where more tasks can be ready than there are slots: elsewhere no rule decides
anything. Its makespan is the mean of ten runs; all rules see the same runs.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

from airflow_ai_provider.adapters.task_durations import DurationsFile
from airflow_ai_provider.core.lifecycle.durations import TaskDurations
from airflow_ai_provider.core.lifecycle.remaining import PathTask, weights
from tests.bench.lifecycle_shapes import layered, real, widest
from tests.bench.lifecycle_simulation import AIRFLOW, Shape, bound, makespan
from tests.bench.report import figure, percentile

DAGS, SLOTS = 1_000, (2, 3, 4)
EARLIER, RUNS = 10, 10
_TYPICAL, _BETWEEN_TASKS, _BETWEEN_RUNS = 60.0, 1.0, 0.3
_UNKNOWN = 0.05
_MEAN, _TAIL, _COST = 0.97, 1.02, 20.0
_OURS, _KNOWING = "critical path", "knowing"


def measure(dags: int = DAGS, shapes: Sequence[Shape] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the ratios of makespans over random and real shapes."""
    dice = random.Random(20_131)
    found = [s for s in (real() if shapes is None else shapes) if widest(s) > SLOTS[0]]
    half = dags // 2
    drawn = [layered(dice, number) for number in range(half)]
    drawn += [found[number % len(found)] for number in range(dags - half)]
    rows = [row for shape in drawn for row in _rows(dice, shape)]
    means = [{name: fmean(spans) for name, spans in row.items()} for row in rows]
    best = min(AIRFLOW, key=lambda rule: fmean(math.log(row[rule]) for row in means))
    told = f"Airflow's best rule over all, {best}"
    yield _mean(f"makespan, geometric mean over {dags:,} DAGs", means, best, told, _MEAN)
    yield _tail("makespan, 99th percentile over DAGs", means, best, told, _TAIL)
    each = [{**row, "best": min(row[rule] for rule in AIRFLOW)} for row in means]
    told = "whichever of Airflow's three is best for the DAG"
    yield _mean(
        "makespan, geometric mean, against the best for each DAG", each, "best", told, _MEAN
    )
    yield _tail(
        "makespan, 99th percentile, against the best for each DAG", each, "best", told, _TAIL
    )
    runs = [
        {name: spans[run] for name, spans in row.items()} for row in rows for run in range(RUNS)
    ]
    told = f"Airflow's best rule over all, {best}"
    knowing = percentile((row[_KNOWING] / row[best] for row in runs), 0.99)
    told = f"{told}; the same rule, knowing the run's true durations: {knowing:.3f}x"
    yield _tail("makespan, 99th percentile over single runs", runs, best, told, _TAIL)


def cost(tasks: int = 1_000) -> Iterator[dict[str, Any]]:
    """Yield what weighing one task instance of a DAG of Airflow's costs, after the first."""
    before = dict(os.environ)
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ.setdefault("AIRFLOW_HOME", home)
            os.environ["AIRFLOW__AI_PROVIDER__DURATIONS_FILE"] = f"{home}/durations.json"
            yield from _cost(Path(home), tasks)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _cost(home: Path, count: int) -> Iterator[dict[str, Any]]:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    from airflow_ai_provider.plugins.priority import CriticalPathPriority, path_weights

    with DAG("large") as made:
        tasks = [BashOperator(task_id=f"t{n}", bash_command="true") for n in range(count)]
        for number in range(10, count):
            tasks[number - 10] >> tasks[number]
            tasks[number - 7] >> tasks[number]
    dag = DagSerialization.from_dict(DagSerialization.to_dict(made))
    file = DurationsFile(home / "durations.json")
    file.write(TaskDurations().with_runs([("large", f"t{n}", n) for n in range(count)], until=""))
    path_weights.cache_clear()
    rule: Any = CriticalPathPriority()
    instances, spent = [SimpleNamespace(task=task) for task in dag.task_dict.values()], []
    began = time.process_time()
    rule.get_weight(instances[0])
    first = time.process_time() - began
    for _ in range(20):
        began = time.process_time()
        for instance in instances:
            rule.get_weight(instance)
        spent.append((time.process_time() - began) / count)
    yield figure(
        f"weighing a task instance of {count:,} tasks, after the first",
        1e6 * min(spent),
        "CPU us",
        _COST,
        peer=f"the first, with the whole DAG: {1000 * first:.1f} CPU ms",
    )


def _rows(dice: random.Random, shape: Shape) -> Iterator[dict[str, list[float]]]:
    """Yield, for each number of slots with a choice, the makespans of every rule in ten runs."""
    count = len(shape.waits_for)
    usual = [dice.lognormvariate(math.log(_TYPICAL), _BETWEEN_TASKS) for _ in range(count)]

    def run() -> list[float]:
        return [seconds * dice.lognormvariate(0, _BETWEEN_RUNS) for seconds in usual]

    known = [n for n in range(count) if dice.random() >= _UNKNOWN]
    earlier = [run() for _ in range(EARLIER)]
    rules = {name: rule(shape, ()) for name, rule in AIRFLOW.items()}
    rules[_OURS] = ours(shape, earlier, known)
    runs = [(run(), [dice.random() for _ in range(count)]) for _ in range(RUNS)]
    true = [ours(shape, [seconds], range(count)) for seconds, _ in runs]
    for slots in SLOTS:
        if widest(shape) > slots:
            yield {
                **{
                    name: [makespan(shape, seconds, weight, slots, ties) for seconds, ties in runs]
                    for name, weight in rules.items()
                },
                _KNOWING: [
                    makespan(shape, seconds, weight, slots, ties)
                    for weight, (seconds, ties) in zip(true, runs, strict=True)
                ],
                "bound": [bound(shape, seconds, slots) for seconds, _ in runs],
            }


def ours(shape: Shape, earlier: Sequence[Sequence[float]], known: Sequence[int]) -> Sequence[int]:
    """Return the weights that ``CriticalPathPriority`` gives, with what ``known`` tasks took."""
    past = [("dag", str(n), run[n]) for run in earlier for n in known]
    names = [str(n) for n in range(len(shape.waits_for))]
    seconds = TaskDurations().with_runs(past, until="").seconds("dag", names)
    found = weights(
        {
            name: PathTask(seconds=seconds[name], followers=[str(f) for f in after])
            for name, after in zip(names, shape.followers, strict=True)
        }
    )
    return [found[name] for name in names]


def _mean(name: str, rows: Any, peer: str, told: str, goal: float) -> dict[str, Any]:
    ratio = math.exp(fmean(math.log(row[_OURS] / row[peer]) for row in rows))
    least = math.exp(fmean(math.log(row["bound"] / row[peer]) for row in rows))
    told = f"{told}; no schedule is below {least:.3f}x"
    return figure(name, ratio, "x", goal, peer=told, ratio=ratio)


def _tail(name: str, rows: Any, peer: str, told: str, goal: float) -> dict[str, Any]:
    ratio = percentile((row[_OURS] / row[peer] for row in rows), 0.99)
    return figure(name, ratio, "x", goal, peer=told, ratio=ratio)
