"""The measurements of an interval at a size for every day; ``make bench-promotion`` runs all."""

from __future__ import annotations

from itertools import islice

import pytest

from airflow_ai_provider.core.promotion.bootstrap import COMPARABLE
from tests.bench import promotion_bootstrap
from tests.bench.report import KEYS


@pytest.mark.slow
def test_every_metric_is_measured_by_rows_and_by_days() -> None:
    wanted = 2 * len(COMPARABLE)
    figures = list(islice(promotion_bootstrap.measure(rows=20_000, resamples=100), wanted))
    assert len(figures) == wanted
    for found in figures:
        assert set(found) == set(KEYS)
        assert found["value"] < 1.0, found  # a hundredth of the whole; its goal is 2
        assert found["ratio"] > 1.0, found
