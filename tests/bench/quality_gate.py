"""The gate beside Great Expectations on pandas and hand-written SQL: cold, warm, and in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.quality_data import ROWS, write_orders
from tests.bench.quality_sides import Run, cold, side
from tests.bench.report import beside

COLD_ROUNDS, WARM_ROUNDS = 5, 9
SIDES = ("ours", "great_expectations", "by_hand")
THEIRS, BY_HAND = "Great Expectations on pandas", "SQL by hand on DuckDB"


def measure(rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Let the sides run in turn, each in processes of its own, and compare the medians."""
    shape = f"{rows // 1000}k rows x 10 columns x 12 expectations"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = write_orders(Path(folder) / "orders.parquet", rows)
        colds: dict[str, list[Run]] = {name: [] for name in SIDES}
        for _ in range(COLD_ROUNDS):
            for name in SIDES:
                colds[name].append(cold(name, path))
        need_agreement({name: runs[0] for name, runs in colds.items()})
        yield beside(
            f"gate, {shape}, cold process with imports", _of(colds, "ours", "cpu"), "CPU s",
            _of(colds, "great_expectations", "cpu"), at_least=10, peer=THEIRS,
        )  # fmt: skip
        yield beside(
            f"gate, {shape}, peak memory", _of(colds, "ours", "peak"), "MB",
            _of(colds, "great_expectations", "peak"), at_most=0.5, peer=THEIRS,
        )  # fmt: skip
        warm = {name: stack.enter_context(side(name, path)) for name in SIDES}
        runs: dict[str, list[Run]] = {name: [] for name in SIDES}
        for _ in range(WARM_ROUNDS):
            for name, one in warm.items():
                runs[name].append(one.run())
    for kind, unit, goal in (("wall", "s", 4.0), ("cpu", "CPU s", 3.0)):
        mine, theirs = _of(runs, "ours", kind), _of(runs, "great_expectations", kind)
        name, hand = f"gate, {shape}, warm, {kind}", _of(runs, "by_hand", kind)
        yield beside(name, mine, unit, theirs, at_least=goal, peer=THEIRS)
        yield beside(f"{name}, beside SQL", mine, unit, hand, at_most=1.2, peer=BY_HAND)


def _of(runs: dict[str, list[Run]], name: str, kind: str) -> float:
    return median(getattr(run, kind) for run in runs[name])


def need_agreement(runs: dict[str, Run]) -> None:
    """A fast answer that is another one is worth nothing."""
    for name, run in runs.items():
        if run.counts != runs["ours"].counts:
            raise AssertionError(f"{name} counts {run.counts}, we count {runs['ours'].counts}")
