"""What a machine finds out: files profiled and sampled, and said so when they are not there."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pytest

from airflow_ai_provider.adapters.inventory import fits, static_devices, version_of
from airflow_ai_provider.adapters.profile import profile, write_sample
from airflow_ai_provider.adapters.repository import LARGE_BYTES, model_files
from airflow_ai_provider.core.errors import DataReadError
from airflow_ai_provider.core.lifecycle.milestones import MILESTONES, milestone
from airflow_ai_provider.core.lifecycle.parsing import parse_project
from airflow_ai_provider.core.lifecycle.project import Project
from airflow_ai_provider.core.lifecycle.shown import shown_measurement
from airflow_ai_provider.services.discovery import measure

TEMPLATE = Path(__file__).parents[2] / "dags" / "projects" / "flight_delays.yaml"
ROWS = """
SELECT range AS id, CASE WHEN range % 4 > 0 THEN 'it''s' END AS "a ""b" FROM range(2000)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An Airflow home with two months of flights and the digits delivered."""
    flights, digits = tmp_path / "data/landing/flights", tmp_path / "data/landing/digits"
    for folder in (flights, digits):
        folder.mkdir(parents=True)
    for month in ("01", "02"):
        duckdb.sql(ROWS).write_parquet(str(flights / f"flights-2013-{month}.parquet"))
    duckdb.sql("SELECT 1 AS label").write_parquet(str(digits / "digits.parquet"))
    return tmp_path


def project_in(home: Path) -> Project:
    return parse_project(TEMPLATE.read_text(), places={"home": str(home), "here": str(home)})


def test_every_milestone_s_measurements_are_its_deliverables(home: Path) -> None:
    for definition in MILESTONES:
        found = measure(project_in(home), definition.name, static_devices="cpu:0,cpu:1")
        assert set(found) == {d.name for d in definition.measured}
        assert all(value and not value.get("problems") for value in found.values())


def test_sources_are_profiled_and_sampled(home: Path) -> None:
    found = measure(project_in(home), "data_landscape")
    flights = dict(found["availability_and_quality"]["sources"][0])
    written = datetime.fromisoformat(flights.pop("delivered_at"))
    assert abs((datetime.now(timezone.utc) - written).total_seconds()) < 600
    assert flights == {
        "name": "flights",
        "reachable": True,
        "rows": 4000,
        "columns": 2,
        "absent_percent": {'a "b': 25.0},
        "newest": {},
    }
    assert found["sources_and_formats"]["sources"][0]["files"] == 2
    assert found["types_and_structure"]["sources"][0]["columns"]["id"] == "BIGINT"
    samples = {sample["name"]: sample for sample in found["curated_data_sets"]["samples"]}
    assert samples["flights"]["rows"] == 1000
    assert Path(samples["flights"]["path"]).is_file()
    assert measure(project_in(home), "data_landscape") == found  # the same sample each time


def test_source_that_cannot_be_reached_is_named(home: Path) -> None:
    (home / "data/landing/digits/digits.parquet").unlink()
    found = measure(project_in(home), "data_landscape")
    (problem,) = found["availability_and_quality"]["problems"]
    assert "digits.parquet" in problem
    assert [s["reachable"] for s in found["availability_and_quality"]["sources"]] == [True, False]


def test_personal_data_of_a_source_is_told_and_not_repeated(home: Path) -> None:
    mails = "SELECT 'anna' || range || '@example.com' AS contact FROM range(30)"
    duckdb.sql(mails).write_parquet(str(home / "data/landing/digits/digits.parquet"))
    found = measure(project_in(home), "data_landscape")["availability_and_quality"]
    (told,) = found["personal_data"]
    assert (told["source"], told["column"], told["rows"]) == ("digits", "contact", 30)
    assert (told["holds"], told["masked"]) == ("e-mail addresses", ["***@***.com"])
    assert "anna" not in str(found)
    shown = shown_measurement(milestone("data_landscape"), {"availability_and_quality": found})
    assert "e-mail addresses" in shown
    assert "anna" not in shown


def test_source_that_nobody_could_search_says_so(home: Path) -> None:
    (home / "data/landing/digits/digits.parquet").unlink()
    ragged = home / "data/landing/digits/digits.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    project = project_in(home)
    sources = [
        s.model_copy(update={"location": str(ragged)}) if s.name == "digits" else s
        for s in project.data_sources
    ]
    odd = project.model_copy(update={"data_sources": tuple(sources)})
    found = measure(odd, "data_landscape")["availability_and_quality"]
    (told,) = found["personal_data"]
    assert told["source"] == "digits"
    assert told["holds"].startswith("not looked for: ")
    assert str(ragged) in told["holds"]


def test_tools_and_devices_that_lack_are_named(home: Path) -> None:
    project = project_in(home)
    tools = (project.technology.tools[0].model_copy(update={"name": "no-such-tool"}),)
    lacking = project.model_copy(
        update={"technology": project.technology.model_copy(update={"tools": tools})}
    )
    gaps = measure(lacking, "process_and_technology", static_devices="cpu:0")["gap_analysis"]
    assert gaps["gaps"] == ["no-such-tool", "devices"]
    assert gaps["tools"][0]["found"] is None
    assert gaps["use_cases"][0] == {"name": "flight_delays", "pilot": True, "lacks": []}


def test_use_case_that_lacks_a_tool_is_told(home: Path) -> None:
    text = TEMPLATE.read_text().replace("name: scikit-learn", "name: no-such-tool")
    text = text.replace("[scikit-learn, ", "[no-such-tool, ")
    project = parse_project(text, places={"home": str(home), "here": str(home)})
    gaps = measure(project, "process_and_technology", static_devices="cpu:0,cpu:1")["gap_analysis"]
    lacking = {u["name"]: u["lacks"] for u in gaps["use_cases"] if u["lacks"]}
    assert lacking == {
        "flight_delays": ["no-such-tool"],
        "handwritten_digits": ["no-such-tool"],
    }


def in_database(home: Path, table: str, conn_id: str = "shop") -> Project:
    """The project with its digits in a table of a database."""
    project = project_in(home)
    place = {"location": None, "conn_id": conn_id, "table": table, "sample": None}
    sources = [
        s.model_copy(update=place) if s.name == "digits" else s for s in project.data_sources
    ]
    return project.model_copy(update={"data_sources": tuple(sources)})


def test_table_is_profiled_sampled_and_scanned_where_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    url = f"sqlite:///{home / 'shop.db'}"
    with sqlite3.connect(home / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, mail TEXT, at TIMESTAMP)")
        rows = [(n, f"anna{n}@example.com", f"2026-01-{n + 1:02d} 10:00:00") for n in range(20)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO orders VALUES (20, NULL, NULL)")
    found = measure(
        in_database(home, "orders"), "data_landscape", address={"shop": url}.__getitem__
    )
    assert found["availability_and_quality"]["problems"] == []
    orders = found["availability_and_quality"]["sources"][1]
    assert (orders["rows"], orders["columns"]) == (21, 3)
    assert orders["absent_percent"] == {"mail": 4.76, "at": 4.76}
    assert orders["newest"]["at"].startswith("2026-01-20T10:00:00")
    assert [p["column"] for p in found["availability_and_quality"]["personal_data"]] == ["mail"]
    sample = found["curated_data_sets"]["samples"][1]
    assert (sample["rows"], Path(sample["path"]).suffix) == (21, ".jsonl")
    assert len(Path(sample["path"]).read_text().splitlines()) == 21


@pytest.mark.parametrize(
    ("table", "url", "says"),
    [
        ("none", "sqlite://", "no table none"),
        ("orders", "postgresql+psycopg://u:secret@127.0.0.1:9/x", "cannot be read"),
    ],
)
def test_table_that_cannot_be_reached_is_named(home: Path, table: str, url: str, says: str) -> None:
    found = measure(in_database(home, table), "data_landscape", address=lambda _: url)
    (problem,) = found["availability_and_quality"]["problems"]
    assert says in problem
    assert "secret" not in problem
    (unknown,) = measure(in_database(home, table), "data_landscape")["availability_and_quality"][
        "problems"
    ]
    assert "known inside Airflow only" in unknown


def test_use_cases_are_ordered_by_value_and_feasibility(home: Path) -> None:
    found = measure(project_in(home), "business_use_cases")["priorities"]["use_cases"]
    assert [use_case["score"] for use_case in found] == [20, 10, 6]


@pytest.mark.parametrize(
    ("name", "content"),
    [("cut.parquet", b"PAR1 and then nothing"), ("empty.parquet", b""), ("text.docx", b"x")],
)
def test_file_that_cannot_be_read_is_a_typed_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataReadError) as caught:
        profile(str(path))
    assert str(tmp_path) in caught.value.message
    with pytest.raises(DataReadError):
        write_sample(str(path), str(tmp_path / "sample.parquet"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_csv_and_json_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,\n2,b\n")
    (tmp_path / "b.jsonl").write_text('{"x": 1}\n{"x": null}\n')
    assert [c.nulls for c in profile(str(tmp_path / "a.csv")).columns] == [0, 1]
    assert profile(f"file://{tmp_path / 'b.jsonl'}").columns[0].nulls == 1


@pytest.mark.parametrize("location", ["s3://bucket/x.parquet", "https://host/x.csv"])
def test_location_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(DataReadError, match="not on this machine"):
        profile(location)


def test_sample_that_cannot_be_written_says_so(home: Path) -> None:
    source = str(home / "data/landing/digits/digits.parquet")
    (home / "file").touch()
    with pytest.raises(DataReadError, match="cannot be written"):
        write_sample(source, str(home / "file" / "sample.parquet"))


def test_inventory() -> None:
    assert version_of("no-such-distribution") is None
    assert fits("3.3.2", ">=3.2,<4") is True
    assert fits("3.1", ">=3.2") is False
    assert fits("3.1", "newest") is None
    assert static_devices(" cpu:0, ,cpu:1") == ["cpu:0", "cpu:1"]


def test_models_beside_the_code(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "best.PKL").write_bytes(b"")
    (tmp_path / "train.py").write_text("x = 1")
    with (tmp_path / "big.dat").open("wb") as big:
        big.truncate(LARGE_BYTES + 1)
    assert model_files(tmp_path) == ["big.dat", "sub/best.PKL"]
