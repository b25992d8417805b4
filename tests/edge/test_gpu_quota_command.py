"""``airflow-ai gpu quota``, on a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_ai_provider import cli


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cli.db'}"


def run(capsys: pytest.CaptureFixture[str], url: str, *arguments: str) -> tuple[int, Any]:
    status = cli.main(["gpu", "quota", *arguments, "--json", "--store", url])
    return status, json.loads(capsys.readouterr().out)


def test_a_quota_is_set_changed_listed_and_removed(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, made = run(capsys, url, "set", "--team", "vision", "--guaranteed", "2")
    whole = {"kind": "team", "name": "vision", "pool": "default"}
    assert (status, made) == (0, {**whole, "weight": 1.0, "guaranteed": 2.0, "ceiling": None})
    _, made = run(capsys, url, "set", "--team", "vision", "--ceiling", "4", "--weight", "2")
    assert made == {**whole, "weight": 2.0, "guaranteed": 2.0, "ceiling": 4.0}
    _, made = run(capsys, url, "set", "--team", "vision", "--ceiling", "none")
    assert made == {**whole, "weight": 2.0, "guaranteed": 2.0, "ceiling": None}
    run(capsys, url, "set", "--phase", "pilot", "--guaranteed", "1", "--pool", "inference")
    _, found = run(capsys, url, "list")
    assert [(q["pool"], q["kind"], q["name"]) for q in found] == [
        ("default", "team", "vision"),
        ("inference", "phase", "pilot"),
    ]
    assert cli.main(["gpu", "quota", "list", "--store", url]) == 0
    assert "vision" in capsys.readouterr().out
    status, removed = run(capsys, url, "remove", "--team", "vision")
    assert (status, removed["name"]) == (0, "vision")
    assert [q["name"] for q in run(capsys, url, "list")[1]] == ["pilot"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["remove", "--team", "ghost"],
        ["set", "--team", "a", "--guaranteed", "3", "--ceiling", "2"],
        ["set", "--team", "a", "--weight", "0"],
        ["set", "--team", "a", "--weight", "nan"],
        ["set", "--phase", "retirement"],
        ["set", "--team", " "],
    ],
)
def test_what_means_nothing_is_a_typed_error(
    url: str, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run(capsys, url, "set", "--team", "other")
    status, document = run(capsys, url, *arguments)
    assert (status, document["error"]) == (2, "QuotaError")


@pytest.mark.parametrize(
    "arguments", [["set"], ["set", "--team", "a", "--project", "b"], ["remove"], []]
)
def test_a_quota_is_of_one_team_project_or_phase(url: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["gpu", "quota", *arguments, "--store", url])
    assert caught.value.code == 2
