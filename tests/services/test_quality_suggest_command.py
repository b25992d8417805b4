"""``airflow-ai quality suggest``, and ``quality check`` on a table."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from airflow_ai_provider.cli import build_parser, main
from airflow_ai_provider.commands.quality_data import written

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "orders.csv"
    path.write_text("id,place\n" + "".join(f"{i},{'EWR' if i % 2 else 'JFK'}\n" for i in range(40)))
    return str(path)


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "orders.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, place TEXT)")
        connection.executemany("INSERT INTO orders VALUES (?, ?)", [(i, "EWR") for i in range(30)])
    connection.close()
    return f"sqlite:///{path}"


def test_the_suite_goes_to_standard_output_and_the_rest_beside_it(
    data: str, capsys: Capture
) -> None:
    for extra in ([], ["--json"]):
        assert main(["quality", "suggest", data, *extra]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out)["name"] == "orders"
        assert "Looking at 2 columns" in shown.err


def test_what_it_writes_is_what_check_takes(data: str, tmp_path: Path, capsys: Capture) -> None:
    suite = str(tmp_path / "suite.json")
    assert main(["quality", "suggest", data, "--output", suite, "--name", "mine"]) == 0
    shown = capsys.readouterr().out
    assert f"airflow-ai quality check {data} {suite}" in shown
    assert "column_values_to_be_unique" in shown
    assert main(["quality", "check", data, suite]) == 0
    assert main(["quality", "suggest", data, "--output", suite]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["quality", "suggest", data, "--output", suite, "--force"]) == 0


def test_a_table_is_named_by_a_url_or_by_a_variable(
    database: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = str(tmp_path / "suite.json")
    assert main(["quality", "suggest", database, "--table", "orders", "--output", suite]) == 0
    assert f"airflow-ai quality check {database} {suite} --table orders" in capsys.readouterr().out
    monkeypatch.setenv("ORDERS", database)
    assert main(["quality", "check", "env:ORDERS", suite, "--table", "orders"]) == 0
    query = "SELECT 1 AS id, place FROM orders"
    assert main(["quality", "check", database, suite, "--query", query]) == 1
    capsys.readouterr()


def test_a_password_is_not_shown_again() -> None:
    url = "postgresql://anna:secret@host/db"
    args = build_parser().parse_args(["quality", "suggest", url, "--table", "o", "--schema", "s"])
    assert written(args, "x.json") == "postgresql://...@host/db x.json --table o --schema s"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sqlite:///x.db"], "no table of it"),
        (["env:ABSENT"], "no table of it"),
        (["env:ABSENT", "--table", "t"], "ABSENT is not set"),
        (["orders.csv", "--table", "t"], "no database URL"),
        (["orders.csv", "--schema", "s"], "names no table"),
        (["absent.csv"], "absent.csv"),
    ],
)
def test_what_could_not_look_exits_2(arguments: list[str], said: str, capsys: Capture) -> None:
    assert main(["quality", "suggest", *arguments]) == 2
    assert said in capsys.readouterr().err
