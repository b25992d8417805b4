from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from airflow_ai_provider.adapters.prediction_log import JoinedVersion, join, write
from airflow_ai_provider.core.errors import FeedbackSourceError
from tests.feedback_lines import lines_of

NOW = datetime(2013, 5, 1, tzinfo=timezone.utc)


def rows(**columns: Any) -> dict[str, Any]:
    return {
        "prediction_id": ["a", "b", "c", "d"],
        "score": [0.1, 0.4, 0.8, 0.5],
        "day": ["2013-04-01", "2013-04-01", "2013-04-02", "2013-04-02"],
        "carrier": ["UA", "AA", "UA", None],
        **columns,
    }


def log(root: Path, found: Any, *, version: str = "1", partition: str = "2013-04") -> Path:
    return write(
        str(root), found, model_name="m", version=version, partition=partition, predicted_at=NOW
    )


def outcome(
    prediction: str, label: int, *, kind: str = "outcome", day: int = 1, seq: int = 1
) -> tuple[Any, ...]:
    return (prediction, label, kind, f"2013-05-{day:02}T00:00:00+00:00", seq)


def joined(
    root: Path | str, outcomes: Sequence[tuple[Any, ...]], **options: Any
) -> list[JoinedVersion]:
    options = {"model_name": "m", "partition": "2013-04", "group": "day", **options}
    return join(str(root), lines_of(*outcomes), **options)


def test_predictions_meet_what_became_of_them(tmp_path: Path) -> None:
    log(tmp_path, rows())
    (found,) = joined(
        tmp_path, [outcome("a", 1), outcome("b", 0), outcome("c", 1), outcome("zz", 1)],
        slices=["carrier"],
    )  # fmt: skip
    assert (found.version, found.predictions) == ("1", 4)
    assert list(found.labels) == [1, 0, 1]
    assert list(found.scores) == [0.1, 0.4, 0.8]
    assert list(found.groups) == ["2013-04-01", "2013-04-01", "2013-04-02"]
    slices = {cut.slice: (cut.n, cut.observed) for cut in found.slices}
    assert slices == {"carrier=UA": (2, 1.0), "carrier=AA": (1, 0.0)}


def test_several_versions_are_told_apart_and_other_partitions_left_out(tmp_path: Path) -> None:
    log(tmp_path, rows())
    log(tmp_path, rows(score=[0.5] * 4), version="10")
    log(tmp_path, rows(), partition="2013-05")
    found = joined(tmp_path, [outcome("a", 1)])
    assert [(v.version, v.predictions, list(v.scores)) for v in found] == [
        ("1", 4, [0.1]),
        ("10", 4, [0.5]),
    ]
    assert joined(tmp_path, [outcome("a", 1)], partition="2013-06") == []


def test_a_retry_replaces_the_file(tmp_path: Path) -> None:
    first = log(tmp_path, rows())
    assert log(tmp_path, rows(score=[0.9] * 4)) == first
    assert [p.name for p in first.parent.iterdir()] == ["2013-04.parquet"]
    (found,) = joined(tmp_path, [outcome("a", 1)])
    assert (found.predictions, list(found.scores)) == (4, [0.9])


def test_a_prediction_logged_twice_counts_once_the_newest(tmp_path: Path) -> None:
    log(tmp_path / "old", rows())
    later = rows(score=[0.9] * 4, predicted_at=[datetime(2013, 6, 1)] * 4)  # noqa: DTZ001
    log(tmp_path / "new", later)
    (found,) = joined(tmp_path, [outcome("a", 1)])
    assert (found.predictions, list(found.scores)) == (4, [0.9])


def test_an_outcome_goes_before_an_opinion_then_the_newest(tmp_path: Path) -> None:
    log(tmp_path, rows())
    (found,) = joined(
        tmp_path,
        [
            outcome("a", 0, kind="person", day=9),
            outcome("a", 1, day=1),
            outcome("b", 1, day=1),
            outcome("b", 0, day=2),
            outcome("c", 7),
        ],
    )
    assert list(found.labels) == [1, 0]


def test_no_feedback_at_all_leaves_the_predictions(tmp_path: Path) -> None:
    log(tmp_path, rows())
    (found,) = joined(tmp_path, [])
    assert (found.predictions, len(found.labels)) == (4, 0)


def test_names_are_data_not_sql_and_not_paths(tmp_path: Path) -> None:
    odd = "../o'brien; DROP"
    file = write(
        str(tmp_path), rows(), model_name=odd, version="1", partition=odd, predicted_at=NOW
    )
    assert tmp_path in file.resolve().parents
    (found,) = joined(tmp_path, [outcome("a", 1)], model_name=odd, partition=odd, group=None)
    assert found.groups is None


@pytest.mark.parametrize("kind", ["dict", "pandas", "parquet"])
def test_predictions_come_as_columns_frame_or_file(tmp_path: Path, kind: str) -> None:
    found: Any = rows(prediction_id=[1, 2, 3, 4])
    if kind == "pandas":
        found = pd.DataFrame(found)
    if kind == "parquet":
        frame = pd.DataFrame(found)
        found = tmp_path / "scored.parquet"
        duckdb.from_df(frame).write_parquet(str(found))
    file = log(tmp_path / "log", found)
    told = "prediction_id, model_name, model_version, partition, predicted_at::VARCHAR"
    first, *_ = duckdb.sql(f"SELECT {told} FROM '{file}' ORDER BY prediction_id").fetchall()
    assert first[:4] == ("1", "m", "1", "2013-04")
    assert first[4].startswith("2013-05-01")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prediction_id": ["a", "a", "b", "c"]}, "prediction_id is missing or repeated in 1 of 4"),
        ({"prediction_id": ["a", None, "b", "c"]}, "prediction_id is missing"),
        ({"score": [0.1, float("nan"), 0.2, 0.3]}, "score is missing or not finite in 1 of 4"),
        ({"score": ["x"] * 4}, "score"),
        ({"day": [None] * 4}, "day is missing"),
    ],
)
def test_predictions_that_cannot_be_used_are_not_written(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FeedbackSourceError, match=reason):
        log(tmp_path, rows(**changes))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedbackSourceError, match="no column score, day"):
        log(tmp_path, {"prediction_id": ["a"]})
    log(tmp_path, rows())
    with pytest.raises(FeedbackSourceError, match="no column airport"):
        joined(tmp_path, [], slices=["airport"])


def test_a_log_that_is_not_there_or_no_parquet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FeedbackSourceError, match="cannot be read"):
        joined(tmp_path / "none.parquet", [])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(FeedbackSourceError, match="cannot be read"):
        joined(tmp_path, [])
