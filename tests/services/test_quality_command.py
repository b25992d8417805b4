"""``airflow-ai quality check``: JSON in Great Expectations' shape, and the exit status."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
from pathlib import Path

import pytest

from airflow_ai_provider.cli import main
from airflow_ai_provider.commands.quality_shown import MOST_MET, Look, shown
from airflow_ai_provider.services.quality import QualityResult, check

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


def test_data_without_rows_are_refused_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, suite = tmp_path / "none.csv", tmp_path / "suite.json"
    data.write_text("amount\n")
    expectation = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "amount"}}
    suite.write_text(json.dumps({"name": "orders", "expectations": [expectation]}))
    command = ["quality", "check", str(data), str(suite)]
    assert main(command) == 1
    assert "none.csv has no rows" in (said := capsys.readouterr().out)
    assert "--allow-empty" in said
    assert main([*command, "--json"]) == 1
    assert "has no rows" in json.loads(capsys.readouterr().out)["meta"]["refused"]
    assert main([*command, "--allow-empty"]) == 0


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
    text = capsys.readouterr().out
    assert "suite orders: pass" in text
    assert "column_values_to_be_between  amount  0 unexpected of 2 rows" in text
    assert "1 of 1 expectations were met." in text
    assert "What next" not in text
    assert "\033" not in text


def test_a_gate_that_fails_says_what_to_do_next(
    paths: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["quality", "check", *paths, "--parameter", "least=0"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"FAILED +critical .* amount +1 unexpected .* min_value 0 +-2", text)
    assert "0 of 1 expectations were met; not met: 1 critical." in text
    assert "again with --quarantine FILE.parquet" in text
    assert f"edit {paths[1]}" in text
    bad = str(tmp_path / "bad.parquet")
    assert main(["quality", "check", *paths, "--parameter", "least=0", "--quarantine", bad]) == 1
    text = capsys.readouterr().out
    assert f"1 failing rows are in {bad}." in text
    assert "--quarantine" not in text


def result_of(tmp_path: Path, severity: str, count: int = 1) -> QualityResult:
    path = tmp_path / "orders.csv"
    path.write_text("amount\n1\n-2\n")
    kwargs = {"column": "amount", "min_value": 0}
    one = {"type": "expect_column_values_to_be_between", "kwargs": kwargs, "severity": severity}
    met = {"type": "expect_column_to_exist", "kwargs": {"column": "amount"}}
    return check(path, {"expectations": [one, *[met] * (count - 1)]})


@pytest.mark.parametrize(("severity", "code"), [("critical", "31;1"), ("warning", "33")])
def test_a_terminal_has_colours_and_a_width(tmp_path: Path, severity: str, code: str) -> None:
    found = result_of(tmp_path, severity)
    word = {"critical": "FAILED", "warning": "warned"}[severity]
    lines = list(shown(found, suite="s.json", look=Look(colour=True, width=50)))
    painted = next(line for line in lines if word in line)
    assert painted.startswith(f"\033[{code}m{word}\033[0m")
    assert painted.endswith("…")
    assert len(painted) == 50 + len(f"\033[{code}m\033[0m")
    assert ("--fail-on" in lines[-1]) is (severity == "warning")


def test_of_a_long_suite_what_failed_is_listed(tmp_path: Path) -> None:
    lines = list(shown(result_of(tmp_path, "critical", MOST_MET + 1), suite="s.json", look=Look()))
    assert f"{MOST_MET} more were met; --json lists them." in lines
    assert sum("met  " in line for line in lines) == 0


@pytest.mark.parametrize(
    ("environment", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_a_terminal_that_wants_them(
    environment: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal, side = pty.openpty()
    with os.fdopen(side, "w") as stream, contextlib.redirect_stdout(stream):
        assert Look.of_standard_output().colour is colour
    os.close(terminal)
    with contextlib.redirect_stdout(io.StringIO()):
        assert Look.of_standard_output() == Look()


@pytest.mark.parametrize("extra", [[], ["--parameter", "least"], ["--engine", "compiled"]])
def test_what_could_not_look_exits_2(
    paths: tuple[str, str], extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "check", *paths, *extra]) == 2
    assert "SuiteError" in capsys.readouterr().err


def test_absent_data_exit_2(paths: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", "check", "absent.parquet", paths[1], "--parameter", "least=0"]) == 2
    assert "absent.parquet" in capsys.readouterr().err
