"""Drift of data in files: from data and from a profile, whatever the columns hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import DataReadError, DriftSettingsError, QualityError
from airflow_ai_provider.core.gate import GateKind, Verdict
from airflow_ai_provider.core.quality.drift.report import DriftResult
from airflow_ai_provider.core.quality.page.draw import draw
from airflow_ai_provider.core.quality.page.pictures import shares_of
from airflow_ai_provider.core.quality.profile import parse_profile
from airflow_ai_provider.services.drift import compare, make_profile, write_profile

EVERY = ["psi", "ks", "jensen_shannon", "wasserstein", "wasserstein_scaled", "chi_squared"]
EVERY += ["missing_rate", "new_category"]


def write(path: Path, select: str) -> Path:
    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def figures(result: DriftResult, column: str) -> dict[str, float | None]:
    found = next(c for c in result.columns if c.column == column)
    assert found.problem is None, found.problem
    return {m.measure.name: m.value for m in found.measured}


def problem(result: DriftResult, column: str) -> str | None:
    return next(c for c in result.columns if c.column == column).problem


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write(
        tmp_path / "reference.parquet",
        "SELECT i::INTEGER AS id, (i % 997) * 0.5 AS amount, i % 7 = 0 AS flag, "
        "['Zürich', '東京', 'São Paulo'][i % 3 + 1] AS city, "
        "DATE '2024-01-01' + (i % 90)::INTEGER AS day, "
        "CASE WHEN i % 10 > 0 THEN i % 5 END AS grade FROM range(5000) t(i)",
    )


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    return write(
        tmp_path / "moved.parquet",
        "SELECT i::INTEGER AS id, (i % 997) * 0.5 + 300 AS amount, i % 7 = 0 AS flag, "
        "['Zürich', '東京', 'Århus'][i % 3 + 1] AS city, "
        "DATE '2024-01-01' + (i % 90)::INTEGER AS day, "
        "CASE WHEN i % 2 > 0 THEN i % 5 END AS grade FROM range(5000) t(i)",
    )


@pytest.fixture
def profile(reference: Path, tmp_path: Path) -> Path:
    return write_profile(make_profile(reference), tmp_path / "profile.json")


def test_data_is_like_itself(reference: Path, profile: Path) -> None:
    for held_to in (reference, profile):
        result = compare(reference, held_to, methods=EVERY)
        assert result.verdict is Verdict.PASS
        assert result.failed() == []
        for column in result.columns:
            for measured in column.measured:
                assert measured.value is not None
                if not measured.measure.small:
                    assert 0 <= measured.value <= measured.error


def test_what_moved_is_found_and_what_did_not_is_not(
    reference: Path, profile: Path, moved: Path
) -> None:
    for held_to in (reference, profile):
        result = compare(moved, held_to)
        assert result.verdict is Verdict.FAIL
        assert {c.column for c in result.drifted} == {"amount", "city", "grade"}
        assert figures(result, "city")["new_category"] == pytest.approx(1 / 3, abs=1e-3)
        assert figures(result, "grade")["missing_rate"] == pytest.approx(0.4)
        assert set(figures(result, "day")) == {"missing_rate"}  # times move on by their nature


def test_a_profile_gives_the_figures_of_its_data_within_the_stated_error(
    reference: Path, profile: Path, moved: Path
) -> None:
    exact, found = (compare(moved, held, methods=EVERY) for held in (reference, profile))
    assert (exact.reference.profile, found.reference.profile) == (False, True)
    assert found.reference.made_from == exact.reference.digest
    for one, other in zip(exact.columns, found.columns, strict=True):
        for mine, theirs in zip(one.measured, other.measured, strict=True):
            assert mine.error == 0
            assert mine.value is not None
            assert theirs.value == pytest.approx(mine.value, abs=theirs.error + 1e-9)


def test_statistics_are_those_of_scipy_on_the_files_values(reference: Path, moved: Path) -> None:
    stats = pytest.importorskip("scipy.stats")
    result = compare(moved, reference, methods=EVERY)
    read = {
        path: duckdb.sql(f"SELECT amount::DOUBLE a, epoch(day) d, city FROM '{path}'").fetchnumpy()
        for path in (reference, moved)
    }
    old, new = read.values()
    for column, name in (("amount", "a"), ("day", "d")):
        said = stats.ks_2samp(old[name], new[name], method="asymp")
        seen = figures(result, column)
        assert seen["ks"] == pytest.approx(said.statistic)
        assert seen["ks_p_value"] == pytest.approx(said.pvalue)
        area = stats.wasserstein_distance(old[name], new[name])
        assert seen["wasserstein"] == pytest.approx(area)
        assert seen["wasserstein_scaled"] == pytest.approx(area / old[name].std())
    names = sorted({*old["city"], *new["city"]})
    table = [[int((side["city"] == n).sum()) for n in names] for side in (old, new)]
    said = stats.chi2_contingency(table)
    assert figures(result, "city")["chi_squared"] == pytest.approx(said.statistic)
    assert figures(result, "city")["chi_squared_p_value"] == pytest.approx(said.pvalue)


def test_the_same_value_as_number_and_as_category(reference: Path, moved: Path) -> None:
    result = compare(moved, reference, columns={"grade": {"kind": "category"}})
    assert {"new_category", "psi"} <= set(figures(result, "grade"))
    with pytest.raises(DriftSettingsError, match="grade"):
        compare(
            moved, reference, columns={"grade": {"kind": "category", "methods": ["wasserstein"]}}
        )


def test_thresholds_by_severity_decide(reference: Path, moved: Path) -> None:
    arguments: dict[str, Any] = {"columns": ["amount"], "methods": ["psi"]}
    loose = compare(moved, reference, thresholds={"psi": 1e9}, **arguments)
    assert loose.verdict is Verdict.PASS
    warned = compare(moved, reference, thresholds={"psi": {"warning": 0.1}}, **arguments)
    assert warned.verdict is Verdict.WARN
    strict = compare(
        moved, reference, thresholds={"psi": {"warning": 0.1}}, fail_on="warning", **arguments
    )
    assert strict.verdict is Verdict.FAIL
    [entry] = strict.failed()
    assert (entry["column"], entry["measure"], entry["limit"]) == ("amount", "psi", 0.1)


def test_a_p_value_is_beyond_its_limit_below_it(reference: Path, moved: Path) -> None:
    settings = {"columns": ["amount"], "thresholds": {"ks_p_value": 0.05}}
    assert {f["measure"] for f in compare(moved, reference, **settings).failed()} >= {"ks_p_value"}
    assert compare(reference, reference, **settings).verdict is Verdict.PASS


def test_columns_that_are_gone_new_or_retyped(tmp_path: Path, reference: Path) -> None:
    now = write(
        tmp_path / "now.parquet",
        "SELECT i::VARCHAR AS id, (i % 997) * 0.5 AS amount, 1 AS extra FROM range(5000) t(i)",
    )
    result = compare(now, reference)
    assert result.verdict is Verdict.FAIL
    assert problem(result, "city") == "the column is gone"
    assert "VARCHAR" in str(problem(result, "id"))
    assert result.schema.added == ("extra",)
    assert result.schema.retyped == {"id": ("INTEGER", "VARCHAR")}
    assert compare(now, reference, columns=["amount"]).verdict is Verdict.PASS


EMPTY = "SELECT * FROM (SELECT 1.5 AS v, 'a' AS c, 1 AS k) WHERE k > 1"
NONE = "SELECT NULL::DOUBLE AS v, NULL::VARCHAR AS c, i::INTEGER AS k FROM range(100) t(i)"
SOME = "SELECT i * 1.5 AS v, 'a' AS c, i::INTEGER AS k FROM range(100) t(i)"


def test_nothing_passes_that_could_not_be_measured(tmp_path: Path) -> None:
    some, none, empty = (
        write(tmp_path / f"{name}.parquet", select)
        for name, select in (("some", SOME), ("none", NONE), ("empty", EMPTY))
    )
    for now, held_to in ((none, some), (some, none), (empty, some), (some, empty)):
        result = compare(now, held_to, columns=["v", "c"])
        assert result.verdict is Verdict.FAIL
        assert all(
            m.value is None
            for c in result.columns
            for m in c.measured
            if m.measure.name in {"psi", "ks"}
        )
    assert compare(none, none, columns=["v", "c"]).verdict is Verdict.PASS


def test_a_column_without_values_is_of_whatever_kind_is_needed(tmp_path: Path) -> None:
    held_to = write(tmp_path / "ref.parquet", "SELECT i * 1.0 AS v FROM range(50) t(i)")
    now = write(tmp_path / "now.parquet", "SELECT NULL::VARCHAR AS v FROM range(50)")
    result = compare(now, held_to)
    assert problem(result, "v") is None
    assert figures(result, "v")["missing_rate"] == 1


def test_nan_is_missing_and_infinities_are_values(tmp_path: Path) -> None:
    held_to = write(
        tmp_path / "ref.parquet",
        "SELECT CASE WHEN i % 2 = 0 THEN 'nan'::DOUBLE WHEN i = 1 THEN 'inf' ELSE i END AS v "
        "FROM range(100) t(i)",
    )
    now = write(tmp_path / "now.parquet", "SELECT i::DOUBLE AS v FROM range(100) t(i)")
    result = compare(now, held_to, methods=EVERY)
    seen = figures(result, "v")
    assert seen["missing_rate"] == 0.5
    assert seen["wasserstein"] == math.inf
    json.dumps(result.compact(), allow_nan=False)
    json.dumps(result.as_dict(), allow_nan=False)
    stored = parse_profile(make_profile(held_to).dumps(), "x")
    assert stored.columns[0].values.count == 50


def test_names_that_hardly_repeat_are_not_compared_unless_asked(tmp_path: Path) -> None:
    held_to = write(tmp_path / "a.parquet", "SELECT 'a' || i AS name FROM range(3000) t(i)")
    now = write(tmp_path / "b.parquet", "SELECT 'b' || i AS name FROM range(3000) t(i)")
    assert set(figures(compare(now, held_to), "name")) == {"missing_rate"}
    asked = compare(now, held_to, methods=["new_category"])
    assert figures(asked, "name") == {"new_category": 1.0}
    stored = write_profile(make_profile(held_to), tmp_path / "p.json")
    [column] = compare(held_to, stored, methods=["new_category"]).columns
    [measured] = column.measured
    assert (measured.value, measured.error) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    for method in ("psi", "chi_squared"):
        [column] = compare(now, stored, methods=[method]).columns
        assert {m.note is None for m in column.measured} == {False}


def test_the_report_stays_small_and_names_no_category(tmp_path: Path) -> None:
    many = ", ".join(f"'secret {{}}' AS column_number_{n}" for n in range(200))
    held_to = write(tmp_path / "a.parquet", f"SELECT {many.replace('{}', 'old')} FROM range(50)")
    now = write(tmp_path / "b.parquet", f"SELECT {many.replace('{}', 'new')} FROM range(50)")
    result = compare(now, held_to)
    compact = result.compact()
    assert compact["failed_not_shown"] > 0
    assert len(json.dumps(compact)) < 8 * 1024
    assert "secret" not in json.dumps(result.as_dict())
    draft = result.draft()
    assert draft.kind is GateKind.DRIFT
    assert "secret" not in repr(draft)
    assert len(draft.criteria) == 800


def test_the_picture_stands_alone(reference: Path, moved: Path, profile: Path) -> None:
    for held_to in (reference, profile):
        result = compare(moved, held_to, columns=["amount", "city", "day"], methods=EVERY)
        for column in result.drifted:
            shares = shares_of(column)
            assert shares is not None
            drawn = draw(shares, column.column)
            root = ElementTree.fromstring(drawn)
            assert root.tag.endswith("svg")
            assert "href" not in drawn
            assert len(drawn) < 20_000
            bars = [float(e.attrib["height"]) for e in root.iter() if e.tag.endswith("rect")]
            assert max(bars) > 100
    assert shares_of(compare(reference, reference).columns[0]) is None


def test_a_picture_escapes_what_a_category_says(tmp_path: Path) -> None:
    held_to = write(tmp_path / "a.parquet", "SELECT '<script>&' AS c FROM range(9)")
    now = write(tmp_path / "b.parquet", "SELECT chr(1) || '\"x' AS c FROM range(9)")
    [column] = compare(now, held_to).drifted
    shares = shares_of(column)
    assert shares is not None
    drawn = draw(shares, column.column)
    ElementTree.fromstring(drawn)
    assert "<script" not in drawn


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"columns": ["nothing"]}, "nothing"),
        ({"columns": []}, "empty"),
        ({"columns": "amount"}, "amount"),
        ({"columns": {"amount": {"method": "psi"}}}, "method"),
        ({"columns": {"amount": {"kind": "what"}}}, "what"),
        ({"columns": {"amount": {"methods": ["chi_squared"]}}}, "chi_squared"),
        ({"columns": {"city": {"methods": ["ks"]}}}, "ks"),
        ({"methods": ["median"]}, "median"),
        ({"thresholds": {"psi": "much"}}, "much"),
        ({"thresholds": {"psi": -1}}, "-1"),
        ({"thresholds": {"psi": {"fatal": 1}}}, "fatal"),
        ({"thresholds": {"pis": 1}}, "pis"),
        ({"thresholds": 0.2}, "0.2"),
        ({"fail_on": "always"}, "always"),
    ],
)
def test_settings_that_mean_nothing_are_named(
    reference: Path, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(QualityError, match=named):
        compare(reference, reference, **arguments)


def test_a_reference_or_data_that_is_not_there(reference: Path, tmp_path: Path) -> None:
    for pair in ((reference, tmp_path / "absent.json"), (tmp_path / "absent.csv", reference)):
        with pytest.raises(DataReadError, match="absent"):
            compare(*pair)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(version=2),
        lambda p: p.update(rows=-1),
        lambda p: p.pop("source"),
        lambda p: p["columns"][1].update(points=p["columns"][1]["points"][::-1]),
        lambda p: p["columns"][1].update(below=p["columns"][1]["below"][1:]),
        lambda p: p["columns"][1].update(rows=3),
        lambda p: p["columns"][0].update(kind="what"),
        lambda p: p["columns"][3]["categories"].update(x="y"),
        lambda p: p["columns"].append(p["columns"][0]),
        lambda p: p.update(columns=[5]),
    ],
)
def test_a_damaged_profile_is_named(profile: Path, reference: Path, change: Any) -> None:
    document = json.loads(profile.read_text())
    change(document)
    profile.write_text(json.dumps(document))
    with pytest.raises(DataReadError, match=r"profile\.json.*quality profile"):
        compare(reference, profile)


def test_a_profile_cut_short_is_named(profile: Path, reference: Path) -> None:
    profile.write_text(profile.read_text()[:-200])
    with pytest.raises(DataReadError, match=r"profile\.json"):
        compare(reference, profile)


def test_a_profile_of_a_million_rows_is_small(tmp_path: Path) -> None:
    data = write(tmp_path / "a.parquet", "SELECT random() AS v FROM range(1000000)")
    path = write_profile(make_profile(data), tmp_path / "p.json")
    assert path.stat().st_size < 60_000
    [column] = compare(data, path, methods=["ks"]).columns
    assert 0 < column.measured[0].error <= 0.001


numbers = st.lists(
    st.one_of(
        st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 5).map(float)
    ),
    min_size=1,
    max_size=40,
)
words = st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=40)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(numbers, words, numbers, words)
@example(v=[8.98846567431158e307], c=[None], w=[0.0, 0.0], d=[None, None])  # near a double's end
def test_a_profile_survives_its_file_and_stands_for_its_data(
    tmp_path: Path, v: list[Any], c: list[Any], w: list[Any], d: list[Any]
) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    paths = []
    for name, one, other in (("old", v, c), ("new", w, d)):
        size = min(len(one), len(other))
        columns = {
            "v": pa.array(one[:size], pa.float64()),
            "c": pa.array(other[:size], pa.string()),
        }
        parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        paths.append(tmp_path / f"{name}.parquet")
    old, new = paths
    stored = write_profile(make_profile(old), tmp_path / "p.json")
    exact, found = (compare(new, held, methods=EVERY) for held in (old, stored))
    for one, other in zip(exact.columns, found.columns, strict=True):
        for mine, theirs in zip(one.measured, other.measured, strict=True):
            assert theirs.error == 0  # so few values are all kept
            if mine.value is None:
                assert theirs.value is None
            elif math.isnan(mine.value):
                assert math.isnan(theirs.value)
            else:
                scale = np.max(
                    np.abs([x for x in v + w if x is not None and math.isfinite(x)] + [1])
                )
                assert theirs.value == pytest.approx(mine.value, rel=1e-6, abs=1e-9 * scale)
