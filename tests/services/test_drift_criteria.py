"""Our own expectations in a suite: drift, freshness, volume and schema change."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_ai_provider.core.errors import DataReadError, SuiteError
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.quality.drift.measures import MEASURES
from airflow_ai_provider.core.quality.own import OWN, seconds_of
from airflow_ai_provider.core.quality.report import ExpectationResult
from airflow_ai_provider.services.drift import compare, make_profile, write_profile
from airflow_ai_provider.services.quality import check
from airflow_ai_provider.services.quality_criteria import Surroundings
from airflow_ai_provider.services.quality_history import earlier_rows
from airflow_ai_provider.store.engine import Store
from airflow_ai_provider.store.ledger import Ledger

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def write(path: Path, select: str) -> Path:
    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write(
        tmp_path / "reference.parquet", "SELECT i % 50 AS n, 'a' AS c FROM range(500) t(i)"
    )


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    return write(
        tmp_path / "moved.parquet", "SELECT i % 50 + 20 AS n, 'b' AS c FROM range(400) t(i)"
    )


def look(data: Path, kind: str, around: Surroundings | None = None, **kwargs: Any) -> Any:
    severity = kwargs.pop("severity", "critical")
    suite = {
        "name": "s",
        "expectations": [{"type": kind, "kwargs": kwargs, "severity": severity}],
    }
    return check(data, suite, around=around)


def only(result: Any) -> ExpectationResult:
    [found] = result.report.results
    return found


DRIFT = "expect_column_drift_to_be_less_than"


@pytest.mark.parametrize("method", MEASURES)
def test_a_drift_criterion_says_what_the_drift_gate_says(
    reference: Path, moved: Path, method: str, tmp_path: Path
) -> None:
    column = "c" if MEASURES[method].kinds == MEASURES["chi_squared"].kinds else "n"
    held = (reference, write_profile(make_profile(reference), tmp_path / "p.json"))
    for held_to in held:
        found = only(
            look(moved, DRIFT, column=column, reference=str(held_to), method=method, threshold=0.01)
        )
        gate = compare(
            moved, held_to, columns=[column], methods=[MEASURES[method].method],
            thresholds={method: 0.01},
        )  # fmt: skip
        measured = {m.measure.name: m for m in gate.columns[0].measured}[method]
        assert found.result["observed_value"] == measured.value
        assert found.success is (measured.severity is None)
        details = found.result["details"]
        assert details["profile"] is (held_to is not reference)
        assert details["reference_digest"] == gate.reference.digest


def test_without_a_threshold_the_usual_limit_of_its_severity_counts(
    reference: Path, tmp_path: Path
) -> None:
    little = write(tmp_path / "little.parquet", "SELECT i % 50 + 7 AS n FROM range(500) t(i)")
    for severity, met in (("warning", False), ("critical", True)):
        arguments = {"column": "n", "reference": str(reference), "method": "ks"}
        found = only(look(little, DRIFT, severity=severity, **arguments))
        assert found.result["observed_value"] == pytest.approx(0.14)
        assert found.success is met


def test_a_column_is_read_once_for_all_that_is_asked_of_it(reference: Path, moved: Path) -> None:
    asked = [
        {"type": DRIFT, "kwargs": {"column": "n", "reference": str(reference), "method": m}}
        for m in ("psi", "ks", "missing_rate", "jensen_shannon")
    ]
    result = check(moved, {"name": "s", "expectations": asked})
    assert [r.success for r in result.report.results] == [False, False, True, False]
    document = result.report.as_gx()
    assert [r["engine"] for r in document["results"]] == ["compiled"] * 4
    json.dumps(document, allow_nan=False)


def test_a_retyped_column_fails_and_says_so(reference: Path, tmp_path: Path) -> None:
    now = write(tmp_path / "now.parquet", "SELECT 'x' AS n")
    found = only(look(now, DRIFT, column="n", reference=str(reference)))
    assert not found.success
    assert "VARCHAR" in found.result["details"]["reason"]


@pytest.mark.parametrize("engine", ["auto", "compiled", "great_expectations"])
def test_ours_stand_beside_theirs_in_the_suites_order(
    reference: Path, moved: Path, engine: str
) -> None:
    if engine == "great_expectations":
        pytest.importorskip("great_expectations")
    suite = {
        "name": "s",
        "expectations": [
            {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 400}},
            {"type": DRIFT, "kwargs": {"column": "c", "reference": str(reference)}},
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "n"}},
        ],
    }
    result = check(moved, suite, engine=engine)
    assert [r.expectation.index for r in result.report.results] == [0, 1, 2]
    assert [r.success for r in result.report.results] == [True, False, True]
    assert result.verdict is Verdict.FAIL


NEWEST = "expect_column_newest_value_to_be_recent"


@pytest.mark.parametrize(
    ("newest", "max_age", "met"),
    [
        ("TIMESTAMP '2026-03-01 11:00:00'", "90m", True),
        ("TIMESTAMP '2026-03-01 11:00:00'", 3_599, False),
        ("TIMESTAMPTZ '2026-03-01 12:30:00+01'", "31m", True),
        ("DATE '2026-02-27'", "2d", False),
        ("DATE '2026-02-27'", "1w", True),
        ("TIMESTAMP '2026-03-01 23:00:00'", "1h", True),
        ("TIMESTAMP '2026-03-02 13:00:00'", "1h", False),  # nobody's data is from tomorrow noon
        ("NULL::TIMESTAMP", "99w", False),
        ("'infinity'::TIMESTAMP", "1h", False),
    ],
)
def test_freshness_is_the_age_of_the_newest_value(
    tmp_path: Path, newest: str, max_age: Any, met: bool
) -> None:
    data = write(
        tmp_path / "d.parquet",
        f"SELECT {newest} AS t UNION ALL SELECT {newest} - INTERVAL 3 YEAR",
    )
    found = only(look(data, NEWEST, Surroundings(now=NOON), column="t", max_age=max_age))
    assert found.success is met
    json.dumps(found.as_gx())


def test_freshness_needs_times(reference: Path) -> None:
    with pytest.raises(SuiteError, match=r"newest_value_to_be_recent\(n\).*BIGINT"):
        look(reference, NEWEST, column="n", max_age="1h")


def test_freshness_of_files_is_their_age(reference: Path) -> None:
    now = datetime.now(timezone.utc)
    os.utime(reference, ((now - timedelta(hours=3)).timestamp(),) * 2)
    for max_age, met in (("4h", True), ("2h", False)):
        found = only(look(reference, "expect_files_to_be_recent", max_age=max_age))
        assert found.success is met
        assert found.result["details"]["age_seconds"] == pytest.approx(3 * 3_600, abs=600)


VOLUME = "expect_table_row_count_to_be_near_reference"


@pytest.mark.parametrize(
    ("limits", "met"),
    [
        ({"min_ratio": 0.8}, True),
        ({"min_ratio": 0.81}, False),
        ({"max_ratio": 0.8}, True),
        ({"min_ratio": 0.5, "max_ratio": 0.7}, False),
    ],
)
def test_volume_is_held_to_the_rows_of_the_reference(
    reference: Path, moved: Path, limits: dict[str, float], met: bool
) -> None:
    found = only(look(moved, VOLUME, reference=str(reference), **limits))
    assert found.success is met
    assert found.result["observed_value"] == 400
    assert found.result["details"]["ratio"] == 0.8


@pytest.mark.parametrize(
    ("earlier", "more", "met"),
    [
        ([410, 390, 4_000], {}, True),  # the median does not mind one odd delivery
        ([4_000, 390, 4_000], {}, False),
        ([], {}, False),
        ([], {"min_records": 0}, True),
        ([400], {"min_records": 2}, False),
    ],
)
def test_volume_is_held_to_earlier_deliveries(
    moved: Path, earlier: list[int], more: dict[str, int], met: bool
) -> None:
    around = Surroundings(history=lambda last: earlier[:last])
    found = only(look(moved, VOLUME, around, last_records=3, min_ratio=0.5, **more))
    assert found.success is met


def test_volume_without_a_ledger_cannot_look(moved: Path) -> None:
    with pytest.raises(SuiteError, match="ledger"):
        look(moved, VOLUME, last_records=3, min_ratio=0.5)


def test_earlier_deliveries_are_those_that_passed_of_this_data_set_once_each(
    store: Store,
) -> None:
    ledger = Ledger(store)

    def passed(subject: str, rows: int, verdict: Verdict = Verdict.PASS) -> None:
        evidence = {"data": {"rows": rows}}
        ledger.append(
            GateDraft(kind=GateKind.DATA, subject=subject, verdict=verdict, evidence=evidence)
        )

    for subject, rows in (("orders/1", 10), ("orders/2", 20), ("orders/1", 11), ("orders2/1", 99)):
        passed(f"ai-data://{subject}", rows)
    passed("ai-data://orders/3", 1, Verdict.FAIL)
    passed("ai-data://orders/4", 40, Verdict.WARN)
    assert earlier_rows(ledger, "orders", "5", 9) == [40, 11, 20]
    assert earlier_rows(ledger, "orders", "4", 9) == [11, 20]
    assert earlier_rows(ledger, "orders", "5", 2) == [40, 11]
    assert earlier_rows(ledger, "orders2", None, 2) == [99]
    for rows in (5, 6):
        passed("ai-data://whole", rows)
    assert earlier_rows(ledger, "whole", None, 5) == [6, 5]


SCHEMA = "expect_table_schema_to_match_reference"


@pytest.mark.parametrize(
    ("select", "allow", "met"),
    [
        ("SELECT 1::BIGINT AS n, 'x' AS c", [], True),
        ("SELECT 1::BIGINT AS n, 'x' AS c, 2 AS more", [], False),
        ("SELECT 1::BIGINT AS n, 'x' AS c, 2 AS more", ["added"], True),
        ("SELECT 1::BIGINT AS n", ["added"], False),
        ("SELECT 1::BIGINT AS n", ["removed"], True),
        ("SELECT 1.5::DOUBLE AS n, 'x' AS c", ["added", "removed"], False),
    ],
)
def test_schema_change_is_what_is_not_allowed(
    tmp_path: Path, reference: Path, select: str, allow: list[str], met: bool
) -> None:
    data = write(tmp_path / "d.parquet", select)
    profile = write_profile(make_profile(reference), tmp_path / "p.json")
    for held_to in (reference, profile):
        assert only(look(data, SCHEMA, reference=str(held_to), allow=allow)).success is met


@pytest.mark.parametrize(
    ("kind", "kwargs", "named"),
    [
        (DRIFT, {"column": "n"}, "reference"),
        (DRIFT, {"column": "n", "reference": 5}, "reference"),
        (DRIFT, {"column": "n", "reference": "r", "method": "median"}, "median"),
        (DRIFT, {"column": "n", "reference": "r", "method": "wasserstein"}, "threshold"),
        (DRIFT, {"column": "n", "reference": "r", "threshold": -1}, "-1"),
        (DRIFT, {"column": "n", "reference": "r", "treshold": 1}, "threshold"),
        (DRIFT, {"column": "n", "reference": "r", "mostly": 0.9}, "mostly"),
        (NEWEST, {"column": "n", "max_age": "soon"}, "soon"),
        (NEWEST, {"column": "n"}, "max_age"),
        (VOLUME, {"min_ratio": 1}, "last_records"),
        (VOLUME, {"reference": "r"}, "min_ratio"),
        (VOLUME, {"reference": "r", "last_records": 3, "min_ratio": 1}, "one of them"),
        (VOLUME, {"reference": "r", "min_ratio": 2, "max_ratio": 1}, "Exchange"),
        (VOLUME, {"last_records": 0, "min_ratio": 1}, "last_records"),
        (SCHEMA, {"reference": "r", "allow": ["renamed"]}, "renamed"),
    ],
)
def test_a_wrong_argument_is_named_before_any_data_is_read(
    kind: str, kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(SuiteError, match=named) as raised:
        look(Path("absent.parquet"), kind, **kwargs)
    assert kind in str(raised.value)


def test_what_is_not_there_is_named(reference: Path, moved: Path, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="'absent', which the data"):
        look(moved, DRIFT, column="absent", reference=str(reference))
    more = write(tmp_path / "more.parquet", "SELECT 1 AS fresh")
    with pytest.raises(SuiteError, match="'fresh', which the reference"):
        look(more, DRIFT, column="fresh", reference=str(reference))
    with pytest.raises(DataReadError, match="gone"):
        look(moved, DRIFT, column="n", reference=str(tmp_path / "gone.parquet"))
    with pytest.raises(SuiteError, match="does not suit"):
        look(moved, DRIFT, column="c", reference=str(reference), method="ks")


@pytest.mark.parametrize(
    ("age", "seconds"),
    [(5, 5), ("5", 5), ("1.5h", 5_400), ("2 d", 172_800), ("h", None), (-1, None), (True, None)],
)
def test_an_age_is_seconds_or_a_number_with_a_unit(age: Any, seconds: float | None) -> None:
    assert seconds_of(age) == seconds


def test_ours_do_not_take_the_name_of_one_of_theirs() -> None:
    from airflow_ai_provider.core.quality.catalogue import CATALOGUE

    assert not set(OWN) & set(CATALOGUE)
