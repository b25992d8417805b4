"""Many rows at once end as they do one by one: the first of the same stays, in order of arrival."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from airflow_ai_provider.core.feedback.quick import ROW, Row
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.feedback_bulk import insert_into_sqlite
from airflow_ai_provider.store.schema import feedback

KEYS = st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz"))
BATCHES = st.lists(st.lists(st.lists(KEYS, max_size=4), max_size=6), min_size=1, max_size=3)


def row(key: tuple[str, str], place: int) -> Row:
    given: dict[str, Any] = dict.fromkeys(ROW)
    given |= {"feedback_id": key[0], "content_hash": key[1], "model_name": "m"}
    given |= {"observed_at": "2026-01-01T00:00:00.000000+00:00", "source_kind": "person"}
    return tuple({**given, "value": float(place)}.values())


def taken(url: str, batches: list[list[list[tuple[str, str]]]], many: int | None) -> list[Any]:
    """Take batches of pieces in; return what is there, and what was offered."""
    store = Store.open(url)
    table, place, offered = feedback.c, 0, []
    with store.write() as connection:
        connection.execute(feedback.delete())
    for number, pieces in enumerate(batches):
        rows = []
        for keys in pieces:
            rows.append([row(key, place + at) for at, key in enumerate(keys)])
            place += len(keys)
        with store.write() as connection:
            offered.append(insert_into_sqlite(connection, feedback, ROW, rows, number, many=many))
    columns = (table.feedback_id, table.content_hash, table.value, table.batch_id)
    with store.read() as connection:
        found = connection.execute(sa.select(*columns).order_by(table.sequence)).all()
        indexes = {index["name"]: index for index in sa.inspect(connection).get_indexes("feedback")}
    store.close()
    assert {name for name, index in indexes.items() if index["unique"]} == {
        "uq_feedback_feedback_id"
    }
    assert len(indexes) == len(feedback.indexes)
    return [[tuple(one) for one in found], offered]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder: Path = tmp_path_factory.mktemp("bulk")
    return f"sqlite:///{folder / 'bulk.db'}", f"sqlite:///{folder / 'plain.db'}"


@given(batches=BATCHES, many=st.integers(0, 6))
def test_done_without_its_indexes_a_table_holds_the_same(
    urls: tuple[str, str], batches: list[list[list[tuple[str, str]]]], many: int
) -> None:
    bulk, plain = urls
    assert taken(bulk, batches, many) == taken(plain, batches, None)


def test_a_batch_that_breaks_leaves_the_indexes(urls: tuple[str, str]) -> None:
    store = Store.open(urls[0])

    def pieces() -> Any:
        yield [row(("a", "x"), 0)]
        yield [row(("a", "x"), 1)]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="broke"), store.write() as connection:
        insert_into_sqlite(connection, feedback, ROW, pieces(), 1, many=0)
    with store.read() as connection:
        names = {index["name"] for index in sa.inspect(connection).get_indexes("feedback")}
    assert names == {index.name for index in feedback.indexes}
