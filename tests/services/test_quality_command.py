"""``airflow-ai quality check``: JSON in Great Expectations' shape, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_ai_provider.cli import main

SUITE = {
    "name": "orders",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "amount", "min_value": {"$PARAMETER": "least"}},
        }
    ],
}


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, str]:
    data, suite = tmp_path / "orders.csv", tmp_path / "suite.json"
    data.write_text("amount\n1\n-2\n")
    suite.write_text(json.dumps(SUITE))
    return str(data), str(suite)


def test_a_gate_that_fails_exits_1(
    paths: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "check", *paths, "--parameter", "least=0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["success"] is False
    [result] = document["results"]
    assert result["expectation_config"]["kwargs"] == {"column": "amount", "min_value": 0}
    assert result["result"]["unexpected_count"] == 1
    assert result["result"]["partial_unexpected_list"] == [-2]
    assert result["engine"] == "compiled"


def test_a_gate_that_passes_exits_0_and_reads_well(
    paths: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "check", *paths, "--parameter", "least=-5"]) == 0
    shown = capsys.readouterr().out
    assert "suite orders: pass" in shown
    assert "expect_column_values_to_be_between(amount)" in shown


@pytest.mark.parametrize("extra", [[], ["--parameter", "least"], ["--engine", "compiled"]])
def test_what_could_not_look_exits_2(
    paths: tuple[str, str], extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "check", *paths, *extra]) == 2
    assert "SuiteError" in capsys.readouterr().err


def test_absent_data_exit_2(paths: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", "check", "absent.parquet", paths[1], "--parameter", "least=0"]) == 2
    assert "absent.parquet" in capsys.readouterr().err
