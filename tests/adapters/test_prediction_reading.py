"""Whoever reads the prediction log hears of the same trouble in the same words."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from airflow_ai_provider.adapters.prediction_reading import log_columns, reading_log
from airflow_ai_provider.core.errors import FeedbackSourceError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a log" / "model"
    folder.mkdir(parents=True)
    for name, columns in (("a", "1 AS prediction_id"), ("b", "2 AS prediction_id, 0.5 AS score")):
        file = str(folder / f"{name}.parquet").replace("'", "''")
        duckdb.sql(f"COPY (SELECT {columns}) TO '{file}' (FORMAT parquet)")
    return folder.parent


def test_a_folder_is_read_with_what_is_below_it(log):
    with reading_log(str(log)) as connection:
        assert connection.execute("SELECT sum(prediction_id) FROM log").fetchall() == [(3,)]
        assert log_columns(connection, str(log), ["score"]) == ["prediction_id", "score"]


def test_a_missing_column_is_named_with_those_that_there_are(log):
    with (
        pytest.raises(FeedbackSourceError, match=r"log have no column day, part\.") as told,
        reading_log(str(log)) as connection,
    ):
        log_columns(connection, str(log), ["score", "day", "part"])
    assert told.value.remedy == "They have prediction_id, score."


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_a_log_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "{log}.parquet"
    if content is not None:
        file.write_bytes(content)
    with (
        pytest.raises(FeedbackSourceError, match=r"^The predictions .*\{log\}\.parquet cannot be"),
        reading_log(str(file)) as connection,
    ):
        connection.execute("FROM log")


def test_a_later_complaint_is_told_as_what_the_caller_wanted(log):
    with (
        pytest.raises(FeedbackSourceError, match=r"^No set of .*a log: Conversion Error") as told,
        reading_log(str(log), failure="No set of {}") as connection,
    ):
        connection.execute("SELECT CAST('x' AS INTEGER) FROM log").fetchall()
    assert "\n" not in str(told.value)


def test_the_callers_own_error_stays_as_it_is(log):
    with pytest.raises(LookupError), reading_log(str(log)):
        raise LookupError
