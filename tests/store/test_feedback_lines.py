"""What is said of predictions comes out of every sink as it went in, however it is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.adapters.prediction_reading import load_lines, load_outcomes
from airflow_ai_provider.core.errors import FeedbackRecordError, FeedbackSinkError
from airflow_ai_provider.core.feedback.lines import OUTCOME, SAID
from airflow_ai_provider.core.feedback.parse import parse
from airflow_ai_provider.core.feedback.quick import row_of
from airflow_ai_provider.core.feedback.record import FeedbackRecord
from airflow_ai_provider.services.feedback_delta import DeltaFeedback
from airflow_ai_provider.store.engine import MEMORY_URL, Store
from airflow_ai_provider.store.feedback import FeedbackStore
from airflow_ai_provider.store.migrate import migrate
from tests.feedback_lines import rows_of

NUMBER = count()  # of a model that no other example has
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MOMENTS = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(timezone.utc)  # noqa: DTZ001
)  # fmt: skip
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "delta"])
def sink(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FeedbackStore]:
    if request.param == "postgresql":
        with request.getfixturevalue("postgres_server").database() as url:
            migrate(Store(url))
            store = Store.open(url)
            # where moments and numbers are written in another way
            with store.write() as connection:
                for setting in ("TimeZone = 'CET'", "extra_float_digits = -9"):
                    connection.exec_driver_sql(
                        f'ALTER DATABASE "{store.url.database}" SET {setting}'
                    )
            store.close()
            yield FeedbackStore(store)
            store.close()
        return
    store = Store.open(MEMORY_URL)
    folder = tmp_path_factory.mktemp("delta")
    yield DeltaFeedback(store, str(folder)) if request.param == "delta" else FeedbackStore(store)
    store.close()


def expected(record: FeedbackRecord) -> tuple[Any, ...]:
    moment = (record.observed_at - EPOCH) // timedelta(microseconds=1)
    return (
        *(record.prediction_id, record.feedback_id, record.label_json),
        *(record.value, record.score, record.source_kind.value, moment),
    )


def read(document: dict[str, Any]) -> FeedbackRecord | None:
    """Return the record; None where a name has control characters, say."""
    try:
        return parse({name: value for name, value in document.items() if name != "id"})
    except FeedbackRecordError:
        return None


def held(sink: FeedbackStore, number: int, documents: list[dict[str, Any]]) -> None:
    """Write the documents that fit the contract under a model of their own, and read them back."""
    model = f"m{number}"
    told = [
        {**found, "feedback_id": f"{number}-{place}-{found['id']}", "model_name": model}
        for place, found in enumerate(documents)
    ]
    records = [record for document in told if (record := read(document)) is not None]
    sink.write_batch([[row_of(record) for record in records]], [], sources=["x"])
    there = sorted(map(expected, records))
    assert sorted(row[:-1] for row in rows_of(SAID, sink.said(model))) == there
    numbers = sorted(
        (r.prediction_id, r.label_number) for r in records if r.label_number is not None
    )
    with duckdb.connect() as connection:
        load_outcomes(connection, sink.outcomes(model))
        found = connection.execute("SELECT prediction_id, label FROM outcome").fetchall()
    assert sorted(found) == numbers


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_whatever_fits_the_contract_is_read_as_it_was_said(
    sink: FeedbackStore, data: st.DataObject
) -> None:
    document = st.fixed_dictionaries(
        {"id": TEXTS, "prediction_id": TEXTS, "observed_at": MOMENTS, "value": NUMBERS},
        optional={
            "label": st.one_of(TEXTS, NUMBERS, st.booleans(), st.integers(-(2**53), 2**53)),
            "score": st.floats(1, 5),
            "source_kind": st.sampled_from(["person", "system", "outcome"]),
        },
    )
    documents = data.draw(st.lists(document, max_size=30))
    held(sink, next(NUMBER), documents)


def test_names_and_labels_that_look_like_something_else(sink: FeedbackStore) -> None:
    odd = ["NULL", "null", "\\N", '"', '""', "'", "%s", "a,b", "\\", "\u2028", "ä\U0001f600", "1"]
    moment = {"observed_at": "2013-10-27T01:30:00+01:00"}
    documents = [{"id": name, "prediction_id": name, "label": name, **moment} for name in odd]
    labels = ["\x1f", "a\nb", "\r\n", "\x00\x01", "\x7f", "\x85"]
    documents += [{"id": "x", "prediction_id": "p", "label": name, **moment} for name in labels]
    held(sink, next(NUMBER), documents)


def test_nothing_said_is_a_table_without_rows(sink: FeedbackStore) -> None:
    assert rows_of(SAID, sink.said("nobody")) == []
    assert rows_of(OUTCOME, sink.outcomes("nobody")) == []


def test_a_folder_without_room_is_named(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        raise OSError(28, "No space left on device")
        yield b""

    with pytest.raises(FeedbackSinkError, match=r"sorted in .*: No space left on device"):
        load_lines(None, "said", SAID, broken())
