"""The sides of the benchmark at a size for every day; ``make bench-feedback`` runs them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import feedback_ingest
from tests.bench.feedback_data import FIELDS, write_feedback
from tests.bench.feedback_ingest import Pair, figures
from tests.bench.feedback_sides import SIDES, Run
from tests.bench.report import KEYS


@pytest.mark.parametrize("name", ["store", "delta", "executemany", "to_sql", "parse"])
def test_each_side_takes_the_same_records(tmp_path: Path, name: str) -> None:
    file = write_feedback(tmp_path / "in.jsonl", 300)
    rows, added = SIDES[name](str(file), str(tmp_path / "target"))()
    assert rows == 300
    assert added == (0 if name == "parse" else 300)
    if name in {"store", "delta", "executemany"}:
        assert SIDES[name](str(file), str(tmp_path / "target"))() == (300, 0)


def test_the_copy_by_hand_takes_the_same_records(tmp_path: Path, postgres_url: str) -> None:
    file = write_feedback(tmp_path / "in.jsonl", 300)
    for added in (300, 0):
        assert SIDES["copy"](str(file), postgres_url)() == (300, added)


def test_a_figure_for_every_goal() -> None:
    def pair(first: float, again: float, peak: float = 100.0) -> list[Pair]:
        one = Run(wall=first, cpu=first, peak=peak, rows=1, added=1)
        return [(one, Run(wall=again, cpu=again, peak=peak, rows=1, added=0))]

    found = dict.fromkeys(feedback_ingest.SIDES, pair(10, 9))
    measured = {figure["name"]: figure for figure in figures({**found, "Delta": pair(41, 9, 1001)})}
    assert all(set(KEYS) == set(figure) for figure in measured.values())
    pandas = "SQLite: first ingest beside pandas to_sql"
    missed = {name for name, figure in measured.items() if not figure["met"]}
    assert missed == {
        "Delta: first ingest",
        "Delta: peak memory",
        pandas,
    }
    assert len(FIELDS) == 11
