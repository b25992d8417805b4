"""Ten times the rows, and then in a process that may have 512 MB in all.

Under the limit runs, besides the suite, one that needs a hash table as long as the data: at ten
million rows that exceeds the limit, so it must spill.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.confined import confined
from tests.bench.quality_data import ROWS, write_orders
from tests.bench.quality_sides import Run, Side, side
from tests.bench.report import beside, figure, say

LIMIT = 512 * 10**6
ROUNDS = 3
WITHOUT_GROUP = "256MiB"  # DuckDB's share, where no control group tells it what there is


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """Measure both sizes in turn, with and without the limit."""
    with tempfile.TemporaryDirectory() as folder, confined(LIMIT) as within, ExitStack() as stack:
        small = write_orders(Path(folder) / "small.parquet", rows)
        large = write_orders(Path(folder) / "large.parquet", 10 * rows)
        said = () if within else (WITHOUT_GROUP,)
        how = "a control group" if within else f"memory_limit={WITHOUT_GROUP}, no control group"
        say(f"the limit of 512 MB is by {how}")
        sides: dict[str, Side] = {
            "small": stack.enter_context(side("ours", small)),
            "small, scattered": stack.enter_context(side("scattered", small)),
            "large": stack.enter_context(side("ours", large)),
        }
        runs: dict[str, list[Run]] = {}
        for _ in range(rounds):
            for name, one in sides.items():
                runs.setdefault(name, []).append(one.run())
            for name in ("ours", "scattered"):
                with side(name, large, *said, within=within or ()) as limited:
                    runs.setdefault(f"limited {name}", []).append(limited.run())
    shape = f"{rows // 100}k rows"
    for what, name, peer, goal in (
        ("", "large", "small", 12),
        (" in 512 MB", "limited ours", "small", 20),
        (" in 512 MB, spilling", "limited scattered", "small, scattered", 20),
    ):
        for kind, unit in (("wall", "s"), ("cpu", "CPU s")):
            yield beside(
                f"gate, {shape}{what}, {kind}",
                _seconds(runs[name], kind), unit, _seconds(runs[peer], kind),
                at_most=goal, peer="a tenth of the rows",
            )  # fmt: skip
    for name in ("limited ours", "limited scattered"):
        most = max(run.peak for run in runs[name])
        yield figure(f"gate, {shape}, {name}: peak memory", most, "MB", 512)


def _seconds(runs: list[Run], kind: str) -> float:
    return median(getattr(run, kind) for run in runs)
