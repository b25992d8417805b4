"""Predictions are logged once however often a task tries, and joined to what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from airflow_ai_provider.adapters.training_set import TrainingSet
from airflow_ai_provider.core.errors import FeedbackError, FeedbackSinkError, FeedbackSourceError
from airflow_ai_provider.services.feedback import FeedbackService
from airflow_ai_provider.services.predictions import log_predictions, make_training_set
from tests.stores import store_in_memory

APRIL = datetime(2013, 4, 1, 12, tzinfo=timezone.utc)


def rows(*ids: str, **columns: Any) -> dict[str, Any]:
    return {
        "prediction_id": list(ids),
        "score": [0.25] * len(ids),
        "carrier": ["UA"] * len(ids),
        "distance": list(range(len(ids))),
        **columns,
    }


def log(root: Path, found: Any, **options: Any) -> Any:
    options = {"model_name": "m", "version": "1", "predicted_at": APRIL, **options}
    return log_predictions(root, found, **options)


def read(root: Path | str, columns: str = "*") -> list[tuple[Any, ...]]:
    found = f"read_parquet('{root}/**/*.parquet', hive_partitioning=false, union_by_name=true)"
    return duckdb.sql(f"SELECT {columns} FROM {found} ORDER BY ALL").fetchall()


@pytest.mark.parametrize("kind", ["dict", "pandas", "parquet"])
def test_the_log_is_laid_out_by_model_version_and_day(tmp_path: Path, kind: str) -> None:
    days = [date(2013, 4, 1), date(2013, 4, 2), date(2013, 4, 1)]
    found: Any = rows("a", "b", "c", day=days)
    if kind == "pandas":
        found = pd.DataFrame(found)
    if kind == "parquet":
        duckdb.from_df(pd.DataFrame(found)).write_parquet(str(tmp_path / "in.parquet"))
        found = tmp_path / "in.parquet"
    root = tmp_path / "log"
    done = log(root, found, features=["carrier"], partition="2013-04")
    assert (done.predictions, done.days) == (3, ("2013-04-01", "2013-04-02"))
    assert [Path(file).parent.relative_to(root).as_posix() for file in done.files] == [
        "model_name=m/model_version=1/day=2013-04-01",
        "model_name=m/model_version=1/day=2013-04-02",
    ]
    told = "prediction_id, model_name, model_version, partition, day, carrier, score"
    assert read(root, told)[1] == ("b", "m", "1", "2013-04", "2013-04-02", "UA", 0.25)
    hive = duckdb.sql(f"SELECT count(*) FROM read_parquet('{root}/*/*/day=2013-04-01/*.parquet')")
    assert hive.fetchall() == [(2,)]


def test_the_features_asked_for_are_kept_and_no_others(tmp_path: Path) -> None:
    own = ["prediction_id", "model_name", "model_version", "score", "predicted_at", "partition"]
    for name, features in (("none", []), ("some", ["distance"]), ("all", None)):
        log(tmp_path / name, rows("a"), features=features)
        found = duckdb.sql(f"FROM read_parquet('{tmp_path / name}/**/*.parquet')").columns
        kept = {"none": [], "some": ["distance"], "all": ["carrier", "distance"]}[name]
        assert found == [*own, "day", *kept]


def test_a_try_replaces_what_the_try_before_it_wrote(tmp_path: Path) -> None:
    key = ["dag", "run", "score", -1]
    first = log(tmp_path, rows("a", "b", day=["2013-04-01", "2013-04-02"]), key=key)
    log(tmp_path, rows("z"), key=["dag", "run", "score", 0])
    again = log(tmp_path, rows("a", "c", score=[0.5, 0.5], day=["2013-04-01"] * 2), key=key)
    assert again.files == first.files[:1]
    assert read(tmp_path, "prediction_id, score") == [("a", 0.5), ("c", 0.5), ("z", 0.25)]
    assert sum(1 for file in tmp_path.rglob("*") if file.is_file()) == 2


def test_names_are_data_not_paths_and_not_sql(tmp_path: Path) -> None:
    odd = "../o'brien; DROP/*"
    done = log(tmp_path / "log", rows("a"), model_name=odd, version=odd, partition=odd)
    assert tmp_path / "log" in Path(done.files[0]).resolve().parents
    assert read(tmp_path / "log", "model_name, model_version, partition") == [(odd, odd, odd)]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (rows("a", "a"), "prediction_id is missing or repeated in 1 of 2"),
        (rows("a", score=[None]), "score is missing"),
        (rows("a", day=["May"]), "day is missing or no date"),
        ({"score": [1.0]}, "no column prediction_id, age"),
        (rows("a"), "no column age"),
    ],
)
def test_what_cannot_be_used_is_not_written(
    tmp_path: Path, found: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FeedbackSourceError, match=reason):
        log(tmp_path, found, features=["age"] if "age" in reason else None)
    assert not list(tmp_path.rglob("*"))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(FeedbackSinkError, match=f"{tmp_path}/log"):
        log(tmp_path / "log", rows("a"))


def test_a_moment_has_a_zone(tmp_path: Path) -> None:
    with pytest.raises(FeedbackError, match="predicted_at has no time zone"):
        log(tmp_path, rows("a"), predicted_at=datetime(2013, 4, 1))  # noqa: DTZ001


def told(prediction: str, *, day: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "feedback_id": f"f-{prediction}",
        "prediction_id": prediction,
        "model_name": "m",
        "observed_at": f"2013-04-{day:02}T00:00:00Z",
        "label": 1,
        **changes,
    }


@pytest.fixture
def service() -> Iterator[FeedbackService]:
    store = store_in_memory()
    yield FeedbackService(store)
    store.close()


def ingest(service: FeedbackService, folder: Path, *documents: dict[str, Any]) -> None:
    file = folder / "feedback.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    service.ingest(file)


def training_set(service: FeedbackService, folder: Path, **options: Any) -> TrainingSet:
    options = {"model_name": "m", "as_of": APRIL + timedelta(days=60), **options}
    return make_training_set(folder / "set.parquet", folder / "log", service.records, **options)


def labelled(folder: Path, columns: str = "prediction_id, label") -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT {columns} FROM '{folder / 'set.parquet'}'").fetchall()


def test_a_row_holds_the_features_and_what_was_said(
    tmp_path: Path, service: FeedbackService
) -> None:
    log(tmp_path / "log", rows("a", "b", "c"))
    ingest(
        service,
        tmp_path,
        told("b", label="spät", value=1.5, score=4, source_kind="outcome"),
        told("a", label=0.5),
        told("x"),
    )
    found = training_set(service, tmp_path)
    assert (found.rows, found.predictions, found.unlabelled, found.unknown) == (2, 3, 1, 1)
    columns = "prediction_id, carrier, distance, label, label_number, value, opinion, label_source"
    assert labelled(tmp_path, columns) == [
        ("a", "UA", 0, "0.5", 0.5, None, None, "person"),
        ("b", "UA", 1, "spät", None, 1.5, 4.0, "outcome"),
    ]
    training_set(service, tmp_path, features=["distance"])
    assert duckdb.sql(f"FROM '{tmp_path / 'set.parquet'}'").columns == [
        *("prediction_id", "model_name", "model_version", "predicted_at", "distance"),
        *("feedback_id", "label", "label_number", "value", "opinion", "label_source"),
        "observed_at",
    ]


def test_labels_have_a_window_and_an_open_one_is_waited_for(
    tmp_path: Path, service: FeedbackService
) -> None:
    times = [APRIL, APRIL, APRIL, APRIL + timedelta(days=9)]
    log(tmp_path / "log", rows("a", "b", "c", "d", predicted_at=times))
    ingest(service, tmp_path, told("a", day=5), told("b", day=20), told("d", day=11))
    window: dict[str, Any] = {"label_window": timedelta(days=10)}
    found = training_set(service, tmp_path, **window, as_of=APRIL + timedelta(days=15))
    assert (found.rows, found.late, found.unlabelled, found.waiting) == (1, 0, 2, 1)
    assert labelled(tmp_path) == [("a", "1")]
    found = training_set(service, tmp_path, **window)
    assert (found.rows, found.late, found.unlabelled, found.waiting) == (2, 1, 1, 0)
    assert labelled(tmp_path) == [("a", "1"), ("d", "1")]
    found = training_set(service, tmp_path)
    assert (found.rows, found.late, found.predictions) == (3, 0, 4)


def test_a_late_revision_does_not_take_away_what_came_in_time(
    tmp_path: Path, service: FeedbackService
) -> None:
    log(tmp_path / "log", rows("a"))
    ingest(
        service,
        tmp_path,
        told("a", feedback_id="early", day=2, label=0),
        told("a", feedback_id="late", day=25, label=1, source_kind="outcome"),
    )
    training_set(service, tmp_path, label_window=timedelta(days=10))
    assert labelled(tmp_path) == [("a", "0")]
    training_set(service, tmp_path)
    assert labelled(tmp_path) == [("a", "1")]


def test_feedback_on_an_unknown_prediction_waits_until_it_shows_up(
    tmp_path: Path, service: FeedbackService
) -> None:
    log(tmp_path / "log", rows("a"))
    ingest(service, tmp_path, told("a"), told("b"))
    assert training_set(service, tmp_path).unknown == 1
    log(tmp_path / "log", rows("b"), predicted_at=APRIL + timedelta(days=2))
    found = training_set(service, tmp_path)
    assert (found.rows, found.unknown) == (2, 0)


def test_of_several_voices_reality_speaks_first_then_the_newest(
    tmp_path: Path, service: FeedbackService
) -> None:
    log(tmp_path / "log", rows("a", "b"))
    ingest(
        service,
        tmp_path,
        told("a", feedback_id="1", day=9, label=0),
        told("a", feedback_id="2", day=2, label=1, source_kind="outcome"),
        told("b", feedback_id="3", day=2, label=1),
        told("b", feedback_id="4", day=3, label=0),
    )
    training_set(service, tmp_path)
    assert labelled(tmp_path) == [("a", "1"), ("b", "0")]


def test_versions_are_told_apart_and_a_prediction_logged_twice_counts_once(
    tmp_path: Path, service: FeedbackService
) -> None:
    log(tmp_path / "log", rows("a"))
    log(tmp_path / "log", rows("a", score=[0.75]), predicted_at=APRIL + timedelta(hours=1))
    log(tmp_path / "log", rows("a"), version="10")
    ingest(service, tmp_path, told("a"))
    assert training_set(service, tmp_path).rows == 2
    assert training_set(service, tmp_path, version="1").rows == 1
    assert labelled(tmp_path, "prediction_id, score") == [("a", 0.75)]
    assert training_set(service, tmp_path, version="7").rows == 0


def test_a_column_that_is_missing_is_named(tmp_path: Path, service: FeedbackService) -> None:
    log(tmp_path / "log", rows("a"))
    with pytest.raises(FeedbackSourceError, match="no column age"):
        training_set(service, tmp_path, features=["age"])
    with pytest.raises(FeedbackSourceError, match="No training set"):
        make_training_set(tmp_path / "x", tmp_path / "none", service.records, model_name="m")
    with pytest.raises(FeedbackError, match="as_of has no time zone"):
        training_set(service, tmp_path, as_of=datetime(2013, 4, 1))  # noqa: DTZ001
