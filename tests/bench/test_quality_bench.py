"""The data gate's measurements, at a size for every day; ``make bench-quality`` runs them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import quality_sides, quality_table
from tests.bench.quality_data import SUITE, write_orders
from tests.bench.quality_sides import Run, cold
from tests.bench.report import beside


def test_the_hand_written_statement_means_the_suite(tmp_path: Path) -> None:
    path = write_orders(tmp_path / "orders.parquet", 20_000)
    counts = quality_sides.ours(str(path))
    assert counts == quality_sides.by_hand(str(path))
    assert len(SUITE["expectations"]) == 12
    assert {place for place, count in counts.items() if count} == {"4", "6", "8"}
    scattered = quality_sides.scattered(str(path))
    assert scattered == {**counts, "12": 0}


@pytest.mark.parametrize(
    ("value", "other", "goal", "ratio", "met"),
    [
        (2.0, 8.0, {"at_least": 4}, 4.0, True),
        (2.0, 7.9, {"at_least": 4}, 3.95, False),
        (2.4, 2.0, {"at_most": 1.2}, 1.2, True),
        (2.5, 2.0, {"at_most": 1.2}, 1.25, False),
    ],
)
def test_a_figure_beside_a_peer_says_how_many_times(
    value: float, other: float, goal: dict[str, float], ratio: float, met: bool
) -> None:
    found = beside("gate", value, "s", other, peer="them", **goal)
    assert (found["ratio"], found["met"]) == (ratio, met)


def test_a_cold_run_counts_the_whole_process(tmp_path: Path) -> None:
    run = cold("ours", write_orders(tmp_path / "orders.parquet", 1000))
    assert isinstance(run, Run)
    assert run.cpu > 0.1  # DuckDB's import alone takes that
    assert 50 < run.peak < 400


def test_a_table_is_scanned_once_and_twice_where_rows_fail(postgres_url: str) -> None:
    figures = list(quality_table.measure_at(postgres_url, 20_000))
    assert [figure["value"] for figure in figures[::2]] == [1, 2]
    assert all(figure["met"] for figure in figures)
    assert figures[1]["value"] < figures[3]["value"]
