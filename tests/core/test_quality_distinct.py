"""Where distinct values are counted in bits."""

from __future__ import annotations

import pytest

from airflow_ai_provider.core.quality.check import Extent, Rows, Schema
from airflow_ai_provider.core.quality.distinct import bits_read, distinct_read
from airflow_ai_provider.core.quality.sql import Column
from airflow_ai_provider.core.quality.suite import parse_suite

SUITE = parse_suite({"name": "s", "expectations": []})
ID = Column(name="id", type="BIGINT")


def schema(count: int | None, extent: Extent | None, condition: str | None = None) -> Schema:
    rows = Rows(condition=condition)
    return Schema(suite=SUITE, columns=[ID], rows=rows, count=count, extent=lambda _: extent)


@pytest.mark.parametrize(
    ("count", "extent"),
    [
        (None, (0, 10)),  # nobody knows how many rows there are
        (0, None),
        (100, None),
        (100, (0, 6400)),  # too sparse
        (10**9, (0, 2**27)),  # too many
        (3, (-(2**63), 2**63 - 1)),
    ],
)
def test_values_far_apart_are_hashed(count: int | None, extent: Extent | None) -> None:
    assert distinct_read(schema(count, extent), ID) == 'count(DISTINCT "id")'


def test_values_close_together_are_counted_in_bits() -> None:
    read = bits_read(schema(100, (-5, 6394), condition="x"), ID)
    assert read is not None
    assert 'CASE WHEN x THEN "id"::BIGINT END, (-5)::BIGINT, (6394)::BIGINT' in read


def test_only_integers_are() -> None:
    assert bits_read(schema(100, (0, 1)), Column(name="id", type="DOUBLE")) is None
