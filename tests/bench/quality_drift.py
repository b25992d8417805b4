"""Drift of a million rows and ten columns: one sort a column, beside separate calls of scipy.

Run by itself (``python -m tests.bench.quality_drift``) or through ``measure()``. Both sides read
the same two Parquet files and compute the same statistics, in turn in each round; the medians of
the CPU seconds of the process are compared. Imports are not counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from airflow_ai_provider.services.drift import compare, make_profile, write_profile
from tests.bench.report import beside, figure

ROWS = 1_000_000
ROUNDS = 5
GOAL = 4.0
METHODS = ["psi", "ks", "wasserstein", "jensen_shannon", "chi_squared"]
METHODS += ["missing_rate", "new_category"]
NAMES = ["city", "grade"]


def measure(rows: int = ROWS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return the figures of one interleaved run."""
    with tempfile.TemporaryDirectory() as folder:
        reference, now = (_write(Path(folder) / f"{n}.parquet", rows, n) for n in (0, 1))
        profile = write_profile(make_profile(reference), Path(folder) / "profile.json")
        sides: dict[str, Callable[[], Any]] = {
            "scipy": lambda: separate(reference, now),
            "ours": lambda: compare(now, reference, methods=METHODS),
            "profile": lambda: compare(now, profile, methods=METHODS),
        }
        answers = {name: run() for name, run in sides.items()}  # once, so that all is warm
        _need_agreement(answers["scipy"], answers["ours"])
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, run in sides.items():
                began = time.process_time()
                run()
                taken[name].append(time.process_time() - began)
        size = profile.stat().st_size
    seconds = {name: median(values) for name, values in taken.items()}
    shape = f"{rows // 1000}k rows x 10 columns"
    peer = "separate scipy calls"
    return [
        beside(
            f"drift, {shape}, {what}", seconds[name], "CPU s", seconds["scipy"],
            at_least=GOAL, peer=peer,
        )
        for what, name in (("from data", "ours"), ("from a profile", "profile"))
    ] + [figure(f"reference profile, {shape}", size / 1024, "KiB", 512)]  # fmt: skip


def separate(reference: Path, now: Path) -> dict[str, dict[str, float]]:
    """Compute the same with pandas and a scipy call for each statistic, as one would by hand."""
    old, new = pd.read_parquet(reference), pd.read_parquet(now)
    found: dict[str, dict[str, float]] = {}
    for column in old.columns:
        a, b = old[column].dropna(), new[column].dropna()
        figures = {"missing_rate": abs(new[column].isna().mean() - old[column].isna().mean())}
        if column in NAMES:
            one, other = a.value_counts(), b.value_counts()
            names = one.index.union(other.index)
            p, q = one.reindex(names, fill_value=0), other.reindex(names, fill_value=0)
            figures["chi_squared"] = chi2_contingency([p, q]).statistic
            figures["new_category"] = float(1 - b.isin(one.index).mean())
        else:
            values, others = a.to_numpy(), b.to_numpy()
            edges = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
            p, q = (np.bincount(np.searchsorted(edges, v), minlength=10) for v in (values, others))
            figures["ks"] = ks_2samp(values, others, method="asymp").statistic
            figures["wasserstein"] = wasserstein_distance(values, others)
        p, q = np.maximum(p / p.sum(), 1e-4), np.maximum(q / q.sum(), 1e-4)
        figures["psi"] = float(((q - p) * np.log(q / p)).sum())
        figures["jensen_shannon"] = float(jensenshannon(p, q, base=2))
        found[column] = figures
    return found


def _need_agreement(theirs: dict[str, dict[str, float]], ours: Any) -> None:
    """A fast answer that is another one is worth nothing."""
    for column in ours.columns:
        mine = {m.measure.name: m.value for m in column.measured}
        for name, value in theirs[column.column].items():
            if not np.isclose(mine[name], value, rtol=1e-6, atol=1e-9):
                raise AssertionError(f"{column.column}: {name} is {mine[name]}, scipy says {value}")


def _write(path: Path, rows: int, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    shift = 0.03 * seed
    drawn = pd.DataFrame(
        {
            "n0": generator.normal(shift, 1, rows),
            "n1": generator.normal(0, 1 + shift, rows),
            "amount": generator.lognormal(3 + shift, 1, rows),
            "long_tail": generator.pareto(2.5, rows),
            "share": generator.beta(2, 5 + shift, rows),
            "n5": np.where(generator.random(rows) < 0.05, np.nan, generator.normal(size=rows)),
            "count": generator.poisson(40 + shift, rows),
            "rating": generator.integers(0, 100_000, rows),
            "city": generator.choice([f"city {i}" for i in range(200)], rows),
            "grade": generator.choice(list("ABCDEF"), rows),
        }
    )
    connection = duckdb.connect()
    connection.register("drawn", drawn)
    connection.execute(f"COPY drawn TO '{path}' (FORMAT parquet)")
    return path


if __name__ == "__main__":
    for found in measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        print(found)
