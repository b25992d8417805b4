"""``airflow-ai quality profile``, and a suite with drift in ``quality check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_ai_provider.cli import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(
        "amount,code,city\n" + "".join(f"{i % 9},{i % 4},x{i % 3}\n" for i in range(90))
    )
    return path


def test_a_profile_is_made_and_stands_for_its_data(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "deep" / "profile.json"
    arguments = ["quality", "profile", str(data), "--output", str(target), "--category", "code"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    kinds = {c["name"]: c["kind"] for c in document["columns"]}
    assert kinds == {"amount": "number", "code": "category", "city": "category"}
    assert document["size"] == target.stat().st_size

    suite = tmp_path / "suite.json"
    drift = {"column": "code", "reference": str(target), "method": "new_category"}
    suite.write_text(
        json.dumps(
            {
                "name": "s",
                "expectations": [{"type": "expect_column_drift_to_be_less_than", "kwargs": drift}],
            }
        )
    )
    assert main(["quality", "check", str(data), str(suite)]) == 0
    data.write_text(data.read_text().replace(",3,", ",7,"))
    assert main(["quality", "check", str(data), str(suite), "--json"]) == 1
    capsys.readouterr()


def test_the_columns_can_be_named_and_the_reading_is_readable(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "p.json")
    assert main(["quality", "profile", str(data), "--output", target, "--column", "city"]) == 0
    shown = capsys.readouterr().out
    assert "90 rows" in shown
    assert "city" in shown
    assert "amount" not in shown


@pytest.mark.parametrize("extra", [["--column", "absent"], ["--category", "absent"]])
def test_an_unknown_column_exits_2(
    data: Path, tmp_path: Path, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "p.json"
    assert main(["quality", "profile", str(data), "--output", str(target), *extra]) == 2
    assert "absent" in capsys.readouterr().err
    assert not target.exists()


def test_absent_data_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(tmp_path / "p.json")
    assert main(["quality", "profile", str(tmp_path / "absent.csv"), "--output", target]) == 2
    assert "absent.csv" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["url", "variable", "connection"])
@pytest.mark.parametrize("what", [["--table", "main.orders"], ["--sql", "SELECT * FROM orders"]])
def test_a_table_is_profiled_where_it_is(
    tmp_path: Path,
    by: str,
    what: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (amount INTEGER, city TEXT)"))
        connection.execute(sa.text("INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (NULL, 'b')"))
    engine.dispose()
    monkeypatch.setenv(
        "AIRFLOW_CONN_ORDERS", json.dumps({"conn_type": "generic", "extra": {"url": url}})
    )
    target = tmp_path / "p.json"
    monkeypatch.setenv("ORDERS_URL", url)
    data = {"url": url, "variable": "env:ORDERS_URL", "connection": "orders"}[by]
    assert main(["quality", "profile", data, *what, "--output", str(target), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"] == 3
    assert [(c["kind"], c["missing"]) for c in document["columns"]] == [
        ("number", 1),
        ("category", 0),
    ]
    assert main(["quality", "suggest", data, *what]) == 0  # and so do its sisters name a table
    assert "amount" in capsys.readouterr().out
    absent = ["quality", "profile", url, "--table", "absent", "--output", str(target)]
    assert main(absent) == 2
    assert "no such table" in capsys.readouterr().err
