"""Shapes of DAGs: random layered ones, our own templates, and Airflow's examples."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.lifecycle_simulation import Shape

ROOT = Path(__file__).parents[2]
MAPPED = 4  # instances that a mapped task counts as; how many there will be, no DAG says
# run in a process of its own: Airflow reads its settings once
PARSE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import airflow.example_dags
from airflow.dag_processing.dagbag import DagBag
found = {}
for family, folder in (("template", sys.argv[1]), ("example", airflow.example_dags.__path__[0])):
    for dag in DagBag(folder).dags.values():
        found[f"{family}:{dag.dag_id}"] = {
            name: [sorted(task.upstream_task_ids), bool(getattr(task, "is_mapped", False))]
            for name, task in dag.task_dict.items()
        }
print("RESULT" + json.dumps(found))
"""


def layered(dice: random.Random, number: int) -> Shape:
    """Return a random DAG in layers: each task waits for one to three of the layer before.

    One edge in ten comes from any earlier layer.
    """
    waits_for: list[tuple[int, ...]] = []
    before: list[int] = []
    for _ in range(dice.randint(3, 10)):
        layer = []
        for _ in range(dice.randint(1, 8)):
            parents = set(dice.sample(before, min(len(before), dice.randint(1, 3))))
            if before and dice.random() < 0.1:
                parents.add(dice.randrange(len(waits_for) - len(layer)))
            layer.append(len(waits_for))
            waits_for.append(tuple(sorted(parents)))
        before = layer
    return Shape(name=f"layered {number}", family="layered", waits_for=tuple(waits_for))


def real() -> list[Shape]:
    """Return the shapes of our templates and of Airflow's example DAGs that can be parsed here."""
    with tempfile.TemporaryDirectory() as home:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        environment |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "dags"), str(ROOT)]),
        }
        done = subprocess.run(
            [sys.executable, "-c", PARSE, str(ROOT / "dags")],
            env=environment, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))
    return [
        _shape(*name.split(":", 1), tasks)
        for name, tasks in sorted(json.loads(line.removeprefix("RESULT")).items())
    ]


def _shape(family: str, name: str, tasks: dict[str, tuple[list[str], bool]]) -> Shape:
    numbers: dict[str, list[int]] = {}
    waits_for: list[tuple[int, ...]] = []
    left = dict(tasks)
    while left:
        task = next(t for t, (before, _) in left.items() if not set(before) & left.keys())
        before, mapped = left.pop(task)
        parents = tuple(n for b in before for n in numbers[b])
        numbers[task] = []
        for _ in range(MAPPED if mapped else 1):
            numbers[task].append(len(waits_for))
            waits_for.append(parents)
    return Shape(name=name, family=family, waits_for=tuple(waits_for))


def widest(shape: Shape) -> int:
    """Return a lower bound of how many tasks can be ready at once: the most at one depth."""
    depths: list[int] = []
    for before in shape.waits_for:
        depths.append(1 + max((depths[b] for b in before), default=0))
    return max(depths.count(depth) for depth in set(depths)) if depths else 0
